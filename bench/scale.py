"""What a call costs when there is much of everything: the same calls, among few rows and among many, in one file.

Along each axis one number alone differs; rounds are interleaved, so that whatever else the machine does meanwhile hits
all sizes alike. One request is under way at a time.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import gmtime, perf_counter, strftime
from urllib.parse import quote

import msgspec

from bench import fill, machine, servers, world
from bench.client import Api, Audience, Failed
from bench.fill import ADMIN, SENDERS, Sizes
from bench.results import CaseAtScale, PointAtScale, ScaleResults, Spread
from bench.servers import Process
from bench.signing import Key, Signer, label

FAR_PAGES = 400
_PAGE = "max-results=10"  # as many as the smallest size has, so that all pages are alike

Tell = Callable[[str], None]
Requests = Callable[[Signer, int, int], list[bytes]]
"""(signer, size, turn) → the requests of one turn; their times are added."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, along which axis."""

    what: str
    axis: str
    requests: Requests


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """How much is measured; `messages` is the size of the file."""

    messages: int
    rounds: int
    turns: int  # of each case and size, in a round


FULL = ScalePlan(2_000_000, 15, 20)
QUICK = ScalePlan(200_000, 3, 15)
SMOKE = ScalePlan(2_000, 1, 2)

MESSAGES, MEMBERS, MEMBERSHIPS, CHANNELS = AXES = (
    "messages in the channel",
    "members in the channel",
    "memberships of the user",
    "channels in the app instance",
)


