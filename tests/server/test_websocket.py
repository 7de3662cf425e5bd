import asyncio
import logging
import socket as sockets
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from campana.server import websocket
from campana.server.websocket import Socket, SocketBounds, text_frame
from campana.wire.http import HttpRequest

from .conftest import Run
from .harness import (
    CLOSE,
    HANDSHAKE,
    KEY,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Peer,
    World,
    body,
    headers,
    masked,
    running,
    status,
)

FIN = 0x80
VERSION = b"sec-websocket-version: 13\r\n"


def handshake(path: bytes = b"/connect", *lines: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + UPGRADE + b"".join(lines) + b"\r\n"


def url(world: World) -> str:
    return f"ws://127.0.0.1:{world.port}/connect"


async def closed(socket: Socket) -> int:
    """The code, when the server's end of the socket is gone."""
    gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    socket.when_closed(gone.set_result)
    return await gone


def test_the_session_layer_gets_a_socket_and_the_request_as_it_came(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            sent = handshake(b"/connect?userArn=a%3Ab&x=!'", VERSION, KEY, b"x-one: a\r\nx-one: b\r\n")
            peer = await world.peer()
            peer.writer.write(sent)
            answer = await peer.reader.readuntil(b"\r\n\r\n")
            socket, request = await world.sockets_seen.get()
            assert status(answer) == 101
            assert headers(answer)["sec-websocket-accept"] == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
            assert len(headers(answer)["x-amzn-requestid"]) == 36
            assert (request.method, request.raw_path, request.raw_query) == (
                "GET",
                "/connect",
                "userArn=a%3Ab&x=!'",
            )
            assert request.headers["host"] == "h"
            assert request.headers["x-one"] == "a,b"
            assert socket.open
            assert len(world.sockets) == 1
            peer.writer.close()

    run(scenario())


@pytest.mark.parametrize("text", ["", "x" * 125, "x" * 126, "é" * 32_767, "x" * 65_535, "😀" * 16_384])
def test_clients_read_frames_of_every_size(run: Run, text: str) -> None:
    async def scenario() -> None:
        async with running() as world, connect(url(world)) as client:
            socket, _ = await world.sockets_seen.get()
            socket.write(text_frame(text))
            socket.write(text_frame(text.encode()))
            assert [await client.recv(), await client.recv()] == [text, text]

    run(scenario())


@given(st.binary(max_size=300))
def test_a_frame_holds_its_text_and_its_length(data: bytes) -> None:
    frame = text_frame(data)
    assert frame.endswith(data)
    assert len(frame) == len(data) + (2 if len(data) < 126 else 4)


def test_a_client_is_accepted_and_then_judged(run: Run) -> None:
    async def refuse(socket: Socket, request: HttpRequest) -> None:
        socket.close(4401, "Signature expired" + "é" * 100)

    async def scenario() -> None:
        async with running() as world:
            world.judge = refuse
            async with connect(url(world)) as client:
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 4401
                assert client.close_reason is not None
                assert client.close_reason.startswith("Signature expired")

    run(scenario())


def test_a_failure_while_judging_closes_with_1011(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(socket: Socket, request: HttpRequest) -> None:
        raise KeyError("broken")

    async def scenario() -> None:
        async with running() as world:
            world.judge = broken
            async with connect(url(world)) as client:
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1011

    run(scenario())
    assert "socket.failed" in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (handshake(b"/connect/", VERSION, KEY), 404),
        (handshake(b"/other", VERSION, KEY), 404),
        (handshake(b"/%63onnect", VERSION, KEY), 404),
        (handshake(b"/connect", KEY), 400),
        (handshake(b"/connect", VERSION), 400),
        (handshake(b"/connect", VERSION, b"sec-websocket-key: AAAA\r\n"), 400),
        (handshake(b"/connect", VERSION, b"sec-websocket-key: \xff\r\n"), 400),
        (handshake(b"/connect", VERSION, KEY, KEY), 400),
        (handshake(b"/connect", VERSION, b"sec-websocket-version: 8\r\n", KEY), 426),
        (handshake(b"/connect", b"sec-websocket-version: 8\r\n", KEY), 426),
        (handshake(b"/connect", VERSION, KEY).replace(b"GET", b"POST"), 405),
        (b"GET /slow HTTP/1.1\r\n\r\n" + HANDSHAKE, 400),
    ],
)
def test_a_handshake_that_is_none_gets_an_http_refusal(run: Run, sent: bytes, expected: int) -> None:
    async def scenario() -> None:
        async with running() as world:
            answer = (await world.say(sent)).split(b"HTTP/1.1 ")[-1]
            assert int(answer[:3]) == expected
            assert headers(answer)["content-type"] == "application/json"
            assert b'"Code"' in body(answer)
            assert headers(answer).get("sec-websocket-version") == ("13" if expected == 426 else None)
            assert len(world.sockets) == 0

    run(scenario())


def test_with_listed_origins_pages_of_others_are_refused(run: Run) -> None:
    async def scenario() -> None:
        async with running(origins=("https://a.example",)) as world:
            async with connect(url(world), origin="https://a.example"):  # type: ignore[arg-type]
                pass
            async with connect(url(world)):  # no browser
                pass
            with pytest.raises(InvalidStatus) as refusal:
                await connect(url(world), origin="https://b.example")  # type: ignore[arg-type]
            assert refusal.value.response.status_code == 403

    run(scenario())


def test_what_clients_say_is_ignored_but_for_pings(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            peer.writer.write(masked(FIN | TEXT, b"hello") + masked(TEXT, b"in ") + masked(FIN | 0, b"two"))
            peer.writer.write(masked(FIN | PING, b"there?") + masked(FIN | PONG, b"unasked"))
            assert await peer.frame() == (PONG, b"there?")
            socket.write(text_frame("still here"))
            assert await peer.frame() == (TEXT, b"still here")
            peer.writer.close()

    run(scenario())


def test_frames_that_come_with_the_handshake_are_read(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(HANDSHAKE + masked(FIN | PING, b"early"))
            await peer.reader.readuntil(b"\r\n\r\n")
            assert await peer.frame() == (PONG, b"early")
            peer.writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (masked(FIN | TEXT, length=b"\xff" + struct.pack("!Q", 65_537)), 1009),
        (masked(FIN | TEXT, length=b"\xff" + struct.pack("!Q", 2**63 - 1)), 1009),
        (masked(TEXT, length=b"\xff" + struct.pack("!Q", 60_000)) + b"a" * 60_000 + masked(0, b"b" * 99) * 99, 1009),
        (b"\x81\x05hello", 1002),  # not masked
        (masked(FIN | 0x40 | TEXT, b"a"), 1002),  # compressed, which was not agreed upon
        (masked(FIN | 3, b"a"), 1002),  # no such opcode
        (masked(FIN | 0, b"a"), 1002),  # the continuation of nothing
        (masked(PING, b"a"), 1002),  # half a ping
        (masked(FIN | PING, length=b"\xfe" + struct.pack("!H", 126)) + b"a" * 126, 1002),
        (masked(TEXT, b"a") + masked(FIN | TEXT, b"b"), 1002),
        (masked(FIN | CLOSE, b"\x0f"), 1002),  # half a code
        (masked(FIN | CLOSE, struct.pack("!H", 1005)), 1002),  # a code that is never sent
        (masked(FIN | CLOSE, struct.pack("!H", 1001) + b"\xff"), 1007),
    ],
)
def test_what_breaks_the_protocol_closes_the_socket(run: Run, sent: bytes, expected: int) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            peer.writer.write(sent)
            assert await peer.close_code() == expected
            assert await peer.reader.read() == b""
            assert not socket.open
            peer.writer.close()
            await closed(socket)

    run(scenario())


def test_a_client_that_closes_gets_its_code_back(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            peer.writer.write(masked(FIN | CLOSE, struct.pack("!H", 4002)) + b"and more")
            assert await peer.close_code() == 4002
            assert await peer.reader.read() == b""
            peer.writer.close()
            assert await closed(socket) == 4002
            assert await closed(socket) == 4002  # asked again, and told again
            socket.write(text_frame("nobody hears"))
            socket.close(1011)
            assert len(world.sockets) == 0

    run(scenario())


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_that_just_leaves_is_noticed(run: Run, how: str) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            if how == "end":
                peer.writer.close()
            else:
                peer.writer.transport.abort()
            assert await closed(socket) == 1006
            assert len(world.sockets) == 0

    run(scenario())


def test_a_silent_client_is_pinged_twice_and_then_closed_with_1001(run: Run) -> None:
    async def scenario() -> None:
        async with running(socket_bounds=SocketBounds(ping_interval_s=0.1, close_timeout_s=0.1)) as world:
            peer, socket = await world.web_socket()
            assert [await peer.frame() for _ in range(2)] == [(PING, b"")] * 2
            assert await peer.close_code() == 1001
            assert await peer.reader.read() == b""  # cut: the peer does not close its half either
            assert await closed(socket) == 1001
            peer.writer.close()

    run(scenario())


def test_a_client_that_answers_pings_stays(run: Run) -> None:
    async def scenario() -> None:
        async with running(socket_bounds=SocketBounds(ping_interval_s=0.05)) as world:
            peer, socket = await world.web_socket()
            for _ in range(6):
                assert await peer.frame() == (PING, b"")
                peer.writer.write(masked(FIN | PONG))
            assert socket.open
            peer.writer.close()

    run(scenario())


async def deaf(world: World) -> tuple[Peer, Socket]:
    """A peer that reads nothing until asked to, over small buffers."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", world.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    socket, _ = await world.sockets_seen.get()
    return Peer(reader, writer), socket


@pytest.mark.parametrize(
    "bounds",
    [
        SocketBounds(buffer_frames_max=20, close_timeout_s=20),
        SocketBounds(buffer_bytes_max=1_000_000, close_timeout_s=20),
    ],
    ids=["frames", "bytes"],
)
def test_a_client_that_does_not_keep_up_is_closed_with_1013(run: Run, bounds: SocketBounds) -> None:
    async def scenario() -> None:
        async with running(socket_bounds=bounds) as world:
            peer, socket = await deaf(world)
            frame = text_frame("x" * 60_000)
            written = 0
            while socket.open:
                socket.write(frame)
                written += 1
                await asyncio.sleep(0)
            assert socket.buffered < 3_000_000
            # It reads at last: everything up to the end is there, and the reason of the end.
            heard = [await peer.frame() for _ in range(written)]
            assert heard == [(TEXT, b"x" * 60_000)] * written
            assert await peer.close_code() == 1013
            peer.writer.close()

    run(scenario())


def test_a_client_that_never_reads_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        bounds = SocketBounds(buffer_frames_max=20, close_timeout_s=0.05)
        async with running(socket_bounds=bounds) as world:
            peer, socket = await deaf(world)
            while socket.open:
                socket.write(text_frame("x" * 60_000))
                await asyncio.sleep(0)
            assert await closed(socket) == 1013
            assert len(world.sockets) == 0
            peer.writer.close()

    run(scenario())


def test_a_client_that_reads_may_get_many_frames_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            for number in range(1_000):
                socket.write(text_frame(str(number)))
            assert [int((await peer.frame())[1]) for _ in range(1_000)] == list(range(1_000))
            assert socket.open
            peer.writer.close()

    run(scenario())


def test_a_flood_of_pings_from_a_client_that_does_not_read_ends(run: Run) -> None:
    async def scenario() -> None:
        bounds = SocketBounds(buffer_frames_max=5, close_timeout_s=0.05)
        async with running(socket_bounds=bounds) as world:
            peer, socket = await deaf(world)
            gone = asyncio.ensure_future(closed(socket))
            flood = masked(FIN | PING, b"x" * 125) * 100
            while not gone.done():
                peer.writer.write(flood)
                await asyncio.sleep(0)
            peer.writer.close()

    run(scenario())


def test_at_a_restart_all_are_closed_with_1012_and_those_that_still_come_too(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            clients = [await connect(url(world)) for _ in range(7)]
            late = await world.peer()  # connected, its handshake still to come
            late.writer.write(HANDSHAKE[:20])
            closing = asyncio.ensure_future(world.sockets.close_all(within_s=1))
            for client in clients:
                await client.wait_closed()
                assert client.close_code == 1012
            await closing
            late.writer.write(HANDSHAKE[20:])
            await late.reader.readuntil(b"\r\n\r\n")
            assert await late.close_code() == 1012
            late.writer.close()

    run(scenario())


def test_sockets_are_closed_a_few_at_a_time_or_faster_if_the_time_would_not_do(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSED_PER_S", 100)

    async def scenario(sockets: int, within_s: float, batches: list[int]) -> None:
        async with running() as world:
            opened = [await world.web_socket() for _ in range(sockets)]
            still_open = []

            def no_pause() -> float:
                still_open.append(sum(socket.open for _, socket in opened))
                return 0

            closing = asyncio.ensure_future(world.sockets.close_all(within_s=within_s, jitter=no_pause))
            for peer, _ in opened:
                assert await peer.close_code() == 1012
                peer.writer.close()
            await closing
            assert still_open == batches

    run(scenario(7, 3_600, [5, 3, 1]))
    run(scenario(7, 0.035, [3]))
    run(scenario(7, 0, []))


def test_clients_that_come_again_and_again_do_not_hold_up_the_end(run: Run) -> None:
    async def scenario() -> None:
        async with running(socket_bounds=SocketBounds(close_timeout_s=0.05)) as world:
            peer, _ = await world.web_socket()
            closing = asyncio.ensure_future(world.sockets.close_all())
            while not closing.done():  # one is always there
                assert await peer.close_code() == 1012
                leaving, peer = peer, await world.peer()
                peer.writer.write(HANDSHAKE)
                await peer.reader.readuntil(b"\r\n\r\n")
                leaving.writer.close()
            peer.writer.close()

    run(scenario())


def test_requests_in_progress_and_sockets_end_in_this_order(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            await world.front.stop(5)
            assert socket.open
            socket.write(text_frame("the last answer's event"))
            assert await peer.frame() == (TEXT, b"the last answer's event")
            closing = asyncio.ensure_future(world.sockets.close_all())
            assert await peer.close_code() == 1012
            peer.writer.write(masked(FIN | CLOSE, struct.pack("!H", 1012)))
            assert await peer.reader.read() == b""
            peer.writer.close()
            await closing

    run(scenario())


def test_too_many_sockets_are_told_to_come_back_later(run: Run) -> None:
    async def scenario() -> None:
        async with running(socket_bounds=SocketBounds(sockets_max=1)) as world:
            peer, _ = await world.web_socket()
            async with connect(url(world)) as client:
                await client.wait_closed()
                assert client.close_code == 1013
            peer.writer.close()

    run(scenario())


def test_code_1000_is_never_sent(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer, socket = await world.web_socket()
            with pytest.raises(AssertionError, match="1000"):
                socket.close(1000)
            peer.writer.close()

    run(scenario())


def test_a_socket_over_tls(run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with (
            running(tls=server_tls) as world,
            connect(f"wss://localhost:{world.port}/connect", ssl=client_tls) as client,
        ):
            socket, _ = await world.sockets_seen.get()
            socket.write(text_frame("x" * 200_000))
            assert await client.recv() == "x" * 200_000
            socket.close(4003)
            await client.wait_closed()
            assert client.close_code == 4003
            assert await closed(socket) == 4003

    run(scenario())


def test_the_url_of_a_handshake_is_never_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(handshake(b"/connect?X-Amz-Signature=5ec2e7", VERSION, KEY))
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.writer.write(masked(FIN | TEXT, b"5ec2e7") + b"\xff\xff")
            await peer.reader.read()
            peer.writer.close()
            await world.say(handshake(b"/connect?X-Amz-Signature=5ec2e7", KEY))

    run(scenario())
    assert "5ec2e7" not in caplog.text
