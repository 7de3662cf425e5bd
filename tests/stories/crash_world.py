"""A server that is killed while people talk: who takes part, when it is killed, and what all of them saw.

Everybody is a thread. Nobody waits for time to pass: who finds a connection broken waits for the server's next life,
kills happen in the thread that reaches the chosen moment, and the end is known by a last message in every channel.
"""

import http.client
import itertools
import json
import queue
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from tests import stores
from tests.harness import App, User, connect_url
from tests.stories.crash_history import (
    LANES,
    NOBODY,
    OBEY,
    STAMP,
    Callback,
    Connection,
    Delivery,
    Edit,
    Event,
    History,
    Listed,
    Otherwise,
    Sent,
    Verdict,
    answer,
    course,
)
from tests.stories.serving import Server

PATIENCE_S = 30
"""How long anything may take; only a test that fails waits as long."""
SETTINGS = {
    "CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true",
    "CAMPANA_FLOWS__RETRY_DELAYS_MS": "100,300",
    "CAMPANA_FLOWS__LEASE_MS": "1000",
    "CAMPANA_FLOWS__ATTEMPT_TIMEOUT_MS": "60000",  # on a busy machine nobody shall seem unreachable who is not
    "CAMPANA_SESSIONS__QUEUE_FRAMES_MAX": "100000",  # nor too slow
}
MOMENTS = (
    "a request is on its way",
    "a send was answered",
    "an edit is on its way",
    "a processor got an event",
    "a processor accepted an event",
    "a callback is on its way",
    "a callback was answered",
    "an event was heard",
)
"""When the server may be killed."""
SENDS_AFTER_LAST_KILL = 5
SLOWLY = "slowly"
"""In a content: its processors call back in the server's next life."""
LAST_WORD = "end"


class Lives:
    """The server's lives: each from a start to the next kill."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._running = False
        self.last = False
        """This life is not ended by a kill."""

    def begin(self, *, last: bool) -> None:
        with self._changed:
            self._number += 1
            self._running, self.last = True, last
            self._changed.notify_all()

    def end(self) -> None:
        """To be called before the kill."""
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def now(self) -> int:
        """The life that is under way, or else begins next."""
        with self._changed:
            self._wait(lambda: self._running)
            return self._number

    def after(self, life: int) -> int:
        """The life after one in which a connection broke: only a kill may break connections."""
        with self._changed:
            ended = self._number > life or not self._running
            assert ended, f"A connection broke in the server's life {life}, and nobody had killed it."
            self._wait(lambda: self._running and self._number > life)
            return self._number

    def wait_for_next(self) -> None:
        """Until the next life begins; not at all in the last."""
        with self._changed:
            life = self._number
            self._wait(lambda: self.last or self._number > life)

    def _wait(self, condition: Callable[[], bool]) -> None:
        assert self._changed.wait_for(condition, PATIENCE_S), "The server's next life did not begin."


@dataclass(frozen=True, slots=True)
class Answer:
    """Of an API call."""

    status: int
    body: dict[str, Any]


class Broken(Exception):
    """The answer to a call was lost with the server, which runs again by now."""


class Caller:
    """A connection for signed calls that are made once, by one thread."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._connection: http.client.HTTPConnection | None = None
        self._life = 0

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, bearer: str = "", moment: str = ""
    ) -> Answer:
        """Raises Broken. `moment` is reached when the request is on its way."""
        world = self._world
        if (life := world.lives.now()) != self._life:
            self.close()
            self._life = life
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(world.authority, timeout=PATIENCE_S)
            url = f"http://{world.authority}{path}"
            data = b"" if body is None else json.dumps(body).encode()
            request = AWSRequest(method, url, data=data, headers={"x-amz-chime-bearer": bearer} if bearer else {})
            SigV4Auth(world.credentials, "chime", "us-east-1").add_auth(request)
            self._connection.request(method, path, data, dict(request.headers))
            if moment:
                world.at(moment)
            response = self._connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        except (OSError, http.client.HTTPException):
            self.close()
            world.lives.after(life)
            raise Broken from None

    def surely(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, bearer: str = "") -> Answer:
        """A call that may be repeated until there is an answer."""
        while True:
            with suppress(Broken):
                return self.call(method, path, body, bearer=bearer)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Moderator:
    """The processors behind HTTP, at a path each. As real ones they go on when the server is gone, and call again."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._calling_back = ThreadPoolExecutor(500)
        moderator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with world.failing():
                    moderator.takes(self.path.removeprefix("/"), event, self.answers)

            def answers(self, status: int) -> None:
                with suppress(OSError):  # the server was killed: it does not know that the event is here
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    self.wfile.flush()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        class HttpServer(ThreadingHTTPServer):
            request_queue_size = 500
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a request that the server did not live to write

        self._server = HttpServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def takes(self, processor: str, event: Mapping[str, Any], answers: Callable[[int], None]) -> None:
        """Accept an event, and call back: before, afterwards, twice, or only in the server's next life."""
        message = event["ChannelMessage"]
        content = message["Content"]
        self._world.deliveries.append(Delivery(processor, event["CallbackId"], message["MessageId"], content))
        self._world.at("a processor got an event")
        decision = answer(processor, content)
        if decision is Otherwise.UNREACHABLE:
            answers(503)
            return
        number = int(re.findall(r"\d+", content)[0])
        if number % 5 == 0 and SLOWLY not in content:
            self._call_back(event, decision)
            answers(200)
            return
        answers(200)
        self._world.at("a processor accepted an event")
        self._calling_back.submit(self._call_back_later, event, decision, 2 if number % 7 == 0 else 1)

    def _call_back_later(self, event: Mapping[str, Any], decision: str | Otherwise, times: int) -> None:
        with self._world.failing():
            if SLOWLY in event["ChannelMessage"]["Content"]:
                self._world.lives.wait_for_next()
            for _ in range(times):
                self._call_back(event, decision)

    def _call_back(self, event: Mapping[str, Any], decision: str | Otherwise) -> None:
        """Until there is an answer. A refusal means that somebody was faster: an earlier call of ours, for example."""
        message = event["ChannelMessage"]
        fields = {"MessageId": message["MessageId"]}
        if decision not in (Otherwise.DENY, message["Content"]):
            fields["Content"] = decision
        body = {
            "CallbackId": event["CallbackId"],
            "ChannelMessage": fields,
            "DeleteResource": decision is Otherwise.DENY,
        }
        path = f"/channels/{quote(message['ChannelArn'], safe='')}?operation=channel-flow-callback"
        with closing(Caller(self._world)) as caller:
            while True:
                try:
                    status = caller.call("POST", path, body, moment="a callback is on its way").status
                except Broken:
                    self._world.callbacks.append(Callback(event["CallbackId"], None))
                    continue
                self._world.callbacks.append(Callback(event["CallbackId"], status))
                assert status in (200, 400, 403, 409), f"a callback was answered with {status}"
                self._world.at("a callback was answered")
                return

    def close(self) -> None:
        """Finish what was begun, take nothing more."""
        self._calling_back.shutdown()
        self._server.shutdown()
        self._server.server_close()