class Cases:
    """The calls, over a file that is filled; pages far behind need tokens, which are asked for beforehand."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._tokens: dict[tuple[str, int], str] = {}

    def sizes_of(self, axis: str) -> tuple[int, ...]:
        """The numbers that are compared."""
        return {
            MESSAGES: self._sizes.messages_of_channel,
            MEMBERS: self._sizes.members_of_channel,
            MEMBERSHIPS: self._sizes.memberships_of_user,
            CHANNELS: self._sizes.channels_of_app_instance,
        }[axis]

    async def walk(self, api: Api, tell: Tell) -> None:
        """Ask for the tokens of the pages that `all` wants."""
        for size in self._sizes.messages_of_channel:
            tell(f"pages far behind, {size:,} {MESSAGES}")
            path = _messages(fill.channel_of_messages(size))
            answer = await api.call("GET", path, query=f"{_PAGE}&{self._until_middle(size)}", bearer=SENDERS[0])
            self._tokens[MESSAGES, size] = answer.get("NextToken", "")
        for size in self._sizes.members_of_channel:
            tell(f"pages far behind, {size:,} {MEMBERS}")
            path = _memberships(fill.channel_of_members(size))
            self._tokens[MEMBERS, size] = await _last_token(api, path, "", SENDERS[0])
        for size in self._sizes.memberships_of_user:
            tell(f"pages far behind, {size:,} {MEMBERSHIPS}")
            user = fill.busy_user(size)
            self._tokens[MEMBERSHIPS, size] = await _last_token(api, "/channels", _MEMBERSHIPS_OF_USER, user)
        for size in self._sizes.channels_of_app_instance:
            tell(f"pages far behind, {size:,} {CHANNELS}")
            app = self._app(size)
            self._tokens[CHANNELS, size] = await _last_token(api, "/channels", _channels_of(app), f"{app}/user/admin")

    def all(self) -> Iterator[Case]:
        """Every case."""
        yield Case(
            "SendChannelMessage", MESSAGES, lambda s, size, turn: [_send(s, fill.channel_of_messages(size), turn)]
        )
        yield Case("ListChannelMessages, the newest", MESSAGES, self._list_newest)
        yield Case("ListChannelMessages, up to a time in the middle", MESSAGES, self._list_by_time)
        yield Case("ListChannelMessages, a page in the middle by its NextToken", MESSAGES, self._list_far)
        yield Case("GetChannelMessage", MESSAGES, self._get)
        yield Case("UpdateChannelMessage", MESSAGES, self._update)
        yield Case("DescribeChannel", MESSAGES, lambda s, size, _: [_describe(s, fill.channel_of_messages(size))])
        yield Case("SendChannelMessage", MEMBERS, lambda s, size, turn: [_send(s, fill.channel_of_members(size), turn)])
        yield Case("DeleteChannelMembership and CreateChannelMembership", MEMBERS, self._leave_and_join)
        yield Case("DescribeChannelMembership", MEMBERS, self._describe_membership)
        yield Case("ListChannelMemberships, the first page", MEMBERS, self._list_members)
        yield Case(f"ListChannelMemberships, page {FAR_PAGES} or the last", MEMBERS, self._list_members_far)
        yield Case("ListChannelMembershipsForAppInstanceUser, the first page", MEMBERSHIPS, self._list_own)
        yield Case(
            f"ListChannelMembershipsForAppInstanceUser, page {FAR_PAGES} or the last", MEMBERSHIPS, self._list_own_far
        )
        yield Case("SearchChannels, all of the bearer's match", MEMBERSHIPS, self._search_all)
        yield Case("SearchChannels, with somebody who has few", MEMBERSHIPS, self._search_with_few)
        yield Case("SearchChannels, none matches", MEMBERSHIPS, self._search_none)
        yield Case("ListChannels, the first page", CHANNELS, self._list_channels)
        yield Case(f"ListChannels, page {FAR_PAGES} or the last", CHANNELS, self._list_channels_far)
        yield Case("CreateChannel", CHANNELS, self._create_channel)

    # Along messages

    def _until_middle(self, size: int) -> str:
        at = fill.sent_at(fill.number_in_channel(self._sizes, size, size // 2))
        stamp = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at // 1000))
        return f"not-after={quote(stamp, safe='')}"

    def _list_newest(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        path = _messages(fill.channel_of_messages(size))
        return [signer.request("GET", path, query=_PAGE, bearer=SENDERS[0])]

    def _list_by_time(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        path = _messages(fill.channel_of_messages(size))
        return [signer.request("GET", path, query=f"{_PAGE}&{self._until_middle(size)}", bearer=SENDERS[0])]

    def _list_far(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        return [_page(signer, _messages(fill.channel_of_messages(size)), self._tokens[MESSAGES, size], "", SENDERS[0])]

    def _some_message(self, size: int, turn: int) -> int:
        return fill.number_in_channel(self._sizes, size, turn * 7919 % size)

    def _get(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        id = fill.message_id(self._some_message(size, turn))
        return [signer.request("GET", f"{_messages(fill.channel_of_messages(size))}/{id}", bearer=SENDERS[0])]

    def _update(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        number = self._some_message(size, turn)
        path = f"{_messages(fill.channel_of_messages(size))}/{fill.message_id(number)}"
        body = msgspec.json.encode({"Content": "y" * fill.CONTENT_CHARACTERS})
        return [signer.request("PUT", path, body, bearer=fill.sender(self._sizes, size, number))]

    # Along members

    def _leave_and_join(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        path = _memberships(fill.channel_of_members(size))
        member = fill.user(turn * 7919 % size)
        body = msgspec.json.encode({"MemberArn": member, "Type": "DEFAULT"})
        return [
            signer.request("DELETE", f"{path}/{label(member)}", bearer=ADMIN),
            signer.request("POST", path, body, bearer=ADMIN),
        ]

    def _describe_membership(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        member = fill.user(turn * 7919 % size)
        path = f"{_memberships(fill.channel_of_members(size))}/{label(member)}"
        return [signer.request("GET", path, bearer=SENDERS[0])]

    def _list_members(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        return [_page(signer, _memberships(fill.channel_of_members(size)), "", "", SENDERS[0])]

    def _list_members_far(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        path = _memberships(fill.channel_of_members(size))
        return [_page(signer, path, self._tokens[MEMBERS, size], "", SENDERS[0])]

    # Along memberships

    def _list_own(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        return [_page(signer, "/channels", "", _MEMBERSHIPS_OF_USER, fill.busy_user(size))]

    def _list_own_far(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        token = self._tokens[MEMBERSHIPS, size]
        return [_page(signer, "/channels", token, _MEMBERSHIPS_OF_USER, fill.busy_user(size))]

    def _search_all(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        user = fill.busy_user(size)
        return [_search(signer, "INCLUDES", [user], bearer=user)]

    def _search_with_few(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        user = fill.busy_user(size)
        return [_search(signer, "INCLUDES", [user, fill.user(12)], bearer=user)]

    def _search_none(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        user = fill.busy_user(size)
        other = fill.busy_user(self._sizes.memberships_of_user[-1])
        return [_search(signer, "EQUALS", sorted({user, other}), bearer=user)]

    # Along channels

    def _app(self, size: int) -> str:
        return fill.app_instance(len(self._sizes.channels_of_app_instance) - 1 - self.sizes_of(CHANNELS).index(size))

    def _list_channels(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        app = self._app(size)
        return [_page(signer, "/channels", "", _channels_of(app), f"{app}/user/admin")]

    def _list_channels_far(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        app = self._app(size)
        return [_page(signer, "/channels", self._tokens[CHANNELS, size], _channels_of(app), f"{app}/user/admin")]

    def _create_channel(self, signer: Signer, size: int, turn: int) -> list[bytes]:
        app = self._app(size)
        fields = {"AppInstanceArn": app, "Name": "bench", "ClientRequestToken": world.token()}
        return [signer.request("POST", "/channels", msgspec.json.encode(fields), bearer=f"{app}/user/admin")]


_MEMBERSHIPS_OF_USER = "scope=app-instance-user-memberships"


def _messages(channel_arn: str) -> str:
    return f"/channels/{label(channel_arn)}/messages"


def _memberships(channel_arn: str) -> str:
    return f"/channels/{label(channel_arn)}/memberships"


def _channels_of(app: str) -> str:
    return f"app-instance-arn={quote(app, safe='')}"


def _describe(signer: Signer, channel_arn: str) -> bytes:
    return signer.request("GET", f"/channels/{label(channel_arn)}", bearer=SENDERS[0])


def _send(signer: Signer, channel_arn: str, turn: int) -> bytes:
    return world.message(signer, world.Channel(channel_arn, SENDERS), SENDERS[turn % len(SENDERS)])


def _page(signer: Signer, path: str, token: str, query: str, bearer: str) -> bytes:
    return signer.request("GET", path, query=_query(query, token), bearer=bearer)


def _query(query: str, token: str) -> str:
    parts = [_PAGE, *([query] if query else []), *([f"next-token={token}"] if token else [])]
    return "&".join(sorted(parts))


def _search(signer: Signer, operator: str, members: Sequence[str], *, bearer: str) -> bytes:
    body = msgspec.json.encode({"Fields": [{"Key": "MEMBERS", "Operator": operator, "Values": members}]})
    return signer.request("POST", "/channels", body, query=f"{_PAGE}&operation=search", bearer=bearer)


async def _last_token(api: Api, path: str, query: str, bearer: str) -> str:
    """The NextToken of the last page of a list, or of one far behind; "" if it has but one."""
    token = ""
    for _ in range(FAR_PAGES):
        answer = await api.call("GET", path, query=_query(query, token), bearer=bearer)
        if "NextToken" not in answer:
            break
        token = answer["NextToken"]
    return token


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a call, on average of some turns; the time is their median."""

    ms: float
    cpu_us: float
    read_kib: float


