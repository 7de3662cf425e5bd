"""Every kind of target, from a message sent to what became of it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from tests.harness import LAMBDA, PATIENCE_S, App, RunningServer, Session, User, running

from campana.settings import SetupError

FUNCTIONS = Path(__file__).parent / "functions"
QUICK = {"flows.retry_delays_ms": (1, 1)}


class Channel:
    """Ann's channel with a flow of one function."""

    def __init__(self, server: RunningServer, resource_arn: str, fallback: str = "ABORT") -> None:
        app = App(server)
        self.ann: User = app.user("ann")
        self.arn = self.ann.makes_channel(flow=app.flow((resource_arn, fallback)))
        self.session: Session = self.ann.connects()

    def becomes(self, content: str) -> tuple[str, str]:
        """The verdict's event, and the content in it."""
        message_id = self.ann.sends(self.arn, content)
        pending = self.session.next()
        assert (pending.type, pending.payload["MessageId"]) == ("PENDING_CREATE_CHANNEL_MESSAGE", message_id)
        verdict = self.session.next()
        assert verdict.payload["MessageId"] == message_id
        return verdict.type.removesuffix("_CHANNEL_MESSAGE"), verdict.payload["Content"]

    def status(self, message_id: str) -> str:
        answer = self.ann.get_channel_message_status(ChannelArn=self.arn, MessageId=message_id)
        return answer["Status"]["Value"]