class World:
    """A server, an app instance with a channel for each lane, and everybody who talks and listens there."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.lives = Lives()
        environment = server.environment
        self.credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        self.sent: list[Sent] = []
        self.edits: list[Edit] = []
        self.deliveries: list[Delivery] = []
        self.callbacks: list[Callback] = []
        self.connections: list[Connection] = []
        self.kills: list[tuple[str, int]] = []
        """The moment of each, and when that was by the clock (milliseconds)."""
        self._moments = itertools.count(1)
        self._numbers = itertools.count(1)
        self._news: queue.Queue[BaseException | None] = queue.Queue()
        self._kill_lock = threading.Lock()
        self._kill_at = ("", 0)
        self._hearing = threading.Condition()
        self._sessions: dict[str, ClientConnection] = {}
        self._verdicts: set[tuple[str, str, str]] = set()
        self._listeners: list[str] = []
        self._threads: list[threading.Thread] = []
        self._nobody = socket.socket()  # a port that is taken and where nobody listens
        self._nobody.bind(("127.0.0.1", 0))
        self._moderator = Moderator(self)
        self._make_channels()

    @property
    def authority(self) -> str:
        return urlsplit(self.server.url).netloc

    def _make_channels(self) -> None:
        app = App(cast(Any, self.server))  # it wants its clients only
        self.senders = app.users("ann", "bob", "cat")
        self.bystander = app.user("dan")
        nobody = f"http://127.0.0.1:{self._nobody.getsockname()[1]}"
        urls = {OBEY: self._moderator.url, STAMP: self._moderator.url, NOBODY: nobody}
        self.channels = {}
        for lane, processors in LANES.items():
            flow = app.flow(*((f"{urls[each.name]}/{each.name}", each.fallback.value) for each in processors))
            first, *others = [*self.senders, self.bystander]
            self.channels[lane] = first.makes_channel(members=others, flow=flow)
        self._lanes = {arn: lane for lane, arn in self.channels.items()}

    # Kills

    def at(self, moment: str) -> None:
        """The calling thread has reached a moment; if it is the chosen one, it kills the server."""
        with self._kill_lock:
            chosen, count = self._kill_at
            if chosen != moment:
                return
            self._kill_at = (chosen, count - 1) if count > 1 else ("", 0)
            if count > 1:
                return
        self.lives.end()
        self.kills.append((moment, time.time_ns() // 1_000_000))
        self.server.kill()
        self._news.put(None)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """An error of a thread is the story's."""
        try:
            yield
        except BaseException as error:
            self._news.put(error)
            raise

    def live_through(self, kills: int) -> History:
        """The whole story: so many kills, and rest."""
        chance = random.Random(f"{self.seed} kills")
        self.lives.begin(last=False)
        for user in [*self.senders, self.bystander, self.bystander]:
            self._listeners.append(f"{user.arn} {len(self._threads)}")
            self._begin(self._listen, user, self._listeners[-1])
        sending = [self._begin(self._send_on, user) for user in self.senders]
        moments = [*itertools.islice(itertools.cycle(chance.sample(MOMENTS, len(MOMENTS))), kills)]
        with closing(Caller(self)) as caller:
            for number, moment in enumerate(moments):
                if number % 2 == 0:
                    self._begin_one_of_each(caller)  # else the kill may come as soon as the server is up
                with self._kill_lock:
                    self._kill_at = (moment, chance.randint(1, 40))
                self._wait_for_kill()
                self.server.start()
                self.lives.begin(last=number + 1 == kills)
            for thread in sending:
                self._join(thread)
            return self._come_to_rest(caller)

    def _wait_for_kill(self) -> None:
        try:
            error = self._news.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError(f"nobody reached the moment of the kill: {self._kill_at}") from None
        if error is not None:
            raise error

    def _begin(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            with suppress(Exception), self.failing():
                work(*arguments)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _join(self, thread: threading.Thread) -> None:
        thread.join(PATIENCE_S)
        self._raise_failures()
        assert not thread.is_alive(), "A thread did not come to its end."

    def _raise_failures(self) -> None:
        while not self._news.empty():
            if (error := self._news.get()) is not None:
                raise error

    # Sending

    def _send_on(self, user: User) -> None:
        """Send, and edit now and then, until some time after the last kill."""
        chance = random.Random(f"{self.seed} {user.arn.rpartition('/')[2]}")
        editable: list[Sent] = []
        left = SENDS_AFTER_LAST_KILL
        with closing(Caller(self)) as caller:
            while left:
                left -= self.lives.last
                lane = chance.choice(["moderated", "moderated", *LANES])
                sent = self._send(
                    caller,
                    user,
                    lane,
                    self._content(chance),
                    persistent=chance.random() < 0.8,
                    gives_up=chance.random() < 0.5,
                )
                if sent.ids and sent.persistent and course(lane, sent.content).verdict is Verdict.SENT:
                    editable.append(sent)
                if editable and chance.random() < 0.3:
                    self._edit(caller, editable, editable.pop(chance.randrange(len(editable))), chance)

    def _content(self, chance: random.Random) -> str:
        how = f"{SLOWLY} " if chance.random() < 0.1 else ""
        return f"{chance.choice(['pass', 'change', 'deny', 'refuse'])} {how}{next(self._numbers)}"

    def _begin_one_of_each(self, caller: Caller) -> None:
        """A message of each outcome that has no verdict when the server is killed next."""
        ann = self.senders[0]
        for word in ("pass", "change", "deny"):
            self._send(caller, ann, "moderated", f"{word} {SLOWLY} {next(self._numbers)}")
        self._send(caller, ann, "twice", f"change {SLOWLY} {next(self._numbers)}")
        for lane in ("lenient", "strict", "around"):
            self._send(caller, ann, lane, f"pass {next(self._numbers)}")

    def _send(
        self,
        caller: Caller,
        user: User,
        lane: str,
        content: str,
        *,
        persistent: bool = True,
        gives_up: bool = False,
    ) -> Sent:
        """With the same token until there is an answer; one that gives up does not try again after a kill."""
        sent = Sent(lane, user.arn, content, persistent, next(self._moments), ())
        while not sent.ids:
            try:
                id = self._call_send(caller, sent)
            except Broken:
                # Of one that is neither listed nor answered nobody could say whether it has come to rest.
                if gives_up and persistent:
                    break
                continue
            sent = replace(sent, ids=(id,))
        self.sent.append(sent)
        self.at("a send was answered")
        return sent

    def _call_send(self, caller: Caller, sent: Sent) -> str:
        """The message id in the answer, which is the same however often it is given. Raises Broken."""
        body = {
            "Content": sent.content,
            "Type": "STANDARD",
            "Persistence": "PERSISTENT" if sent.persistent else "NON_PERSISTENT",
            "ClientRequestToken": sent.content.replace(" ", "-"),
        }
        path = f"/channels/{quote(self.channels[sent.lane], safe='')}/messages"
        found = caller.call("POST", path, body, bearer=sent.sender, moment="a request is on its way")
        assert (found.status, found.body.get("Status")) == (201, {"Value": "PENDING"}), found
        id: str = found.body["MessageId"]
        return id

    def _edit(self, caller: Caller, editable: list[Sent], sent: Sent, chance: random.Random) -> None:
        """Edit a message if it was released already; once, since nobody could tell a repetition from a second edit."""
        if self._status(caller, sent) != Verdict.SENT:
            editable.append(sent)
            return
        edit = Edit(sent.ids[0], self._content(chance), next(self._moments), accepted=False)
        path = f"/channels/{quote(self.channels[sent.lane], safe='')}/messages/{edit.message_id}"
        with suppress(Broken):
            found = caller.call(
                "PUT", path, {"Content": edit.content}, bearer=sent.sender, moment="an edit is on its way"
            )
            assert (found.status, found.body.get("Status")) == (200, {"Value": "PENDING"}), found
            edit = replace(edit, accepted=True)
        self.edits.append(edit)

    def _status(self, caller: Caller, sent: Sent) -> str | None:
        """GetChannelMessageStatus; None if it is refused."""
        path = f"/channels/{quote(self.channels[sent.lane], safe='')}/messages/{sent.ids[0]}?scope=message-status"
        found = caller.surely("GET", path, bearer=sent.sender)
        assert found.status in (200, 403), found
        value: str | None = found.body["Status"]["Value"] if found.status == 200 else None
        return value

    # Listening

    def _listen(self, user: User, name: str) -> None:
        """Session after session, until one has heard the last word in every channel."""
        to_the_end = False
        while not to_the_end:
            life = self.lives.now()
            opened, heard, silent = 0, {lane: list[Event]() for lane in LANES}, set(LANES)
            key = {"key": self.credentials.access_key, "secret": self.credentials.secret_key}
            try:
                with websocket(
                    connect_url(self.server.url, user.arn, **key), open_timeout=PATIENCE_S, compression=None
                ) as session:
                    assert "SESSION_ESTABLISHED" in session.recv(timeout=PATIENCE_S)
                    opened = next(self._moments)
                    self._tell(partial(self._sessions.update, {name: session}))
                    while silent:
                        self._hear(user, json.loads(session.recv(timeout=2 * PATIENCE_S)), heard, silent)
                to_the_end = True
            except (OSError, EOFError, WebSocketException):
                self._tell(partial(self._sessions.pop, name, None))
                self.lives.after(life)
            if opened:
                self.connections.append(Connection(user.arn, opened, to_the_end, heard))

    def _hear(self, user: User, frame: Mapping[str, Any], heard: dict[str, list[Event]], silent: set[str]) -> None:
        type = frame["Headers"]["x-amz-chime-event-type"]
        payload = json.loads(frame["Payload"])
        lane = self._lanes[payload["ChannelArn"]]
        if payload["Content"] == LAST_WORD:
            silent.discard(lane)
            return
        event = Event(type, payload["MessageId"], payload["Content"])
        heard[lane].append(event)
        if not type.startswith("PENDING_"):
            verdict = (user.arn, event.message_id, "UPDATE" if "UPDATE" in type else "CREATE")
            self._tell(partial(self._verdicts.add, verdict))
        self.at("an event was heard")

    def _tell(self, change: Callable[[], object]) -> None:
        with self._hearing:
            change()
            self._hearing.notify_all()

    def _wait_to_hear(self, condition: Callable[[], bool]) -> bool:
        """Whether what listeners tell came to fulfil it."""
        with self._hearing:
            heard = self._hearing.wait_for(condition, PATIENCE_S)
        self._raise_failures()
        return heard

    def _wait_to_listen(self, name: str) -> None:
        """Until a session of this listener's answers that was not broken by the last kill."""
        broken: list[ClientConnection | None] = [None]
        while True:
            again = self._wait_to_hear(lambda: self._sessions.get(name) not in broken)
            assert again, f"{name} does not listen again."
            session = self._sessions.get(name)
            if session is None:
                continue
            with suppress(WebSocketException):
                session.ping(ack_on_close=True).wait(PATIENCE_S)
                if session.state is State.OPEN:
                    return
            broken.append(session)

    # The end

    def _come_to_rest(self, caller: Caller) -> History:
        for name in self._listeners:
            self._wait_to_listen(name)
        # Everybody listens, so what has no verdict by now is heard when it gets it.
        pending = {(sent.sender, sent.ids[0], "CREATE") for sent in self.sent if sent.ids and self._pends(caller, sent)}
        for user in self.senders:
            for lane in LANES:
                for message in self._list(user, lane):
                    if message["Status"]["Value"] == "PENDING":
                        operation = "UPDATE" if "LastEditedTimestamp" in message else "CREATE"
                        pending.add((user.arn, message["MessageId"], operation))
        decided = self._wait_to_hear(lambda: pending <= self._verdicts)
        assert decided, f"These never got a verdict: {pending - self._verdicts}"
        for index, sent in enumerate(self.sent):
            if sent.ids:  # whoever asks again gets the answer of then
                self.sent[index] = replace(sent, ids=(*sent.ids, self._call_send(caller, sent)))
        for channel in self.channels.values():
            self.bystander.sends(channel, LAST_WORD, Type="CONTROL", Persistence="NON_PERSISTENT")
        for thread in self._threads:
            self._join(thread)
        listings = {
            (user.arn, lane): [
                Listed(each["MessageId"], each["Content"], each["Status"]["Value"]) for each in self._list(user, lane)
            ]
            for user in (*self.senders, self.bystander)
            for lane in LANES
        }
        statuses = {sent.ids[0]: self._status(caller, sent) for sent in self.sent if sent.ids}
        self._moderator.close()
        self._raise_failures()
        assert self.server.stop() == 0
        return History(
            self.sent,
            self.edits,
            self.deliveries,
            self.callbacks,
            self.connections,
            listings,
            statuses,
            {lane: [event for _, event in self.journal(lane)] for lane in LANES},
        )

    def _pends(self, caller: Caller, sent: Sent) -> bool:
        return not sent.persistent and self._status(caller, sent) == "PENDING"

    def _list(self, user: User, lane: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        token = ""
        while True:
            page = user.list_channel_messages(ChannelArn=self.channels[lane], NextToken=token)
            messages += page["ChannelMessages"]
            if "NextToken" not in page:
                return messages
            token = page["NextToken"]

    # The database, when the server has ended

    def journal(self, lane: str) -> list[tuple[int, Event]]:
        """The message events of a channel, in order, with their times (milliseconds)."""
        rows = self._rows(
            "SELECT number, created_at, frame FROM journal WHERE topic = ? ORDER BY number",
            f"channel/{self.channels[lane]}",
        )
        assert [number for number, _, _ in rows] == [*range(1, len(rows) + 1)], f"the journal of {lane} has a gap"
        events = []
        for _, at, text in rows:
            frame = json.loads(text)
            type, payload = frame["Headers"]["x-amz-chime-event-type"], json.loads(frame["Payload"])
            if type.endswith("_CHANNEL_MESSAGE") and payload["Type"] == "STANDARD":
                events.append((at, Event(type, payload["MessageId"], payload["Content"])))
        return events

    def unfinished(self) -> int:
        """How many executions have no verdict."""
        return len(self._rows("SELECT id FROM executions WHERE state IN ('INVOKING', 'AWAITING_CALLBACK')"))

    def _rows(self, sql: str, *values: str) -> list[Any]:
        return stores.query(stores.url(self.server.data_dir), sql, *values)

    def summary(self, history: History) -> str:
        """How much happened, for whoever wonders whether it was enough."""
        answers = Counter(callback.status for callback in history.callbacks)
        handed = Counter((each.callback_id, each.processor) for each in history.deliveries)
        return "\n".join((
            f"sends: {len(history.sent)}, of them given up: {sum(not sent.ids for sent in history.sent)}",
            f"edits: {len(history.edits)}, of them without an answer: {sum(not e.accepted for e in history.edits)}",
            f"events handed to processors: {sum(handed.values())}, of them again: {handed.total() - len(handed)}",
            f"callbacks by status: {dict(answers)}",
            f"connections: {len(history.connections)}",
        ))  # fmt: skip

    def in_flight(self) -> set[tuple[str, str]]:
        """The lanes and words of messages that were between acceptance and verdict at some kill."""
        found = set()
        for lane in LANES:
            begun: dict[str, tuple[int, str]] = {}
            for at, event in self.journal(lane):
                if event.type == "PENDING_CREATE_CHANNEL_MESSAGE":
                    begun[event.message_id] = (at, event.content.partition(" ")[0])
                elif event.message_id in begun:
                    since, word = begun.pop(event.message_id)
                    if any(since <= killed < at for _, killed in self.kills):
                        found.add((lane, word))
        return found
