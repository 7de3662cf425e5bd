"""The programs that a run needs from the distribution, and commands of theirs."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"))


class Broken(Exception):
    """The run can't go on: a program is missing, or did not do what it must."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where they are."""

    postgres: Path
    """The folder of initdb, pg_ctl and pg_basebackup."""
    nats: str
    haproxy: str


def find() -> Programs:
    """All of them; raises Broken, with what is missing."""
    postgres, nats, haproxy = _postgres(), _which("nats-server"), _which("haproxy")
    missing = [
        name
        for name, found in (
            ("PostgreSQL's initdb, pg_ctl and pg_basebackup (Debian: apt install postgresql)", postgres),
            ("nats-server (Debian: apt install nats-server)", nats),
            ("haproxy (Debian: apt install haproxy)", haproxy),
        )
        if found is None
    ]
    if postgres is None or nats is None or haproxy is None:
        raise Broken("There is missing here: " + ", ".join(missing) + ".")
    return Programs(postgres, nats, haproxy)


def run(program: Path | str, *arguments: str, user: str | None = None) -> str:
    """Its output; raises Broken if it fails."""
    # Not a pipe for errors: what a server started by pg_ctl inherits stays open as long as it lives.
    ran = subprocess.run(
        [program, *arguments], user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if ran.returncode != 0:
        raise Broken(f"{program} {' '.join(arguments)} ended with {ran.returncode}: {ran.stdout.strip()}")
    return ran.stdout


def _which(name: str) -> str | None:
    return shutil.which(name, path=PLACES)


def _postgres() -> Path | None:
    """The newest."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    on_path = _which("initdb")
    candidates = [*folders, *([Path(on_path).resolve().parent] if on_path else [])]
    needed = ("initdb", "pg_ctl", "pg_basebackup")
    return next((each for each in candidates if all((each / name).exists() for name in needed)), None)
