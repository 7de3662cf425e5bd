"""A whole server for tests: real sockets, real SQLite, boto3; time can be moved.

with running(tmp_path) as server:
    app = App(server)
    ann, bob = app.users("ann", "bob")
    lobby = ann.makes_channel(members=[bob])
    heard = bob.connects()
    ann.sends(lobby, "hello")
    assert heard.next().type == "CREATE_CHANNEL_MESSAGE"
"""

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import boto3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from campana.clock import Ids, SystemClock
from campana.server.app import Server
from campana.server.data_folder import held
from campana.settings import PostgresUrl, Settings, load
from tests import stores

KEY, SECRET = "CAMPTESTROOT", "test-root-secret"
PATIENCE_S = 20
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:"


class MovableClock:
    """The machine's clock, put forward or back by `advance`; whoever sleeps on it then looks at the time again."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._stopped_at: int | None = None
        self._sleepers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now(self) -> int:
        return (SystemClock().now() if self._stopped_at is None else self._stopped_at) + self._ahead_ms

    def stop(self) -> None:
        """From now on time passes by `advance` alone."""
        self._stopped_at = SystemClock().now()

    async def sleep(self, seconds: float) -> None:
        moved = asyncio.Event()
        sleeper = (asyncio.get_running_loop(), moved)
        self._sleepers.add(sleeper)
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            pass
        finally:
            self._sleepers.discard(sleeper)

    def advance(self, *, hours: float = 0, ms: int = 0) -> None:
        """Negative: back."""
        self._ahead_ms += ms + int(hours * 3_600_000)
        for loop, moved in list(self._sleepers):
            loop.call_soon_threadsafe(moved.set)


class RunningServer:
    """A `Server` on a thread and loop of its own. Stopped and started again, it has the same data and port."""

    def __init__(self, settings: Settings, clock: MovableClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or MovableClock()
        self._clients: dict[str, Any] = {}
        self._port = 0

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="campana-test-server", daemon=True)
        self._thread.start()
        self._hold = held(self.settings.server.data_dir)
        self._hold.__enter__()
        environment = {"CAMPANA_ROOT_ACCESS_KEY_ID": KEY, "CAMPANA_ROOT_SECRET_ACCESS_KEY": SECRET}
        settings = replace(self.settings, server=replace(self.settings.server, port=self._port))
        self.server = Server(settings, self.clock, Ids(), environment)
        self.run(self.server.start())
        self.url = self.server.url
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self.run(self.server.stop())
        self._hold.__exit__(None, None, None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Any) -> Any:
        """Await something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def settle(self) -> None:
        """Let the background clean-up finish."""
        self.run(self.server._sweeper.settle())

    def writes(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """`work` in a transaction, for rows that no operation makes yet, and to see what is left of others."""
        return self.run(self.server._db.write(work, *arguments))

    @property
    def flags(self) -> list[str]:
        """What tells a command which server it is about."""
        url = self.settings.database.url
        database = ["--database-url", url.text] if isinstance(url, PostgresUrl) else []
        return ["--data-dir", str(self.settings.server.data_dir), *database]

    def client(self, service: str) -> Any:
        """A boto3 client with the root key, without retries: each refusal is seen."""
        if service not in self._clients:
            self._clients[service] = client(service, self.url)
        return self._clients[service]


def client(
    service: str, url: str, *, key: str = KEY, secret: str = SECRET, token: str | None = None, validates: bool = True
) -> Any:
    """`validates`: whether boto3 itself refuses requests whose shape is wrong."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50, parameter_validation=validates),
    )


@contextmanager
def running(folder: Path, clock: MovableClock | None = None, **settings: Any) -> Iterator[RunningServer]:
    """A server with its data in `folder`; settings by path, as in `{"flows.lease_ms": 1000}`, and from a campana.toml
    in the folder; with a clock of its own unless one is given."""
    given = {
        "server.port": 0,
        "server.data_dir": folder / "data",
        "server.drain_s": 2,
        "flows.accept_http_resource_arns": True,
        **stores.settings(folder / "data"),
        **settings,
    }
    file = folder / "campana.toml"
    server = RunningServer(load(file if file.exists() else None, {}, given), clock)
    server.start()
    try:
        yield server
    finally:
        server.stop()


REFUSALS = {
    "BadRequest": 400,
    "ResourceLimitExceeded": 400,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "ServiceUnavailable": 503,
}


@contextmanager
def refused(code: str) -> Iterator[None]:
    """What is done inside is answered with this error of the API."""
    try:
        yield
    except ClientError as error:
        answer = error.response
        assert (answer["Error"]["Code"], answer["Code"]) == (f"{code}Exception", code), answer
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == REFUSALS[code]
        assert answer["Error"]["Message"]
    else:
        raise AssertionError(f"not refused with {code}")


class App:
    """An app instance of its own."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.identity = server.client("chime-sdk-identity")
        self.messaging = server.client("chime-sdk-messaging")
        self.arn: str = self.identity.create_app_instance(Name="test")["AppInstanceArn"]

    def user(self, name: str) -> "User":
        answer = self.identity.create_app_instance_user(
            AppInstanceArn=self.arn, AppInstanceUserId=name, Name=name.title()
        )
        return User(self, answer["AppInstanceUserArn"])

    def users(self, *names: str) -> list["User"]:
        return [self.user(name) for name in names]

    def admin(self, name: str) -> "User":
        user = self.user(name)
        self.identity.create_app_instance_admin(AppInstanceArn=self.arn, AppInstanceAdminArn=user.arn)
        return user

    def flow(self, *processors: "str | tuple[str, str]") -> str:
        """A flow of processors: a ResourceArn each, or one with its fallback action (default ABORT)."""
        listed = [(each, "ABORT") if isinstance(each, str) else each for each in processors]
        answer = self.messaging.create_channel_flow(
            AppInstanceArn=self.arn,
            Name="flow",
            Processors=[
                {
                    "Name": f"processor {order}",
                    "Configuration": {"Lambda": {"ResourceArn": resource_arn, "InvocationType": "ASYNC"}},
                    "ExecutionOrder": order,
                    "FallbackAction": fallback,
                }
                for order, (resource_arn, fallback) in enumerate(listed, 1)
            ],
        )
        return answer["ChannelFlowArn"]


class User:
    """A user who calls: every messaging operation is a method, with this user as bearer."""

    def __init__(self, app: App, arn: str) -> None:
        self.app = app
        self.arn = arn
        self.messaging = app.messaging

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self.messaging, operation)
        return lambda **members: method(ChimeBearer=self.arn, **members)

    def makes_channel(self, *, members: "list[User] | None" = None, flow: str | None = None, **more: Any) -> str:
        if members:
            more["MemberArns"] = [member.arn for member in members]
        channel: str = self.create_channel(AppInstanceArn=self.app.arn, Name="Lobby", **more)["ChannelArn"]
        if flow is not None:
            self.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        return channel

    def sends(self, channel: str, content: str, **more: Any) -> str:
        """The id of the message."""
        members = {"Type": "STANDARD", "Persistence": "PERSISTENT", **more}
        answer = self.send_channel_message(ChannelArn=channel, Content=content, **members)
        return answer["MessageId"]

    def reads(self, channel: str, **more: Any) -> list[dict[str, Any]]:
        """The newest messages of a channel, newest first."""
        return self.list_channel_messages(ChannelArn=channel, **more)["ChannelMessages"]

    def connects(self, **parameters: str) -> "Session":
        """A live session, established."""
        return Session(self.app.server, self.arn, **parameters)