class LogLines:
    """What the server logs, as it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from campana import log

        self.lines: Queue[tuple[str, dict[str, Any]]] = Queue()
        for level in ("info", "warning", "error"):
            monkeypatch.setattr(log, level, lambda event, /, **values: self.lines.put((event, values)))

    def until(self, event: str, **wanted: Any) -> dict[str, Any]:
        while True:
            found, values = self.lines.get(timeout=PATIENCE_S)
            if found == event and wanted.items() <= values.items():
                return values


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> LogLines:
    return LogLines(monkeypatch)


# Functions in the server's own process


@pytest.mark.parametrize(
    ("content", "verdict"),
    [("pass", ("CREATE", "pass")), ("change", ("CREATE", "changed")), ("deny", ("DENIED_CREATE", "deny"))],
)
def test_a_function_in_the_process_answers_with_what_it_returns(
    tmp_path: Path, content: str, verdict: tuple[str, str]
) -> None:
    with running(tmp_path, processors=[f"{LAMBDA}f=python:tests.processors.in_process:masks"]) as server:
        assert Channel(server, f"{LAMBDA}f").becomes(content) == verdict


def test_a_coroutine_function_is_awaited(tmp_path: Path) -> None:
    with running(tmp_path, processors=[f"{LAMBDA}f=python:tests.processors.in_process:shouts"]) as server:
        assert Channel(server, f"{LAMBDA}f").becomes("hello") == ("CREATE", "HELLO")


@pytest.mark.parametrize(
    ("content", "said"),
    [("raise", "ValueError: no such luck"), ("garbage", "unknown keys: Surprise"), ("too long", "size limit exceeded")],
)
def test_a_function_without_an_answer_leaves_its_message_waiting_and_is_shown(
    tmp_path: Path, lines: LogLines, content: str, said: str
) -> None:
    with running(tmp_path, processors=[f"{LAMBDA}f=python:tests.processors.in_process:masks"], **QUICK) as server:
        channel = Channel(server, f"{LAMBDA}f")
        message_id = channel.ann.sends(channel.arn, content)

        for attempt in (1, 2, 3):
            failed = lines.until("processor.failed", message=message_id, attempt=attempt)
            assert said in failed["reason"]
        assert channel.status(message_id) == "PENDING"


def test_a_function_that_cannot_be_imported_is_refused_at_the_start(tmp_path: Path) -> None:
    target = f"{LAMBDA}f=python:no.such:thing"

    with pytest.raises(SetupError, match="can't be imported"), running(tmp_path, processors=[target]):
        pass


# Functions in files


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a handler in a file, in the local Lambda runtime."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "campana.toml").write_text(
        f"""
        [[processors]]
        arn = "{LAMBDA}answers"
        target = "{FUNCTIONS}/answering.py:handler"

        [[processors]]
        arn = "{LAMBDA}impatient"
        target = "{FUNCTIONS}/answering.py:handler"
        timeout_ms = 300

        [[processors]]
        arn = "{LAMBDA}strict"
        target = "{FUNCTIONS}/answering.py:handler"
        on_error = "fallback"

        [[processors]]
        arn = "{LAMBDA}broken"
        target = "{folder}/broken.py:handler"
        """
    )
    (folder / "broken.py").write_text("def handler(event, context)\n    return None\n")
    with running(folder, **QUICK, **{"flows.lease_ms": 1000}) as server:
        yield server


@pytest.mark.parametrize(
    ("content", "verdict"),
    [("pass", ("CREATE", "pass")), ("change", ("CREATE", "changed")), ("deny", ("DENIED_CREATE", "deny"))],
)
def test_an_unmodified_handler_calls_back_to_this_server(
    local: RunningServer, content: str, verdict: tuple[str, str]
) -> None:
    assert Channel(local, f"{LAMBDA}answers").becomes(content) == verdict


@pytest.mark.parametrize(
    ("function", "content", "said"),
    [
        ("answers", "raise", "no such luck"),
        ("answers", "die", "crash"),
        ("impatient", "sleep 60", "timeout"),
        ("broken", "anything", "init"),
    ],
)
def test_what_goes_wrong_in_a_function_is_shown_with_its_message_which_waits(
    local: RunningServer, lines: LogLines, function: str, content: str, said: str
) -> None:
    channel = Channel(local, LAMBDA + function)
    message_id = channel.ann.sends(channel.arn, content)

    for attempt in (1, 2, 3):
        failed = lines.until("processor.failed", message=message_id, attempt=attempt)
        assert said in failed["reason"]
    assert channel.status(message_id) == "PENDING"


def test_with_on_error_fallback_a_function_that_raises_fails_its_message(local: RunningServer) -> None:
    assert Channel(local, f"{LAMBDA}strict").becomes("raise") == ("FAILED_CREATE", "raise")


def test_a_function_that_outlasts_its_lease_is_invoked_once(local: RunningServer, lines: LogLines) -> None:
    channel = Channel(local, f"{LAMBDA}answers")

    assert channel.becomes("sleep 2.5") == ("CREATE", "sleep 2.5")

    printed = []
    while not lines.lines.empty():
        event, values = lines.lines.get()
        if event == "function.output":
            printed.append(values["text"])
    assert len([text for text in printed if text.startswith("took")]) == 1


# Which target


def test_the_longest_beginning_of_an_arn_wins(tmp_path: Path) -> None:
    targets = [
        "arn:aws:lambda:=python:tests.processors.in_process:shouts",
        f"{LAMBDA}quiet=python:tests.processors.in_process:masks",
    ]
    with running(tmp_path, processors=targets) as server:
        assert Channel(server, f"{LAMBDA}quiet").becomes("hello") == ("CREATE", "hello")
        assert Channel(server, f"{LAMBDA}other").becomes("hello") == ("CREATE", "HELLO")


# Lambda's Invoke API


@contextmanager
def lambda_service(status: int) -> Iterator[tuple[str, "Queue[tuple[str, str | None, Any]]"]]:
    """What answers Invoke: its URL, and (path, invocation type, event) of each call."""
    calls: Queue[tuple[str, str | None, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.put((self.path, self.headers["x-amz-invocation-type"], json.loads(body)))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{service.server_port}", calls
    finally:
        service.shutdown()
        service.server_close()


@pytest.fixture
def with_aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def test_lambda_itself_is_invoked_asynchronously(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_aws_keys: None
) -> None:
    with lambda_service(202) as (url, calls):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with running(tmp_path, processors=["arn:aws:lambda:=lambda:"]) as server:
            channel = Channel(server, f"{LAMBDA}far")
            message_id = channel.ann.sends(channel.arn, "hello")
            path, invocation_type, event = calls.get(timeout=PATIENCE_S)

            assert path.startswith("/2015-03-31/functions/")
            assert path.endswith("/invocations")
            assert invocation_type == "Event"
            assert event["ChannelMessage"]["MessageId"] == message_id
            channel.ann.messaging.channel_flow_callback(
                CallbackId=event["CallbackId"], ChannelArn=channel.arn, ChannelMessage={"MessageId": message_id}
            )
            assert [each.type for each in channel.session.until("CREATE_CHANNEL_MESSAGE")][-1].startswith("CREATE")


def test_a_refusal_of_lambda_leads_to_the_fallback_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_aws_keys: None
) -> None:
    with lambda_service(403) as (url, calls):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with running(tmp_path, processors=["arn:aws:lambda:=lambda:"], **QUICK) as server:
            assert Channel(server, f"{LAMBDA}far", "CONTINUE").becomes("hello") == ("CREATE", "hello")
            assert calls.qsize() == 3
