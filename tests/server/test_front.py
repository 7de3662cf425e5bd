import asyncio
import http.client
import json
import logging
import random
import socket
import ssl
import threading

import pytest

from campana.server import listener
from campana.server.connection import Bounds
from campana.wire.http import HttpRequest, HttpResponse

from .conftest import Run
from .harness import HANDSHAKE, JSON, body, headers, running, status

CLOSE = b"connection: close\r\n"


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """By this thread: other tests' servers go on in this process."""
    return [record for record in caplog.records if record.thread == threading.get_ident()]


def test_the_path_and_the_query_are_handed_on_still_encoded(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            await world.say(b"GET /channels/arn%3Aaws%2Fx//y?a=%2B+b&c HTTP/1.1\r\n" + CLOSE + b"\r\n")
            request, _ = world.requests[0]
            assert request.raw_path == "/channels/arn%3Aaws%2Fx//y"
            assert request.raw_query == "a=%2B+b&c"

    run(scenario())


def test_headers_are_lower_case_and_joined_and_the_body_is_bytes(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            sent = b"POST /x HTTP/1.1\r\nX-One: a\r\nx-one: \xe9\r\ncontent-length: 2\r\n" + CLOSE + b"\r\n\xff\xfe"
            assert status(await world.say(sent)) == 200
            request, _ = world.requests[0]
            assert request.method == "POST"
            assert request.headers["x-one"] == "a,é"
            assert request.body == b"\xff\xfe"

    run(scenario())


def test_every_answer_carries_its_id_the_date_and_what_browsers_need(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            answer = headers(await world.say(b"GET /x HTTP/1.1\r\n" + CLOSE + b"\r\n"))
            refusal = headers(await world.say(b"nonsense\r\n\r\n"))
            assert answer["x-amzn-requestid"] == world.requests[0][1]
            for sent in (answer, refusal):
                assert len(sent["x-amzn-requestid"]) == 36
                assert sent["date"] == "Wed, 04 Mar 2026 12:00:00 GMT"
                assert sent["access-control-allow-origin"] == "*"
                assert "x-amzn-errortype" in sent["access-control-expose-headers"]
                assert "server" not in sent

    run(scenario())


def test_a_connection_is_kept_for_more_requests(run: Run) -> None:
    def client(port: int) -> list[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        answers = []
        for number in range(5):
            connection.request("PUT", f"/{number}", body=b"{}" * number)
            answers.append(connection.getresponse().read())
        own = connection.sock.getsockname()  # the same throughout: http.client opens a new one only when closed
        connection.close()
        assert own
        return answers

    async def scenario() -> None:
        async with running(keep_alive_s=20) as world:
            assert await asyncio.to_thread(client, world.port) == [b"{}"] * 5
            assert [len(request.body) for request, _ in world.requests] == [0, 2, 4, 6, 8]

    run(scenario())


def test_requests_sent_at_once_are_answered_in_order(run: Run) -> None:
    async def echo(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(200, JSON, request.raw_path.encode())

    async def scenario() -> None:
        async with running() as world:
            world.answer = echo
            answer = await world.say(
                b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n"
                + CLOSE
                + b"\r\n"
            )
            assert [part[-2:] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"/1", b"/2", b"/3"]

    run(scenario())


def test_a_refusal_waits_for_the_answers_before_it(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            answer = await world.say(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nnonsense\r\n\r\n")
            assert [line[:3] for line in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]

    run(scenario())


HOSTILE = {
    "garbage": (b"GARBAGE\r\n\r\n", 400),
    "tls to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "http/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a NUL in a header": (b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n", 400),
    "a control character in a header": (b"GET / HTTP/1.1\r\nx: a\x01b\r\n\r\n", 400),
    "a header name that is none": (b"GET / HTTP/1.1\r\nx\xff: a\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nhost: a\n\n", 400),
    "bytes in the path that are not ASCII": (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    "bytes in the query that are not ASCII": (b"GET /?\xff HTTP/1.1\r\n\r\n", 400),
    "a target that is none": (b"GET ht!tp HTTP/1.1\r\n\r\n", 400),
    "a proxy's request": (b"CONNECT a:443 HTTP/1.1\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
    "a length and chunks": (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc", 400),
    "a negative length": (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
    "a length beyond numbers": (b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
    "a chunk that is none": (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    "a coding that is not known": (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\nzz\r\n", 400),
    "a body announced too large": (b"POST / HTTP/1.1\r\ncontent-length: 1048577\r\n\r\n", 413),
    "the same, asking first": (b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1048577\r\n\r\n", 413),
    "a long header": (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nx: " + b"a" * 400_000, 431),
    "a long path": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 431),
    "headers without number": (b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 60_000, 431),
    "trailers without end": (
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * 4_000_000,
        413,
    ),
    "chunks of hardly anything": (
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 900_000,
        413,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_request_is_refused_with_the_apis_json(run: Run, name: str) -> None:
    sent, expected = HOSTILE[name]

    async def scenario() -> None:
        async with running() as world:
            answer = await world.say(sent)
            assert status(answer) == expected
            assert headers(answer)["connection"] == "close"
            assert headers(answer)["x-amzn-errortype"]
            assert set(json.loads(body(answer))) == {"Code", "Message"}
            assert world.requests == []

    run(scenario())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_two_megabytes_gets_413_though_the_client_sends_it_all_first(run: Run, chunked: bool) -> None:
    def client(port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        data = b"x" * 2_000_000
        connection.request("POST", "/", body=iter([data]) if chunked else data, encode_chunked=chunked)
        with connection.getresponse() as response:
            assert json.loads(response.read())["Code"] == "RequestEntityTooLarge"
            return response.status

    async def scenario() -> None:
        async with running() as world:
            assert await asyncio.to_thread(client, world.port) == 413
            assert world.requests == []

    run(scenario())


def test_a_body_of_just_the_largest_size_is_taken_chunked_or_not(run: Run) -> None:
    async def scenario() -> None:
        async with running(bounds=Bounds(body_bytes_max=1000)) as world:
            await world.say(b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n" + CLOSE + b"\r\n" + b"x" * 1000)
            chunks = b"1f4\r\n" + b"x" * 500 + b"\r\n"
            await world.say(
                b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n" + chunks * 2 + b"0\r\n\r\n"
            )
            assert [len(request.body) for request, _ in world.requests] == [1000, 1000]

    run(scenario())


def test_trailers_do_not_become_headers(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            await world.say(
                b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n"
                + CLOSE
                + b"\r\n0\r\nx-amz-chime-bearer: eve\r\n\r\n"
            )
            assert "x-amz-chime-bearer" not in world.requests[0][0].headers

    run(scenario())


@pytest.mark.parametrize("part", [b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc", b"GET / HTTP/1.1\r\nho"])
def test_a_request_that_ends_early_gets_400_and_is_not_executed(run: Run, part: bytes) -> None:
    async def scenario() -> None:
        async with running() as world:
            assert status(await world.say(part, end=True)) == 400
            assert world.requests == []

    run(scenario())


def test_a_client_that_leaves_within_its_body_has_asked_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(b"POST /left HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc")
            await peer.writer.drain()
            peer.writer.transport.abort()
            await world.front._shared.none_left.wait()
            await world.say(b"GET /stayed HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert [request.raw_path for request, _ in world.requests] == ["/stayed"]

    run(scenario())


def test_a_client_that_ends_its_half_still_gets_its_answer(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:

            async def slowly(request: HttpRequest) -> HttpResponse:
                (connection,) = world.front._shared.connections
                while not connection._at_eof:  # noqa: ASYNC110 - the end of the client's half comes first
                    await asyncio.sleep(0.001)
                return HttpResponse(200, JSON, b"{}")

            world.answer = slowly
            answer = await world.say(b"GET / HTTP/1.1\r\n\r\n", end=True)
            assert status(answer) == 200
            assert body(answer) == b"{}"

    run(scenario())


@pytest.mark.parametrize(
    "part",
    [b"GET / HTTP/1.1\r\nhost: ", b"P", b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc"],
    ids=["head", "first byte", "body"],
)
def test_a_request_that_takes_too_long_to_arrive_gets_408(run: Run, part: bytes) -> None:
    async def scenario() -> None:
        async with running(bounds=Bounds(request_timeout_s=0.1)) as world:
            answer = await world.say(part)
            assert status(answer) == 408
            assert json.loads(body(answer))["Code"] == "RequestTimeout"
            assert world.requests == []

    run(scenario())


def test_dripping_bytes_gains_no_time(run: Run) -> None:
    async def scenario() -> None:
        async with running(bounds=Bounds(request_timeout_s=0.2)) as world:
            peer = await world.peer()

            async def drip() -> None:
                peer.writer.write(b"GET / HTTP/1.1\r\nx: ")
                while True:
                    peer.writer.write(b"a")
                    await asyncio.sleep(0.02)

            dripping = asyncio.ensure_future(drip())
            assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 408
            dripping.cancel()
            peer.writer.close()

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
def test_a_connection_that_asks_nothing_is_closed_without_a_word(run: Run, sent: bytes) -> None:
    async def scenario() -> None:
        async with running(bounds=Bounds(request_timeout_s=0.1)) as world:
            assert await world.say(sent) == b""

    run(scenario())


@pytest.mark.parametrize("then", [b"", b"\r\n"], ids=["nothing", "an empty line"])
def test_a_connection_idle_after_its_answer_is_closed(run: Run, then: bytes) -> None:
    async def scenario() -> None:
        async with running(keep_alive_s=0.1, bounds=Bounds(request_timeout_s=0.1)) as world:
            peer = await world.peer()
            peer.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await peer.reader.readuntil(b"{}")
            peer.writer.write(then)
            assert await peer.reader.read() == b""
            peer.writer.close()

    run(scenario())


def test_a_client_that_does_not_read_its_answer_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        async with running(bounds=Bounds(send_timeout_s=0.1)) as world:
            asked = asyncio.Event()

            async def large(request: HttpRequest) -> HttpResponse:
                asked.set()
                return HttpResponse(200, JSON, b"x" * 20_000_000)

            world.answer = large
            deaf = socket.create_connection(("127.0.0.1", world.port))
            deaf.sendall(b"GET / HTTP/1.1\r\n\r\n")
            await asked.wait()
            await world.front._shared.none_left.wait()
            deaf.close()

    run(scenario())


def test_a_client_may_ask_before_it_sends_its_body(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(b"PUT / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 100
            peer.writer.write(b"{}")
            assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 200
            peer.writer.close()

    run(scenario())


def test_an_upgrade_to_anything_else_is_answered_as_if_not_asked(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            answer = await world.say(b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
            assert status(answer) == 200
            assert headers(answer)["connection"] == "close"

    run(scenario())


def test_an_unexpected_failure_gets_500_with_the_id_and_no_more(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: HttpRequest) -> HttpResponse:
        raise KeyError("the inner life of the server")

    async def scenario() -> None:
        async with running() as world:
            world.answer = broken
            answer = await world.say(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert status(answer) == 500
            assert headers(answer)["x-amzn-errortype"] == "ServiceFailureException"
            assert world.requests[0][1].encode() in body(answer)
            assert b"inner life" not in answer

    run(scenario())
    (record,) = [record for record in logged(caplog) if record.getMessage() == "request.failed"]
    assert record.exc_info


def test_an_answer_of_204_has_no_length(run: Run) -> None:
    async def nothing(request: HttpRequest) -> HttpResponse:
        return HttpResponse(204)

    async def scenario() -> None:
        async with running() as world:
            world.answer = nothing
            answer = await world.say(b"DELETE / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert status(answer) == 204
            assert not headers(answer).keys() & {"content-length", "transfer-encoding", "content-type"}
            assert body(answer) == b""

    run(scenario())


@pytest.mark.parametrize("path", [b"/channels/arn%3Aaws", b"/healthz", b"*"])
def test_a_preflight_is_answered_on_any_path_unsigned(run: Run, path: bytes) -> None:
    async def scenario() -> None:
        async with running() as world:
            asked = b"Authorization,X-Amz-Chime-Bearer,amz-sdk-request"
            sent = headers(
                await world.say(
                    b"OPTIONS " + path + b" HTTP/1.1\r\norigin: https://a.example\r\n"
                    b"access-control-request-headers: " + asked + b"\r\n" + CLOSE + b"\r\n"
                )
            )
            assert sent["access-control-allow-origin"] == "*"
            assert sent["access-control-allow-headers"] == asked.decode()
            assert sent["access-control-allow-methods"] == "GET, POST, PUT, DELETE, HEAD, OPTIONS"
            assert sent["access-control-max-age"] == "172800"
            assert world.requests == []

    run(scenario())


def test_a_preflight_that_names_no_headers_or_nonsense_gets_the_usual_ones(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            for asked in (b"", b"access-control-request-headers: \xff<>\r\n"):
                sent = headers(await world.say(b"OPTIONS / HTTP/1.1\r\n" + asked + CLOSE + b"\r\n"))
                assert "x-amz-chime-bearer" in sent["access-control-allow-headers"]

    run(scenario())


def test_with_listed_origins_only_those_may_read_answers_and_refusals(run: Run) -> None:
    async def scenario() -> None:
        async with running(origins=("https://a.example",)) as world:
            ours = b"origin: https://a.example\r\n"
            theirs = b"origin: https://b.example\r\n"
            for rest in (CLOSE + b"\r\n", b"content-length: 9999999\r\n\r\n"):
                let_in = headers(await world.say(b"PUT / HTTP/1.1\r\n" + ours + rest))
                kept_out = headers(await world.say(b"PUT / HTTP/1.1\r\n" + theirs + rest))
                assert let_in["access-control-allow-origin"] == "https://a.example"
                assert let_in["vary"] == kept_out["vary"] == "origin"
                assert "access-control-allow-origin" not in kept_out

    run(scenario())


@pytest.mark.parametrize(
    ("line", "ready", "expected"),
    [
        (b"GET /healthz", False, 200),
        (b"HEAD /healthz", False, 200),
        (b"GET /readyz", True, 200),
        (b"GET /readyz?verbose", False, 503),
        (b"POST /readyz", True, 405),
    ],
)
def test_health(run: Run, line: bytes, ready: bool, expected: int) -> None:
    async def scenario() -> None:
        async with running() as world:
            world.ready = ready
            answer = await world.say(line + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert status(answer) == expected
            assert (body(answer) == b"") == line.startswith(b"HEAD")
            assert world.requests == []

    run(scenario())


def test_a_stop_lets_requests_finish_and_takes_no_new_ones(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def slowly(request: HttpRequest) -> HttpResponse:
                begun.set()
                await go_on.wait()
                return HttpResponse(200, JSON, b"{}")

            world.answer = slowly
            idle = await world.peer()
            idle.writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
            await idle.reader.readuntil(b"ok\n")
            asking = asyncio.ensure_future(world.say(b"GET / HTTP/1.1\r\n\r\n"))
            await begun.wait()
            stopping = asyncio.ensure_future(world.front.stop(20))
            assert await idle.reader.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await world.peer()
            assert not stopping.done()
            go_on.set()
            answer = await asking
            assert status(answer) == 200
            assert headers(answer)["connection"] == "close"
            await stopping
            idle.writer.close()

    run(scenario())


def test_a_server_that_leaves_answers_all_that_comes_and_ends_each_connection_with_its_answer(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def slowly(request: HttpRequest) -> HttpResponse:
                begun.set()
                await go_on.wait()
                return HttpResponse(200, JSON, request.raw_path.encode())

            idle, busy = await world.peer(), await world.peer()
            idle.writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
            await idle.reader.readuntil(b"ok\n")
            world.answer = slowly
            busy.writer.write(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HT")
            await begun.wait()
            world.front.leave()
            go_on.set()
            assert "connection" not in headers(await busy.reader.readuntil(b"/1"))
            assert "connection" not in headers(await busy.reader.readuntil(b"/2"))
            busy.writer.write(b"TP/1.1\r\n\r\n")  # had begun to arrive before the answer to the one before
            for peer, path in ((busy, b"/3"), (idle, b"/4"), (await world.peer(), b"/5")):
                if peer is not busy:
                    peer.writer.write(b"GET " + path + b" HTTP/1.1\r\n\r\n")
                last = await peer.reader.readuntil(path)
                assert (status(last), headers(last)["connection"]) == (200, "close")
                assert await peer.reader.read() == b""
                peer.writer.write(b"GET /late HTTP/1.1\r\n\r\n")  # resets nothing, and is not executed
                await peer.writer.drain()
                peer.writer.close()
            assert "/late" not in {request.raw_path for request, _ in world.requests}

    run(scenario())


def test_a_stop_answers_503_to_what_outlasts_its_grace(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            begun = asyncio.Event()

            async def for_ever(request: HttpRequest) -> HttpResponse:
                begun.set()
                await asyncio.Event().wait()
                raise AssertionError

            world.answer = for_ever
            asking = asyncio.ensure_future(world.say(b"GET / HTTP/1.1\r\n\r\n"))
            await begun.wait()
            await world.front.stop(0.05)
            assert status(await asking) == 503

    run(scenario())


def test_who_waits_at_the_door_is_let_in_together(run: Run) -> None:
    """However long a turn of the loop takes: after a restart all clients come back within seconds."""

    async def scenario() -> None:
        async with running() as world:
            waiting = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(50)]
            turns = 0
            while len(world.front._shared.connections) < len(waiting):
                turns += 1
                await asyncio.sleep(0)
            assert turns <= 10
            for each in waiting:
                each.close()

    run(scenario())


def test_without_file_descriptors_nobody_is_let_in_until_there_are_some(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "ACCEPT_AGAIN_S", 0.02)
    real, failures = socket.socket.accept, [OSError(24, "Too many open files")] * 2

    def accept(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return real(self)

    async def scenario() -> None:
        async with running() as world:
            monkeypatch.setattr(socket.socket, "accept", accept)
            assert status(await world.say(b"GET /x HTTP/1.1\r\n" + CLOSE + b"\r\n")) == 200

    run(scenario())
    assert [record.getMessage() for record in logged(caplog)] == ["front.accept_failed"] * 2


def test_the_port_is_known_after_the_start_and_the_url_can_be_called(run: Run) -> None:
    async def scenario() -> None:
        async with running(host="localhost") as world:
            assert world.front.url == f"http://localhost:{world.port}"
            assert world.port > 0
            assert status(await world.say(b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n")) == 200

    run(scenario())


def test_an_address_that_is_taken_is_an_error(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            world.front._host = "127.0.0.1"
            with pytest.raises(OSError):
                await world.front.start()

    run(scenario())


def test_over_tls_requests_refusals_and_large_bodies_fare_the_same(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def client(port: int) -> list[int]:
        statuses = []
        for data in (b"{}", b"x" * 2_000_000):
            connection = http.client.HTTPSConnection("localhost", port, context=client_tls)
            connection.request("POST", "/", body=data)
            with connection.getresponse() as response:
                response.read()
                statuses.append(response.status)
            connection.close()
        return statuses

    async def scenario() -> None:
        async with running(tls=server_tls) as world:
            assert world.front.url.startswith("https://")
            assert await asyncio.to_thread(client, world.port) == [200, 413]
            assert len(world.requests) == 1

    run(scenario())


def test_an_idle_tls_connection_does_not_hold_up_a_stop(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "TLS_SHUTDOWN_TIMEOUT_S", 3_600)

    def client(port: int) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("localhost", port, context=client_tls)
        connection.request("POST", "/", body=b"{}")
        connection.getresponse().read()
        return connection

    async def scenario() -> None:
        async with running(tls=server_tls) as world:
            pooled = await asyncio.to_thread(client, world.port)
            await world.front.stop(3_600)
            pooled.close()

    run(scenario())


def test_a_tls_handshake_that_never_comes_is_not_waited_for(run: Run, server_tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with running(tls=server_tls, bounds=Bounds(request_timeout_s=0.1)) as world:
            assert await world.say(b"\x16\x03\x01") == b""

    run(scenario())


STREAM = (
    b"POST /a%2Fb?x=%20y HTTP/1.1\r\nHost: h\r\nX-One: a\r\nx-one: b\r\ncontent-length: 5\r\n\r\nhello"
    b"\r\n"
    b"PUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;e=x\r\n world\r\n0\r\nt: v\r\n\r\n"
    b"GET http://h/d?e HTTP/1.1\r\n\r\n"
    b"GET /f HTTP/1.1\r\n" + CLOSE + b"\r\n"
)


def test_requests_are_the_same_in_whatever_pieces_they_come(run: Run) -> None:
    dice = random.Random(11)

    async def scenario() -> None:
        async with running() as world:
            whole = await world.say(STREAM)
            expected = [request for request, _ in world.requests]
            assert [(each.method, each.raw_path, each.raw_query, each.body) for each in expected] == [
                ("POST", "/a%2Fb", "x=%20y", b"hello"),
                ("PUT", "/c", "", b"hello world"),
                ("GET", "/d", "e", b""),
                ("GET", "/f", "", b""),
            ]
            for _ in range(30):
                world.requests.clear()
                peer = await world.peer()
                cuts = sorted(dice.randrange(len(STREAM)) for _ in range(dice.randint(1, 8)))
                for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
                    peer.writer.write(STREAM[start:end])
                    await peer.writer.drain()
                    for _ in range(3):
                        await asyncio.sleep(0)
                answers = await peer.reader.read()
                peer.writer.close()
                assert [request for request, _ in world.requests] == expected
                assert len(answers) == len(whole)

    run(scenario())


def test_a_request_that_waits_for_its_turn_is_not_cut_off(run: Run) -> None:
    """Its time to arrive is over when it has arrived, although the answer before it takes longer than that."""

    async def scenario() -> None:
        async with running(bounds=Bounds(request_timeout_s=0.5)) as world:
            begun, answered = asyncio.Event(), asyncio.Event()

            async def slowly(request: HttpRequest) -> HttpResponse:
                begun.set()
                await answered.wait()
                return HttpResponse(200, JSON, request.raw_path.encode())

            world.answer = slowly
            peer = await world.peer()
            peer.writer.write(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HT")
            await begun.wait()  # the second request comes in pieces, and waits then
            peer.writer.write(b"TP/1.1\r\n" + CLOSE + b"\r\n")
            await asyncio.sleep(0.6)
            answered.set()
            answers = await peer.reader.read()
            assert [part[-2:] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"/1", b"/2"]
            peer.writer.close()

    run(scenario())


def test_a_client_that_asks_first_waits_for_the_answers_before(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(
                b"GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
            )
            assert status(await peer.reader.readuntil(b"{}")) == 200
            assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 100
            peer.writer.write(b"{}")
            assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 200
            peer.writer.close()

    run(scenario())


SEEDS = [
    b"POST /channels/a%2Fb?x=y HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: v\r\n\r\n",
    HANDSHAKE,
    b"OPTIONS * HTTP/1.1\r\norigin: null\r\naccess-control-request-headers: a,b\r\n\r\n",
    b"GET / HTTP/1.0\r\nexpect: 100-continue\r\nconnection: keep-alive\r\n\r\n",
]


def test_no_mutilated_request_gets_a_500(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(7)

    def mutilated() -> bytes:
        data = bytearray(dice.choice(SEEDS) + dice.choice([b"", *SEEDS]))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data))
            match dice.randrange(4):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    del data[at : at + dice.randint(1, 9)]
                case 2:
                    data[at:at] = dice.randbytes(dice.randint(1, 5))
                case 3:
                    data[at:at] = data[: dice.randrange(40)]
        return bytes(data)

    async def scenario() -> None:
        async with running() as world:
            for _ in range(300):
                sent = mutilated()
                for answer in (await world.say(sent, end=True)).split(b"HTTP/1.1 ")[1:]:
                    assert not answer.startswith(b"5"), sent

    run(scenario())
    assert not [record for record in logged(caplog) if record.levelname == "ERROR"]
