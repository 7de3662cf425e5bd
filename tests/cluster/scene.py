"""Nodes behind HAProxy, and who talks and listens there while they are restarted.

Neither the proxy nor the clients, which keep their connections, repeat anything; live sessions come back as
amazon-chime-sdk-js does.
"""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.brokers import nats
from tests.cluster.nodes import nodes
from tests.harness import LAMBDA, PATIENCE_S, App, Session, User
from tests.proxies import HaProxy, haproxy
from tests.stories.serving import Server

RECONNECT_S = 10.0
"""How long amazon-chime-sdk-js tries to come back after the first attempt that failed."""
PAUSE_S = 0.02
SESSIONS = 12
CALLS_MIN = 50
CALLS_MORE = 10
MODERATOR = """
import boto3

messaging = boto3.client("chime-sdk-messaging")


def handler(event, context):
    message = event["ChannelMessage"]
    messaging.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        ChannelMessage={"MessageId": message["MessageId"], "Content": message["Content"] + ", moderated"},
    )
"""


class KeepAlive:
    """A client with one connection, which it never opens anew: whoever ends it makes the next call fail."""

    def __init__(self, proxy: HaProxy, user: User, key: Credentials) -> None:
        self._url, self._user, self._key = proxy.url, user, key
        self._connection = http.client.HTTPConnection(proxy.address, timeout=PATIENCE_S)
        self._connection.connect()
        self._connection.auto_open = 0

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """The answer's JSON; raises `AssertionError` for a refusal, `OSError` or `HTTPException` for no answer."""
        data = None if body is None else json.dumps(body).encode()
        request = AWSRequest(method, self._url + path, headers={"x-amz-chime-bearer": self._user.arn}, data=data)
        SigV4Auth(self._key, "chime", "us-east-1").add_auth(request)
        self._connection.request(method, path, data, dict(request.headers.items()))
        answer = self._connection.getresponse()
        text = answer.read()
        assert 200 <= answer.status < 300, (answer.status, text)
        return json.loads(text)

    def sends(self, channel: str, content: str) -> str:
        """The id of the message."""
        message = {
            "Content": content,
            "Type": "STANDARD",
            "Persistence": "PERSISTENT",
            "ClientRequestToken": content.replace(": ", "-"),
        }
        answer: dict[str, str] = self.call("POST", f"/channels/{quote(channel, safe='')}/messages", message)
        return answer["MessageId"]

    def close(self) -> None:
        self._connection.close()