@dataclass(frozen=True)
class Heard:
    """One frame."""

    type: str
    message_type: str
    payload: Any
    reason: str | None = None


_session_numbers = count(1)


def connect_url(
    url: str, user_arn: str, *, key: str = KEY, secret: str = SECRET, token: str | None = None, **parameters: str
) -> str:
    """The signed URL of a live session."""
    base = url.replace("http", "ws", 1)
    given = {"sessionId": f"s{next(_session_numbers)}", "userArn": user_arn, **parameters}
    request = AWSRequest("GET", f"{url}/connect?{urlencode(given)}")
    SigV4QueryAuth(Credentials(key, secret, token), "chime", "us-east-1", expires=10).add_auth(request)
    return base + request.url.removeprefix(url)


class Session:
    """A live session that has been established. Frames are read by the test's own thread."""

    def __init__(self, server: RunningServer, user_arn: str, **parameters: str) -> None:
        opening = websocket(connect_url(server.url, user_arn, **parameters), open_timeout=PATIENCE_S, compression=None)
        self.socket: ClientConnection = opening.__enter__()
        assert self.next().type == "SESSION_ESTABLISHED"

    def next(self) -> Heard:
        frame = json.loads(self.socket.recv(timeout=PATIENCE_S))
        headers = frame["Headers"]
        payload = json.loads(frame["Payload"]) if "Payload" in frame else None
        return Heard(
            headers["x-amz-chime-event-type"],
            headers["x-amz-chime-message-type"],
            payload,
            headers.get("x-amz-chime-event-reason"),
        )

    def until(self, type: str, **payload: Any) -> list[Heard]:
        """Everything up to and with the first event of this type whose payload has these members."""
        heard = []
        while True:
            heard.append(self.next())
            if heard[-1].type == type and payload.items() <= (heard[-1].payload or {}).items():
                return heard

    def closed(self) -> int:
        """The close code, after any frames still to come."""
        try:
            while True:
                self.socket.recv(timeout=PATIENCE_S)
        except ConnectionClosed as end:
            return 1006 if end.rcvd is None else int(end.rcvd.code)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Processor:
    """A processor behind HTTP: its events wait to be taken; `status` is what it answers to the next ones.

    While `answers` is cleared it takes events and keeps silent.
    """

    def __init__(self) -> None:
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.heard: list[dict[str, str]] = []
        """The headers of each event, names in lower case."""
        self.answers = threading.Event()
        self.answers.set()
        processor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                processor.heard.append({name.lower(): value for name, value in self.headers.items()})
                processor.events.put(json.loads(body))
                processor.answers.wait()
                with suppress(ConnectionError):  # the server gave up waiting
                    self.send_response(processor.status)
                    for name, value in {"content-length": "0", **processor.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.arn = f"http://127.0.0.1:{self._server.server_port}/processor"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def takes(self) -> dict[str, Any]:
        """The next event."""
        return self.events.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


def calls_back(app: App, event: dict[str, Any], *, deny: bool = False, **fields: Any) -> Any:
    """A processor's answer to an event, with the fields it changes."""
    message = event["ChannelMessage"]
    return app.messaging.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        DeleteResource=deny,
        ChannelMessage={"MessageId": message["MessageId"], **fields},
    )
