"""What must hold for the tree as a whole: modules say what they are, nothing huge is in. (Imports: `make imports`.)"""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("src", "tools", "bench", "chaos") for path in (ROOT / folder).rglob("*.py"))
BYTES_MAX = 1_000_000


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if (source := path.read_text("utf-8")).strip() and not ast.get_docstring(ast.parse(source))
    ]

    assert silent == []


def test_no_file_of_the_repository_is_huge() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    names = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    files = [ROOT / name for name in names.split("\0") if name]
    assert [path.name for path in files if path.is_file() and path.stat().st_size > BYTES_MAX] == []
