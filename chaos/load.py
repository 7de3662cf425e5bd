"""Everybody who talks and listens while faults happen, and what all of them saw: the `History` that is judged.

Senders repeat a request with its token until it is accepted, as SDKs do. Sessions connect anew as amazon-chime-sdk-js
does, within ten seconds, and then read over REST what they may have missed. Processors call back until they are heard.
"""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import boto3
import msgspec
from aiohttp import web
from bench.signing import REGION, Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.stories.crash_history import (
    LANES,
    NOBODY,
    PLAIN,
    Callback,
    Connection,
    Delivery,
    Event,
    History,
    Listed,
    Otherwise,
    Sent,
    answer,
)

from chaos.api import AGAIN, NO_ANSWER, Api, Attempt, label
from chaos.recording import Recording

SDK_SENDERS, HTTP_SENDERS, LISTENERS = 2, 6, 4
PAUSE_S = (0.1, 0.4)
"""A sender's, between an answer and the next message."""
WORDS = ("pass", "pass", "change", "deny", "refuse")
SLOWLY, SLOW_SHARE, SLOW_S = "slowly", 0.1, (1.0, 6.0)
"""Of some contents processors think for so long."""
LOOK_BACK_S = 60
"""How far before the loss of its session a client reads: messages in flows keep the time at which they were sent."""
RECONNECT_S = 5.0
REPEATED = 60
"""Sends that are repeated at the end, to see whether the token still gets its first answer."""
STATUSES = 200
"""Messages whose status is asked for at the end."""
END_TIMEOUT_S = 90
LAST_WORD = "end"
PAGE = 50


class Hung(Exception):
    """Something did not come to its end."""


@dataclass(slots=True)
class _Session:
    """A live session, and what it has heard of each lane."""

    heard: dict[str, list[Event]]
    silent: set[str]
    """The lanes whose last word is still to come."""
    opened: int = 0
    """The moment; 0 before it is established."""
    settling: asyncio.Task[None] | None = None


