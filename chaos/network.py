"""A network namespace of the run's own, in which packets to an address can vanish: a cable that is cut.

Needs root, `unshare` and `ip`; without them the faults that need it are left out.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from chaos.programs import PLACES, run

INSIDE = "CHAOS_NAMESPACE"
"""The environment variable that says that this process is in one."""


def enter(arguments: Sequence[str]) -> None:
    """Begin the program anew inside a namespace, if that can be; else return."""
    unshare, ip = shutil.which("unshare", path=PLACES), shutil.which("ip", path=PLACES)
    if INSIDE in os.environ or unshare is None or ip is None or os.geteuid() != 0:
        return
    if subprocess.run([unshare, "--net", "true"], capture_output=True).returncode != 0:
        return
    words = [unshare, "--net", sys.executable, "-m", "chaos", *arguments]
    os.execve(unshare, words, {**os.environ, INSIDE: ip})


def can_lose() -> bool:
    """Whether packets can be made to vanish."""
    return INSIDE in os.environ


def prepare() -> None:
    """The loopback interface, and a place for rules before the kernel's own."""
    _ip("link", "set", "lo", "up")
    _ip("rule", "add", "pref", "100", "lookup", "local")
    _ip("rule", "del", "pref", "0")


def lose(host: str) -> None:
    """From now on what is sent to this address vanishes; new connections to it fail."""
    _ip("rule", "add", "pref", "10", "blackhole", "to", host)


def find(host: str) -> None:
    """Undo `lose`."""
    _ip("rule", "del", "pref", "10", "to", host)


def _ip(*words: str) -> None:
    run(os.environ[INSIDE], *words)
