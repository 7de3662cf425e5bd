"""HAProxy: the balancer that clients talk to, and relays between each node and each engine that can be cut.

The balancer has the configuration that deploy/compose ships, but for its addresses and TLS.
"""

import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.machine import ROOT

from chaos.engines import free_port, wait_until
from chaos.programs import Programs

SHIPPED = ROOT / "deploy" / "compose" / "haproxy.cfg"
RELAY = """
global
    stats socket {control} level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1d
    timeout server 1d
    retries 0
"""


class HAProxy:
    """One process with its configuration."""

    def __init__(self, programs: Programs, folder: Path, name: str, configuration: str) -> None:
        self._control = folder / f"{name}.sock"
        self._log = folder / f"{name}.log"
        self._file = folder / f"{name}.cfg"
        self._file.write_text(configuration.replace("{control}", str(self._control)))
        self._program = programs.haproxy

    def start(self) -> None:
        """Start it and wait until it can be told something."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-db", "-f", self._file], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._control.exists, f"haproxy ({self._log.name})")

    def tell(self, command: str) -> str:
        """A command of its runtime API, and the answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self._control))
            control.sendall(command.encode() + b"\n")
            answer = b""
            while data := control.recv(4096):
                answer += data
            return answer.decode()

    def signal(self, number: signal.Signals) -> None:
        """Pause it, for example."""
        self._process.send_signal(number)

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class Balancer(HAProxy):
    """What clients connect to."""

    def __init__(self, programs: Programs, folder: Path, nodes: Sequence[int]) -> None:
        """`nodes`: their ports."""
        self.port = free_port()
        text = SHIPPED.read_text("utf-8")
        text = re.sub(r"(?m)^resolvers.*\n(?:    .*\n)+", "", text)
        text = re.sub(r"(?:default-server )?resolvers docker init-addr \S+", "", text)
        text = re.sub(r"bind :8443 .*", f"bind 127.0.0.1:{self.port}", text)
        text = re.sub(r"(?m)(?:^    server node-.*\n)+", lambda shipped: _servers(shipped[0], nodes), text)
        text = re.sub(r"maxconn \d+", "maxconn 2000", text)  # what the run may have of descriptors is enough
        text = text.replace("global\n", "global\n    stats socket {control} level admin\n", 1)
        super().__init__(programs, folder, "balancer", text)


def _servers(shipped: str, nodes: Sequence[int]) -> str:
    """These nodes instead of the shipped ones, checked or tracked as they are."""
    track = " track nodes/node-{0}" if "track" in shipped else ""
    line = "    server node-{0} 127.0.0.1:{1}" + track + "\n"
    return "".join(line.format(number, port) for number, port in enumerate(nodes, 1))


class Relay(HAProxy):
    """Between one node and one engine. `addresses` are what the node is told."""

    def __init__(self, programs: Programs, folder: Path, name: str, host: str, engines: Sequence[int]) -> None:
        """`host`: an address that nothing else has; `engines`: the ports of the engine's servers."""
        self.host = host
        ports = [free_port() for _ in engines]
        self.addresses = [f"{host}:{port}" for port in ports]
        self._parts = [f"part{number}" for number in range(len(ports))]
        listens = (
            f"listen {part}\n    bind {host}:{port}\n    server engine 127.0.0.1:{engine}\n"
            for part, port, engine in zip(self._parts, ports, engines, strict=True)
        )
        super().__init__(programs, folder, name, RELAY + "".join(listens))

    def cut(self) -> None:
        """Connections end, and new ones are refused."""
        for part in self._parts:
            self.tell(f"disable frontend {part}")
            self.tell(f"shutdown sessions server {part}/engine")

    def mend(self) -> None:
        """Undo `cut`."""
        for part in self._parts:
            self.tell(f"enable frontend {part}")

    def hang(self) -> None:
        """Connections stay, new ones are taken, and nothing is ever answered: as an engine, or a proxy, that hangs."""
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `hang`."""
        self.signal(signal.SIGCONT)