class Load:
    """A world of an app instance with a channel for each lane, one of them without a flow."""

    def __init__(self, port: int, key: Key, seed: int, recording: Recording) -> None:
        self._port, self._key, self._seed = port, key, seed
        self._recording = recording
        self._api = Api(port, key, recording.attempt)
        self._quiet = Api(port, key, lambda _: None)
        self._numbers, self._moments, self._session_numbers = itertools.count(1), itertools.count(1), itertools.count(1)
        self._sent: list[Sent] = []
        self._deliveries: list[Delivery] = []
        self._callbacks: list[Callback] = []
        self._connections: list[Connection] = []
        self._known: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._began: dict[str, float] = {}
        self._calling_back: set[asyncio.Task[None]] = set()
        self._senders: list[asyncio.Task[None]] = []
        self._listeners: list[asyncio.Task[None]] = []
        self._behind: dict[str, datetime] = {}
        self._unsettled: set[str] = set()
        self._settled = asyncio.Event()
        self._stopping = False
        self._runner: web.AppRunner | None = None
        self.users: list[str] = []
        self.channels: dict[str, str] = {}

    # The world

    async def start(self) -> None:
        """Make the world, open the sessions, begin to send."""
        url = await self._serve_processors()
        instance = await self._api.surely("POST", "/app-instances", {"Name": "chaos", "ClientRequestToken": "app"})
        app = instance["AppInstanceArn"]
        for number in range(SDK_SENDERS + HTTP_SENDERS + LISTENERS):
            fields = {"AppInstanceArn": app, "AppInstanceUserId": f"user-{number}", "Name": f"User {number}"}
            made = await self._api.surely("POST", "/app-instance-users", {**fields, "ClientRequestToken": f"u{number}"})
            self.users.append(made["AppInstanceUserArn"])
        for lane in (PLAIN, *LANES):
            self.channels[lane] = await self._make_channel(app, lane, url)
        self._lanes = {arn: lane for lane, arn in self.channels.items()}
        self._unsettled = set(self.users)
        self._listeners = [asyncio.create_task(self._listen(user)) for user in self.users]
        await self._all_listen()
        sdk, http = self.users[:SDK_SENDERS], self.users[SDK_SENDERS : SDK_SENDERS + HTTP_SENDERS]
        self._senders = [
            *(asyncio.create_task(asyncio.to_thread(self._send_by_sdk, user)) for user in sdk),
            *(asyncio.create_task(self._send_by_http(user)) for user in http),
        ]

    async def _make_channel(self, app: str, lane: str, url: str) -> str:
        owner, *others = self.users
        fields = {"AppInstanceArn": app, "Name": lane, "ClientRequestToken": f"c-{lane}"}
        made = await self._api.surely("POST", "/channels", fields, bearer=owner)
        channel: str = made["ChannelArn"]
        path = f"/channels/{label(channel)}"
        members = f"{path}/memberships?operation=batch-create"
        await self._api.surely("POST", members, {"MemberArns": others}, bearer=owner)
        if lane in LANES:
            processors = [
                {
                    "Name": f"{number} {each.name}",
                    "ExecutionOrder": number,
                    "FallbackAction": each.fallback.value,
                    "Configuration": {
                        # A port that nobody listens on stands for one that can't be reached.
                        "Lambda": {
                            "ResourceArn": "http://127.0.0.1:9/x" if each.name == NOBODY else f"{url}/{each.name}",
                            "InvocationType": "ASYNC",
                        }
                    },
                }
                for number, each in enumerate(LANES[lane], 1)
            ]
            flow = {"AppInstanceArn": app, "Name": lane, "Processors": processors, "ClientRequestToken": f"f-{lane}"}
            arn = (await self._api.surely("POST", "/channel-flows", flow))["ChannelFlowArn"]
            await self._api.surely("PUT", f"{path}/channel-flow", {"ChannelFlowArn": arn}, bearer=owner)
        return channel

    # Sending

    def _next(self, user: str, chance: random.Random) -> Sent:
        lane = chance.choice([PLAIN, PLAIN, PLAIN, "moderated", "moderated", *LANES])
        how = f"{SLOWLY} " if chance.random() < SLOW_SHARE else ""
        content = f"{chance.choice(WORDS)} {how}{next(self._numbers)}"
        return Sent(lane, user, content, persistent=True, began=next(self._moments), ids=())

    def _accepted(self, sent: Sent, begun: float, answer: Mapping[str, Any]) -> None:
        self._recording.accepted(begun, time.monotonic())
        self._sent.append(replace(sent, ids=(answer["MessageId"],)))

    async def _send_by_http(self, user: str) -> None:
        chance = random.Random(f"{self._seed} {user.rpartition('/')[2]}")
        while not self._stopping:
            sent, begun = self._next(user, chance), time.monotonic()
            self._began[sent.content] = begun
            self._accepted(sent, begun, await self._call_send(self._api, sent))
            await asyncio.sleep(chance.uniform(*PAUSE_S))

    async def _call_send(self, api: Api, sent: Sent) -> dict[str, Any]:
        path = f"/channels/{label(self.channels[sent.lane])}/messages"
        return await api.surely("POST", path, _fields(sent), bearer=sent.sender)

    def _send_by_sdk(self, user: str) -> None:
        """boto3 in a thread, with its own retries; with ours, and the same token, when it gives up."""
        chance = random.Random(f"{self._seed} {user.rpartition('/')[2]}")
        client = boto3.client(
            "chime-sdk-messaging",
            endpoint_url=f"http://127.0.0.1:{self._port}",
            region_name=REGION,
            aws_access_key_id=self._key.access_key_id,
            aws_secret_access_key=self._key.secret,
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
        )
        begun_at = [0.0]

        def before(**_: Any) -> None:
            begun_at[0] = time.monotonic()

        def after(response_dict: Mapping[str, Any] | None, exception: Exception | None, **_: Any) -> None:
            status = NO_ANSWER if response_dict is None else int(response_dict["status_code"])
            seconds = time.monotonic() - begun_at[0]
            self._recording.attempt(Attempt(begun_at[0], seconds, status, repr(exception) if exception else ""))

        client.meta.events.register("before-send.chime-sdk-messaging.SendChannelMessage", before)
        client.meta.events.register("response-received.chime-sdk-messaging.SendChannelMessage", after)
        while not self._stopping:
            sent, begun = self._next(user, chance), time.monotonic()
            self._began[sent.content] = begun
            while True:
                try:
                    made = client.send_channel_message(
                        ChannelArn=self.channels[sent.lane], ChimeBearer=user, **_fields(sent)
                    )
                    break
                except ClientError as error:
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] not in AGAIN:
                        raise
                except BotoCoreError:
                    pass
                time.sleep(chance.random())
            self._accepted(sent, begun, made)
            time.sleep(chance.uniform(*PAUSE_S))

    # Listening

    async def _listen(self, user: str) -> None:
        """Session after session, until one has heard the last word in every channel."""
        lost_at: float | None = None
        failures = 0
        while True:
            session = _Session({lane: [] for lane in self.channels}, set(self.channels))
            try:
                socket = await self._api.connect(user, f"s{next(self._session_numbers)}")
                async with socket:
                    await self._established(socket)
                    session.opened, failures = next(self._moments), 0
                    if lost_at is not None:
                        self._recording.came_back(lost_at, time.monotonic())
                    session.settling = asyncio.create_task(self._settle(user))
                    async for frame in socket:
                        if frame.type is aiohttp.WSMsgType.TEXT:
                            self._hear(user, msgspec.json.decode(frame.data), session)
                        if not session.silent:
                            break
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            to_the_end = not session.silent
            if session.opened:
                self._connections.append(Connection(user, session.opened, to_the_end, session.heard))
            if session.settling is not None:
                if to_the_end:
                    await session.settling
                    return
                session.settling.cancel()
                lost_at = time.monotonic()
                self._recording.lost_session(lost_at)
                self._behind.setdefault(user, datetime.now(UTC))
            failures += 1
            await asyncio.sleep(random.random() * min(RECONNECT_S, 2.0 ** (failures - 1)))

    async def _established(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.timeout(10):
            frame = await socket.receive()
        if frame.type is not aiohttp.WSMsgType.TEXT:
            raise aiohttp.ClientConnectionError(f"closed with {socket.close_code}")
        assert "SESSION_ESTABLISHED" in frame.data, frame.data

    def _hear(self, user: str, frame: Mapping[str, Any], session: "_Session") -> None:
        type = frame["Headers"]["x-amz-chime-event-type"]
        if not type.endswith("_CHANNEL_MESSAGE"):
            return
        payload = msgspec.json.decode(frame["Payload"])
        lane = self._lanes[payload["ChannelArn"]]
        if payload["Content"] == LAST_WORD:
            session.silent.discard(lane)
            return
        event = Event(type, payload["MessageId"], payload["Content"])
        session.heard[lane].append(event)
        if type == "CREATE_CHANNEL_MESSAGE":
            self._known[user, lane][event.message_id] = event.content
            if lane == PLAIN:
                now = time.monotonic()
                self._recording.heard(now, now - self._began[event.content])

    async def _settle(self, user: str) -> None:
        """What a client does after it came back: read what was said meanwhile."""
        if (since := self._behind.get(user)) is not None:
            await self._catch_up(user, since)
            del self._behind[user]
        self._unsettled.discard(user)
        self._settled.set()

    async def _catch_up(self, user: str, since: datetime) -> None:
        after = (since - timedelta(seconds=LOOK_BACK_S)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for lane in self.channels:
            for each in await self._list(self._quiet, user, lane, f"&not-before={quote(after, safe='')}"):
                # A sender also sees what is pending or failed; nobody else may.
                if each["Status"]["Value"] == "SENT" or each["Sender"]["Arn"] != user:
                    self._known[user, lane][each["MessageId"]] = each["Content"]

    async def _all_listen(self) -> None:
        async with asyncio.timeout(END_TIMEOUT_S):
            while self._unsettled or self._behind:
                self._settled.clear()
                await self._settled.wait()

    async def _list(self, api: Api, user: str, lane: str, query: str = "") -> list[dict[str, Any]]:
        """ListChannelMessages, all pages, newest first."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            path = f"/channels/{label(self.channels[lane])}/messages?max-results={PAGE}{query}{token}"
            page = await api.surely("GET", path, bearer=user)
            found += page["ChannelMessages"]
            if not page.get("NextToken"):
                return found
            token = f"&next-token={quote(page['NextToken'], safe='')}"

    # Processors

    async def _serve_processors(self) -> str:
        app = web.Application()
        app.router.add_post("/{processor}", self._take_event)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        _, port = self._runner.addresses[0][:2]
        return f"http://127.0.0.1:{port}"

    async def _take_event(self, request: web.Request) -> web.Response:
        event = msgspec.json.decode(await request.read())
        processor = request.match_info["processor"]
        message = event["ChannelMessage"]
        content = message["Content"]
        self._deliveries.append(Delivery(processor, event["CallbackId"], message["MessageId"], content))
        decision = answer(processor, content)
        if decision is Otherwise.UNREACHABLE:
            return web.Response(status=503)
        task = asyncio.create_task(self._call_back(event, decision))
        self._calling_back.add(task)
        task.add_done_callback(self._calling_back.discard)
        return web.Response(status=202)

    async def _call_back(self, event: Mapping[str, Any], decision: str | Otherwise) -> None:
        """Until there is an answer. A refusal means that somebody was faster: an earlier call of ours, for example."""
        message = event["ChannelMessage"]
        if SLOWLY in message["Content"]:
            await asyncio.sleep(random.uniform(*SLOW_S))
        fields = {"MessageId": message["MessageId"]}
        if decision not in (Otherwise.DENY, message["Content"]):
            fields["Content"] = decision
        body = {
            "CallbackId": event["CallbackId"],
            "ChannelMessage": fields,
            "DeleteResource": decision is Otherwise.DENY,
        }
        path = f"/channels/{label(message['ChannelArn'])}?operation=channel-flow-callback"
        for number in itertools.count():
            status, _ = await self._api.attempt("POST", path, body)
            lost = status == NO_ANSWER or status in AGAIN
            self._callbacks.append(Callback(event["CallbackId"], None if lost else status))
            if not lost:
                return
            await asyncio.sleep(random.random() * min(2.0, 0.1 * 2**number))

    # The end

    async def end_sending(self) -> None:
        """Each sender gets its last message through."""
        self._stopping = True
        await _within(END_TIMEOUT_S, asyncio.gather(*self._senders), "a sender's last message is not accepted")

    async def come_to_rest(self, unfinished: Callable[[], Awaitable[int]]) -> None:
        """Until processors have called back, no execution is left (`unfinished` counts them) and everybody listens."""

        with suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                while self._calling_back:
                    await asyncio.wait(self._calling_back)
        if self._calling_back:
            raise Hung(f"{len(self._calling_back)} callbacks are not answered")
        deadline = time.monotonic() + END_TIMEOUT_S
        while left := await unfinished():
            if time.monotonic() > deadline:
                raise Hung(f"{left} executions have no verdict {END_TIMEOUT_S} s after everything was mended")
            await asyncio.sleep(0.2)
        try:
            await self._all_listen()
        except TimeoutError:
            raise Hung(f"these do not listen again: {self._unsettled | self._behind.keys()}") from None

    async def history(self, journal: Mapping[str, list[Event]]) -> History:
        """Everything that was seen."""
        chance = random.Random(f"{self._seed} end")
        for index in chance.sample(range(len(self._sent)), min(REPEATED, len(self._sent))):
            sent = self._sent[index]
            again = await self._call_send(self._quiet, sent)
            self._sent[index] = replace(sent, ids=(*sent.ids, again["MessageId"]))
        for lane, channel in self.channels.items():
            fields = {"Content": LAST_WORD, "Type": "CONTROL", "Persistence": "NON_PERSISTENT"}
            path = f"/channels/{label(channel)}/messages"
            token = {"ClientRequestToken": f"end-{lane}"}
            await self._quiet.surely("POST", path, {**fields, **token}, bearer=self.users[0])
        await _within(END_TIMEOUT_S, asyncio.gather(*self._listeners), "a session did not hear the last word")
        listings = {
            (user, lane): [
                Listed(each["MessageId"], each["Content"], each["Status"]["Value"])
                for each in await self._list(self._quiet, user, lane)
            ]
            for user in self.users
            for lane in self.channels
        }
        asked = chance.sample(self._sent, min(STATUSES, len(self._sent)))
        statuses = {sent.ids[0]: await self._status(sent) for sent in asked}
        return History(
            sent=self._sent,
            edits=(),
            deliveries=self._deliveries,
            callbacks=self._callbacks,
            connections=self._connections,
            listings=listings,
            statuses=statuses,
            journal=journal,
            known={(user, lane): self._known[user, lane] for user in self.users for lane in self.channels},
        )

    async def _status(self, sent: Sent) -> str | None:
        path = f"/channels/{label(self.channels[sent.lane])}/messages/{sent.ids[0]}?scope=message-status"
        status, found = await self._quiet.call("GET", path, bearer=sent.sender)
        return cast(str, found["Status"]["Value"]) if status == 200 else None

    async def close(self) -> None:
        """Let go of everything."""
        self._stopping = True
        for task in (*self._senders, *self._listeners, *self._calling_back):
            task.cancel()
        await asyncio.gather(*self._senders, *self._listeners, *self._calling_back, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        await self._api.close()
        await self._quiet.close()


def _fields(sent: Sent) -> dict[str, str]:
    return {
        "Content": sent.content,
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": sent.content.replace(" ", "-"),
    }


async def _within(seconds: float, work: Any, what: str) -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise Hung(f"{what} within {seconds} s") from None
