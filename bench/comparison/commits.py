"""The sources of the two that are compared, in folders of their own, and an interpreter for each."""

import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.client import Failed
from bench.servers import Program

OF_THE_PACKAGE = ("pyproject.toml", "README.md", "LICENSE")
"""What pip needs beside `src`."""
WORKING_TREE = "."
"""As a name for the files as they are now, committed or not."""


@dataclass(frozen=True, slots=True)
class Version:
    """One of the two: what people call it, and what is run."""

    name: str
    program: Program


def default_base() -> str:
    """What a developer compares with: where this branch left main; on main itself what origin has of it.

    Is that the same, it is the last commit: HEAD while files differ from it, HEAD~1 otherwise.
    """
    head = _git("rev-parse", "HEAD")
    for main in ("main", "origin/main"):
        found = _run_git("merge-base", "HEAD", main)
        if found.returncode == 0 and (base := found.stdout.decode().strip()) != head:
            return base
    return "HEAD" if _git("status", "--porcelain", "--", "src") else "HEAD~1"


def version(revision: str, folder: Path, tell: Callable[[str], None]) -> Version:
    """The package of a commit, or of the working tree, copied into `folder`: edits meanwhile change nothing.

    Runs with this interpreter if the commit wants the same dependencies as the working tree, otherwise with a venv
    that pip makes. Raises `Failed` for a revision that git does not know.
    """
    folder.mkdir(parents=True)
    if revision == WORKING_TREE:
        name = f"{_git('rev-parse', '--short', 'HEAD')} with changes" if machine.commit().endswith("+") else ""
        name = name or _git("rev-parse", "--short", "HEAD")
        shutil.copytree(machine.ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for file in OF_THE_PACKAGE:
            shutil.copy(machine.ROOT / file, folder)
    else:
        name = _git("rev-parse", "--short", f"{revision}^{{commit}}")
        archive = _run_git("archive", revision, "src", *OF_THE_PACKAGE)
        if archive.returncode != 0:
            raise Failed(archive.stderr.decode(errors="replace").strip())
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
    python = Path(sys.executable)
    if _dependencies(folder) != _dependencies(machine.ROOT):
        tell(f"{name} has other dependencies: making a venv for it")
        python = _venv(folder)
    program = Program(python, folder / "src")
    _check(program)
    return Version(name, program)


def _dependencies(tree: Path) -> list[str]:
    found: list[str] = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    return sorted(found)


def _venv(tree: Path) -> Path:
    """The package is installed into it as well: it asks for its own version."""
    python = tree / "venv" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(tree / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(tree)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"No venv:\n{done.stderr[-2000:]}")
    return python


def _check(program: Program) -> None:
    """That this interpreter takes `campana` from there: an installed one in its way would be compared with itself."""
    done = subprocess.run(
        [program.python, "-c", "import campana; print(campana.__file__)"],
        env={"PYTHONPATH": str(program.source)},
        capture_output=True,
        text=True,
    )
    if not done.stdout.startswith(str(program.source)):
        raise Failed(f"{program.python} imports {done.stdout.strip() or done.stderr[-1000:]}, not {program.source}.")


def _git(*words: str) -> str:
    done = _run_git(*words)
    if done.returncode != 0:
        raise Failed(f"git {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


def _run_git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=machine.ROOT, capture_output=True)
