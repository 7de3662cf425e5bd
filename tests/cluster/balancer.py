"""A load balancer: connections go to the nodes in turn, and to the next if one is down."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count


class Balancer:
    """Hands bytes on, as they come, in both directions; when one side ends, so does the other."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = [*ports]
        self._turns = count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        turn = next(self._turns)
        for number in range(len(self._ports)):
            with suppress(OSError):
                node = socket.create_connection(("127.0.0.1", self._ports[(turn + number) % len(self._ports)]))
                threading.Thread(target=_carry, args=(client, node), daemon=True).start()
                _carry(node, client)
                return
        client.close()


def _carry(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    for each in (source, to):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    source.close()
