"""A load balancer before the nodes of a test: HAProxy, with the configuration that deploy/compose comes with.

Its addresses are those of the test, it speaks HTTP without TLS, it looks after the nodes more often, and it hides
nothing: a connection that a node refuses or resets is an error for the client.
"""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[1] / "deploy" / "compose" / "haproxy.cfg"
CHECK_MS = 200
PATIENCE_S = 20


class HaProxy:
    """Between clients and nodes; the nodes are called node-1, node-2 …"""

    def __init__(self, program: str, folder: Path, nodes: Sequence[str]) -> None:
        """`nodes`: host:port of each."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.served: Counter[str] = Counter()
        """How many requests and sessions each node has got; those that none got are under <NOSRV>."""
        self._up = {f"node-{number}": True for number in range(1, len(nodes) + 1)}
        self._changed = threading.Condition()
        self.log: list[str] = []
        config = folder / "haproxy.cfg"
        config.write_text(_config(self.address, nodes))
        self._process = subprocess.Popen(
            [program, "-db", "-f", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._until_it_listens()

    def until(self, node: str, *, up: bool) -> None:
        """Wait until the node gets requests, or gets none any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._up[node] == up, PATIENCE_S), "\n".join(self.log[-50:])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _until_it_listens(self) -> None:
        host, _, port = self.address.partition(":")
        patience = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                return
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > patience:
                    raise AssertionError("\n".join(self.log)) from None
                time.sleep(0.01)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.log.append(line.rstrip())
                if found := re.search(r"Server nodes/(\S+) is (UP|DOWN)", line):
                    self._up[found[1]] = found[2] == "UP"
                elif found := re.search(r" nodes/(\S+) ", line):
                    self.served[found[1]] += 1
                self._changed.notify_all()


def _config(address: str, nodes: Sequence[str]) -> str:
    """Each line that is another one here has to be there in what is shipped."""
    text = SHIPPED.read_text()
    servers = "\n".join(f"    server node-{number} {each}" for number, each in enumerate(nodes, 1))
    for pattern, replacement in (
        (r"bind :8443 ssl .*", f"bind {address}"),
        (r"(?:    server node-.*\n)+", f"{servers}\n"),
        (r"check inter 1s", f"check inter {CHECK_MS}ms"),
        (r" resolvers docker init-addr \S+", ""),
        (r"resolvers docker\n    parse-resolv-conf\n", ""),
        (r"maxconn \d+", "maxconn 500"),
        (r"retries \d+\n", "retries 0\n"),
        (r"    option redispatch\n", ""),
    ):
        text, replaced = re.subn(pattern, replacement, text)
        assert replaced == 1, pattern
    return text


@contextmanager
def haproxy(folder: Path, nodes: Sequence[str]) -> Iterator[HaProxy]:
    """A proxy of its own before these nodes (host:port), which run."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("There is no haproxy here (Debian: apt install haproxy).")
    proxy = HaProxy(program, folder, nodes)
    try:
        yield proxy
    finally:
        proxy.close()
