"""`python -m bench.peers.install`: the peers, from Debian and PyPI. What can't be installed is said, and left out.

Nothing runs as a service afterwards that did not before: the comparison starts private instances.
"""

import os
import shutil
import subprocess
import sys
import venv

from bench.peers import synapse

DEBIAN = ("ejabberd", "erlang-p1-pgsql", "erlang-dev", "prosody", "lua-dbi-postgresql", "postgresql")
BUILD = ("libpq-dev", "gcc", "python3-dev")
"""For psycopg2, which has no wheel for every Python."""
SERVICES = ("ejabberd", "prosody", "postgresql")


def main() -> int:
    """The exit code: always 0, what is missing is skipped by the comparison."""
    missing = [package for package in (*DEBIAN, *BUILD) if not _installed(package)]
    if missing:
        _install(missing)
    if not (synapse.home() / "bin" / "python").exists():
        _install_synapse()
    return 0


def _installed(package: str) -> bool:
    try:
        asked = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True)
    except OSError:
        return False
    return asked.stdout == b"installed"


def _install(packages: list[str]) -> None:
    words = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None:
        print("bench: there is no apt-get here; install by hand what you want compared:", *packages)
        return
    if os.geteuid() != 0:
        print("bench: some peers are missing; as root:", *words)
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=environment, stdout=subprocess.DEVNULL)
    ran = subprocess.run(words, env=environment, stdout=subprocess.DEVNULL)
    if ran.returncode != 0:
        print("bench: apt-get could not install", *packages)
    for service in SERVICES:
        if service in packages:
            subprocess.run(["service", service, "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _install_synapse() -> None:
    home = synapse.home()
    print(f"bench: matrix-synapse goes into {home}")
    try:
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin" / "pip", "install", "-q", "matrix-synapse[postgres]"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"bench: Synapse could not be installed: {error}")
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
