"""The listener: sockets bound, TLS, connections accepted, and a stop in which nobody is cut off."""

import asyncio
import socket
import ssl
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

from campana import log
from campana.clock import Clock
from campana.server.connection import Bounds, Connection, Shared
from campana.server.front import Front
from campana.server.websocket import Sockets

BACKLOG = 2048
ACCEPTED_AT_ONCE = 128
ACCEPT_AGAIN_S = 1
TLS_SHUTDOWN_TIMEOUT_S = 5
DEFAULT_BOUNDS = Bounds()


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and up with this certificate chain and key (PEM files). Raises `ssl.SSLError`, `OSError`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    return context


class HttpListener:
    """Serves `front`, and `sockets` at /connect, on every address that `host` stands for.

    To stop: `leave()`, and some time for balancers to notice; then `await stop(grace_s)`, then
    `await sockets.close_all()`; the front's `ready` should say no before.
    """

    def __init__(
        self,
        front: Front,
        sockets: Sockets | None,
        *,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        keep_alive_s: float = 75,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self._clock = clock
        self._host = host
        self._port = port
        self._tls = tls
        self._shared = Shared(front, sockets, bounds, keep_alive_s, over_tls=tls is not None)
        self._shared.none_left.set()
        self._listening: list[socket.socket] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._date_timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port listened on, known after `start`."""
        return self._port

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    async def start(self) -> None:
        """Bind and accept. Raises `OSError` if an address is taken or not this machine's."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        bound: list[socket.socket] = []
        try:
            for family, address in addresses:
                listening = socket.create_server(
                    (address[0], self._port),
                    family=family,
                    backlog=BACKLOG,
                    # "::" alone is meant to be all addresses, IPv4 too.
                    dualstack_ipv6=family == socket.AF_INET6 and len(addresses) == 1 and address[0] == "::",
                )
                bound.append(listening)
                # Connections inherit it. asyncio sets it itself only on sockets whose protocol is spelled out; without
                # it the second piece of an answer waits 40 ms for the client to acknowledge the first.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._port = listening.getsockname()[1]  # a free one, if 0 was asked for: the same for all
        except BaseException:
            for listening in bound:
                listening.close()
            raise
        self._set_date()
        for listening in bound:
            listening.setblocking(False)
            self._listening.append(listening)
            loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Take in who waits, many at once: uvloop's own server takes one in each turn of the loop, and after a restart
        thousands come back within seconds, at a server whose turns are long."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # out of file descriptors: some will be free again
                log.error("front.accept_failed", error=str(error))
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_AGAIN_S, self._accept_again, listening)
                return
            accepted.setblocking(False)
            task = loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _accept_again(self, listening: socket.socket) -> None:
        if not self._shared.stopping:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _connect(self, accepted: socket.socket) -> None:
        """Hand a connection over to its protocol; with TLS after the handshake, if that comes."""
        bounds = self._shared.bounds
        with suppress(OSError):  # of TLS too: whoever it was is gone, or speaks something else
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else bounds.request_timeout_s,
                ssl_shutdown_timeout=None if self._tls is None else TLS_SHUTDOWN_TIMEOUT_S,
            )

    def leave(self) -> None:
        """Go on as before, but end each connection with its next answer: its client opens another one elsewhere."""
        self._shared.leaving = True

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let requests in progress finish within `grace_s`, then answer the rest with 503.

        WebSockets stay open: they are closed by `Sockets.close_all`.
        """
        self._shared.leaving = self._shared.stopping = True
        loop = asyncio.get_running_loop()
        while self._listening:
            listening = self._listening.pop()
            loop.remove_reader(listening)
            listening.close()
        for task in self._connecting if self._tls is not None else ():
            task.cancel()  # in the middle of a handshake
        for connection in list(self._shared.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(grace_s):
                await self._shared.none_left.wait()
        except TimeoutError:
            await self._cut_off()
        if self._date_timer is not None:
            self._date_timer.cancel()

    async def _cut_off(self) -> None:
        tasks = set(self._shared.tasks)
        log.warning("front.cut_off", requests=len(tasks), connections=len(self._shared.connections))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._shared.bounds.linger_s)
        for connection in list(self._shared.connections):
            connection.transport.close()
        try:
            async with asyncio.timeout(self._shared.bounds.linger_s):
                await self._shared.none_left.wait()
        except TimeoutError:
            for connection in list(self._shared.connections):
                connection.transport.abort()

    def _connection(self) -> Connection:
        return Connection(self._shared)

    def _set_date(self) -> None:
        """The `date` of every answer, renewed each second."""
        date = formatdate(self._clock.now() / 1000, usegmt=True)
        self._shared.date = f"date: {date}\r\n".encode()
        self._date_timer = asyncio.get_running_loop().call_later(1, self._set_date)