async def _cost(api: Api, server: Process, turns: list[list[bytes]]) -> Cost:
    times = []
    cpu, read = machine.cpu_ns(server.pid), machine.bytes_read(server.pid)
    for requests in turns:
        seconds = 0.0
        for request in requests:
            status, answer = await api.exchange(request)
            if not 200 <= status < 300:
                raise Failed(f"{request[:200]!r} was answered {status}: {answer[:300].decode(errors='replace')}")
            seconds += api.answered_at - api.sent_at
        times.append(seconds * 1000)
    cpu, read = machine.cpu_ns(server.pid) - cpu, machine.bytes_read(server.pid) - read
    return Cost(median(times), cpu / 1000 / len(turns), read / 1024 / len(turns))


def prepare(plan: ScalePlan, data: Path, tell: Tell) -> Sizes:
    """A filled database in this folder, if there is none."""
    sizes = fill.sizes(plan.messages)
    file = data / "campana.db"
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        fill.fill(file, sizes, lambda what: tell(f"filling a database of {sizes.messages:,} messages: {what}"))
    return sizes


async def measure(plan: ScalePlan, sizes: Sizes, data: Path, key: Key, tell: Tell) -> ScaleResults:
    """Serve the filled database, and call."""
    facts = machine.facts(data)
    servers.pin(1)
    file_bytes = (data / "campana.db").stat().st_size
    with servers.campana(data, key) as server:
        cases = Cases(sizes)
        api = await Api.connect(server.port, server.signer())
        await cases.walk(api, tell)
        costs = await _rounds(plan, cases, api, server, tell)
        opened = await _sessions(plan, sizes, server, tell)
        api.close()
        resident = server.resident_kib()
    return ScaleResults(
        taken_on=strftime("%Y-%m-%d", gmtime()),
        commit=machine.commit(),
        machine=facts,
        messages=sizes.messages,
        channels=sizes.channels,
        users=sizes.users,
        file_mib=round(file_bytes / 2**20),
        message_bytes=fill.bytes_of_a_message(data / "campana.db"),
        resident_mib=round(resident / 1024),
        cases=[_case(case.what, case.axis, measured) for case, measured in costs] + [opened],
    )