class Load:
    """Calls again and again, from threads, until it ends; the first failure of each is kept."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def repeats(self, name: str, call: Callable[[int], object]) -> None:
        """`call` gets the number of the turn."""

        def again_and_again() -> None:
            while not self._over.wait(PAUSE_S):
                try:
                    call(self.calls[name])
                except Exception as error:
                    self.failures.append(f"{name}, call {self.calls[name]}: {error!r}")
                    return
                self.calls[name] += 1

        thread = threading.Thread(target=again_and_again, name=name)
        self._threads.append(thread)
        thread.start()

    def goes_on(self) -> None:
        """Wait for some more calls of each."""
        wanted = {name: number + CALLS_MORE for name, number in self.calls.items()}
        while not self.failures and any(self.calls[name] < number for name, number in wanted.items()):
            self._over.wait(PAUSE_S)

    def ends(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


@dataclass
class Life:
    """What a listener heard on one connection: ids of messages by channel, and how it ended."""

    heard: dict[str, list[str]] = field(default_factory=dict)
    code: int = 0
    back_after_s: float = 0


class Listener:
    """A live session that comes back as amazon-chime-sdk-js does (spec/realtime.md §3)."""

    def __init__(self, proxy: HaProxy, user: User, key: Credentials, changed: threading.Condition, seed: int) -> None:
        self.lives: list[Life] = []
        self.here = False
        self.failure = ""
        self._proxy, self._user, self._key, self._changed = proxy, user, key, changed
        self._chance = random.Random(seed)
        self._over = False
        self._session: Session | None = None
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def has_heard(self, message: str) -> bool:
        return any(message in each for life in self.lives for each in life.heard.values())

    def closes(self) -> None:
        self._over = True
        if self._session is not None:
            self._session.close()
        self._thread.join()

    def _live(self) -> None:
        try:
            while not self._over:
                session = self._session = self._comes_back()
                self._hears(session)
        except Exception as error:
            self.failure = repr(error)

    def _comes_back(self) -> Session:
        attempt, failing_since = 0, 0.0
        began = time.monotonic()
        while True:
            try:
                session = Session(self._proxy, self._user.arn, key=self._key.access_key, secret=self._key.secret_key)  # type: ignore[arg-type]
                break
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > RECONNECT_S:
                    raise AssertionError("A client would have given up.") from error
            time.sleep(self._chance.random() * min(5, 2**attempt))
            attempt += 1
        with self._changed:
            self.lives.append(Life(back_after_s=time.monotonic() - began))
            self.here = True
            self._changed.notify_all()
        return session

    def _hears(self, session: Session) -> None:
        life = self.lives[-1]
        try:
            while True:
                event = session.next()
                if event.type == "CREATE_CHANNEL_MESSAGE":
                    with self._changed:
                        life.heard.setdefault(event.payload["ChannelArn"], []).append(event.payload["MessageId"])
                        self._changed.notify_all()
        except TimeoutError:
            raise AssertionError("Nothing was heard for a long time.") from None
        except ConnectionClosed as end:
            with self._changed:
                life.code = 1006 if end.rcvd is None else int(end.rcvd.code)
                self.here = False
        if not self._over:
            time.sleep(self._chance.random())


class Scene:
    """The nodes, the proxy, one channel with a flow and one without, and who talks and listens there."""

    def __init__(self, started: list[Server], proxy: HaProxy) -> None:
        self.nodes, self.proxy = started, proxy
        app = App(started[0])  # type: ignore[arg-type]
        self.ann, *others = app.users("ann", "bob", "cid", "dan")
        key = started[0].environment
        self.key = Credentials(key["AWS_ACCESS_KEY_ID"], key["AWS_SECRET_ACCESS_KEY"])
        flow = app.flow(f"{LAMBDA}moderate")
        self.plain = self.ann.makes_channel(members=others)
        self.moderated = self.ann.makes_channel(members=others, flow=flow)
        self.load = Load()
        self.accepted: dict[str, list[str]] = {self.plain: [], self.moderated: []}
        self._clients = [KeepAlive(proxy, self.ann, self.key) for _ in range(4)]
        self._changed = threading.Condition()
        self.listeners = [
            Listener(proxy, others[number % len(others)], self.key, self._changed, number) for number in range(SESSIONS)
        ]
        self.everybody_listens()

    def restarts(self, number: int) -> None:
        """Restart one node; returns when the proxy has it again."""
        node = self.nodes[number - 1]
        node.leave()
        self.proxy.until(f"node-{number}", up=False)
        assert node.ended() == 0
        self.everybody_listens()  # elsewhere
        node.start()
        self.proxy.until(f"node-{number}", up=True)

    def talks(self) -> None:
        """Two in the one channel, one in the other, and one reads."""
        *senders, reader = self._clients
        for number, (client, channel) in enumerate(
            zip(senders, (self.plain, self.plain, self.moderated), strict=True), 1
        ):
            self.load.repeats(
                f"sender {number}",
                lambda turn, number=number, client=client, channel=channel: self.accepted[channel].append(  # type: ignore[misc]
                    client.sends(channel, f"{number}: {turn}")
                ),
            )
        path = f"/channels/{quote(self.plain, safe='')}/messages"
        self.load.repeats("reader", lambda turn: reader.call("GET", path))

    def everybody_listens(self) -> None:
        """Wait until each listener has a session."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(each.here for each in self.listeners), PATIENCE_S), [
                (each.failure, each.lives) for each in self.listeners
            ]

    def ends(self) -> None:
        """Wait until all is delivered: everybody has heard the last message of each channel."""
        self.load.ends()
        for client in self._clients:
            client.close()
        self.everybody_listens()
        last = self.ann.sends(self.plain, "the last"), self.ann.sends(self.moderated, "the last")
        patience = time.monotonic() + PATIENCE_S
        while any(each["Status"]["Value"] == "PENDING" for each in self.reads(self.moderated)):
            assert time.monotonic() < patience, "messages are left in their flow"
        with self._changed:
            assert self._changed.wait_for(
                lambda: all(each.has_heard(message) for each in self.listeners for message in last), PATIENCE_S
            )
        self.closes()

    def reads(self, channel: str) -> list[dict[str, Any]]:
        """All messages of the channel, in order."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            answer = self.ann.list_channel_messages(ChannelArn=channel, SortOrder="ASCENDING", MaxResults=50, **token)
            found += answer["ChannelMessages"]
            if "NextToken" not in answer:
                return found
            token = {"NextToken": answer["NextToken"]}

    def nobody_noticed(self) -> None:
        """No call has failed, no accepted message is missing, and sessions that ended were told 1012 and came back."""
        assert self.load.failures == []
        assert min(self.load.calls.values()) > CALLS_MIN, self.load.calls
        assert all(self.proxy.served[f"node-{number}"] > CALLS_MIN for number, _ in enumerate(self.nodes, 1))
        assert self.proxy.served["<NOSRV>"] == 0
        assert [each.failure for each in self.listeners if each.failure] == []
        lives = [life for each in self.listeners for life in each.lives]
        assert len(lives) >= 2 * SESSIONS
        assert {life.code for each in self.listeners for life in each.lives[:-1]} == {1012}
        assert max(life.back_after_s for life in lives) < RECONNECT_S
        for channel, accepted in self.accepted.items():
            read = [each["MessageId"] for each in self.reads(channel)]
            assert sorted(read[:-1]) == sorted(accepted)
            for life in lives:
                heard = life.heard.get(channel, [])
                assert len({*heard}) == len(heard)
                if channel == self.plain and heard:  # without a gap, whatever was heard
                    first = read.index(heard[0])
                    listed = read[first : first + len(heard)]
                    assert heard == listed, [both for both in zip(heard, listed, strict=True) if both[0] != both[1]]

    def closes(self) -> None:
        self.load.ends()
        for each in self.listeners:
            each.closes()


@contextmanager
def scene(folder: Path, number: int) -> Iterator[Scene]:
    """So many nodes."""
    (folder / "moderator.py").write_text(MODERATOR)
    flags = ["--processor", f"{LAMBDA}moderate={folder / 'moderator.py'}:handler"]
    patience = {
        "CAMPANA_SERVER__DRAIN_NOTICE_S": "1",
        "CAMPANA_SERVER__DRAIN_SESSIONS_S": "1",
        "CAMPANA_FLOWS__LEASE_MS": "600000",  # what is handed over waits for no lease
    }
    with (
        nats() as broker,
        nodes(folder, number, *flags, **patience, CAMPANA_NOTIFIER__URL=broker.url) as started,
        haproxy(folder, [each.url.partition("//")[2] for each in started]) as proxy,
    ):
        found = Scene(started, proxy)
        try:
            yield found
        finally:
            found.closes()
            for each in started:
                each.leave()  # the second signal, when `nodes` ends, is not to wait for anything