async def _rounds(
    plan: ScalePlan, cases: Cases, api: Api, server: Process, tell: Tell
) -> list[tuple[Case, dict[int, list[Cost]]]]:
    costs: list[tuple[Case, dict[int, list[Cost]]]] = [
        (case, {size: [] for size in cases.sizes_of(case.axis)}) for case in cases.all()
    ]
    turns = itertools.count()
    for number in range(plan.rounds):
        for case, by_size in costs:
            tell(f"round {number + 1} of {plan.rounds}: {case.what}, by {case.axis}")
            signer = server.signer()
            order = list(by_size)
            if number % 2:
                order.reverse()
            for size in order:
                requests = [case.requests(signer, size, next(turns)) for _ in range(plan.turns)]
                await _cost(api, server, [case.requests(signer, size, next(turns))])  # to be warm
                by_size[size].append(await _cost(api, server, requests))
    return costs


async def _sessions(plan: ScalePlan, sizes: Sizes, server: Process, tell: Tell) -> CaseAtScale:
    """From the handshake to the first frame of a session that follows so many channels."""
    by_size: dict[int, list[Cost]] = {size: [] for size in sizes.memberships_of_user}
    for number in range(plan.rounds):
        for size in sizes.memberships_of_user:
            tell(f"round {number + 1} of {plan.rounds}: live sessions, by {MEMBERSHIPS}")
            audience = Audience()
            cpu, read, begun = machine.cpu_ns(server.pid), machine.bytes_read(server.pid), perf_counter()
            await audience.join(server.port, [server.signer().connect(fill.busy_user(size), f"s-{number}")])
            ms = (perf_counter() - begun) * 1000
            await asyncio.sleep(0.2)  # what the session costs after its first frame is CPU time of the server's
            cpu, read = machine.cpu_ns(server.pid) - cpu, machine.bytes_read(server.pid) - read
            by_size[size].append(Cost(ms, cpu / 1000, read / 1024))
            await audience.close()
            await asyncio.sleep(0.2)  # and its end is not the next one's
    return _case("a live session opened, to its first frame", MEMBERSHIPS, by_size)


def _case(what: str, axis: str, by_size: dict[int, list[Cost]]) -> CaseAtScale:
    first = next(iter(by_size.values()))
    return CaseAtScale(
        what=what,
        axis=axis,
        points=[
            PointAtScale(
                size=size,
                ms=Spread.of([cost.ms for cost in costs], 3),
                ratio=Spread.of([cost.ms / base.ms for cost, base in zip(costs, first, strict=True)]),
                cpu_us=round(median(cost.cpu_us for cost in costs)),
                cpu_ratio=Spread.of(
                    [cost.cpu_us / (base.cpu_us or 1) for cost, base in zip(costs, first, strict=True)]
                ),
                read_kib=round(median(cost.read_kib for cost in costs), 1),
            )
            for size, costs in by_size.items()
        ],
    )
