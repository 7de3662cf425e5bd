"""Every list, read in pages of two to its end, while another thread takes things away and adds others.

What was there throughout is in the list exactly once. The order is the one of the API's one promise (messages) or,
marked as such, Campana's choice.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conformance import model
from tests.conformance.marks import choice, operation
from tests.conformance.requests import GOOD
from tests.conformance.sessions import PATIENCE_S
from tests.conformance.world import Members, User, World, pages, refused

STANDING, PASSING = 7, 4


@dataclass
class List:
    """A list of something: how to read it, and how to change what is in it."""

    service: str
    operation: str
    request: Members
    items: str
    """The response's member that holds the items."""
    id_of: Callable[[Any], str]
    add: Callable[[], str]
    """Make one more; its id."""
    remove: Callable[[str], object] | None
    newest_first: bool = False
    standing: list[str] = field(default_factory=list)
    passing: deque[str] = field(default_factory=deque)

    def fill(self, standing: int, passing: int) -> None:
        """What stays and what goes, mixed."""
        for number in range(max(standing, passing)):
            if number < standing:
                self.standing.append(self.add())
            if number < passing:
                self.passing.append(self.add())

    def change(self) -> None:
        """One goes, another comes."""
        if self.remove is not None:
            self.remove(self.passing.popleft())
        self.passing.append(self.add())

    def page(self, world: World, **members: Any) -> Members:
        return world.api(self.operation, {**self.request, **members}, service=self.service)


@dataclass
class Place:
    """An app instance whose lists nobody else changes."""

    world: World
    app: str
    host: User
    """Admin, and maker of all channels."""
    people: list[User]
    candidates: list[User]
    """More people, who become admins."""


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    app = world.app_instance("lists")
    people, candidates = ([world.user(app=app) for _ in range(STANDING + PASSING + 3)] for _ in range(2))
    return Place(world, app, world.new_admin("host", app=app), people, candidates)


def _channel(place: Place, **more: Any) -> str:
    given = {"AppInstanceArn": place.app, "Name": "Lobby", **more}
    return str(place.host.create_channel(**given)["ChannelArn"])


def _delete_channel(place: Place) -> Callable[[str], object]:
    return lambda arn: place.host.delete_channel(ChannelArn=arn)


def channels(place: Place, name: str) -> List:
    request = {"AppInstanceArn": place.app, "ChimeBearer": place.host.arn, "Privacy": "PUBLIC"}
    add = lambda: _channel(place, Privacy="PUBLIC")  # noqa: E731
    return List("", name, request, "Channels", lambda item: item["ChannelArn"], add, _delete_channel(place))


def search(place: Place, name: str) -> List:
    member = place.people[0]
    request = {
        "ChimeBearer": member.arn,
        "Fields": [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [member.arn, place.host.arn]}],
    }
    add = lambda: _channel(place, MemberArns=[member.arn])  # noqa: E731
    return List("", name, request, "Channels", lambda item: item["ChannelArn"], add, _delete_channel(place))


def channels_of_a_member(place: Place, name: str) -> List:
    member = place.people[1]
    return List(
        "",
        name,
        {"ChimeBearer": member.arn},
        "ChannelMemberships",
        lambda item: item["ChannelSummary"]["ChannelArn"],
        lambda: _channel(place, MemberArns=[member.arn]),
        lambda arn: member.delete_channel_membership(ChannelArn=arn, MemberArn=member.arn),
    )


def channels_of_a_moderator(place: Place, name: str) -> List:
    moderator = place.people[2]
    return List(
        "",
        name,
        {"ChimeBearer": moderator.arn},
        "Channels",
        lambda item: item["ChannelSummary"]["ChannelArn"],
        lambda: _channel(place, ModeratorArns=[moderator.arn]),
        lambda arn: place.host.delete_channel_moderator(ChannelArn=arn, ChannelModeratorArn=moderator.arn),
    )


def sub_channels(place: Place, name: str) -> List:
    configuration = {
        "MaximumSubChannels": 20,
        "TargetMembershipsPerSubChannel": 2,
        "MinimumMembershipPercentage": 1,
    }
    channel = _channel(place, ElasticChannelConfiguration=configuration)
    of_host = {"ChannelArn": channel, "ChimeBearer": place.host.arn}
    known: set[str] = set()

    def add() -> str:
        """Members join until there is another sub-channel."""
        while True:
            member = place.world.user(app=place.app)
            place.host.create_channel_membership(ChannelArn=channel, MemberArn=member.arn, Type="DEFAULT")
            found = {
                item["SubChannelId"] for page in pages(place.world.api, name, "SubChannels", of_host) for item in page
            }
            if new := found - known:
                known.update(new)
                (fresh,) = new
                return str(fresh)

    return List("", name, of_host, "SubChannels", lambda item: item["SubChannelId"], add, None)


def _people_of(
    place: Place, name: str, items: str, member: str, add: Callable[[str], object], remove: Callable[[str], object],
    request: Members, *, people: list[User] | None = None,
) -> List:  # fmt: skip
    """A list of users, each at most once in it."""
    free = deque(user.arn for user in people or place.people)

    def put() -> str:
        arn = free.popleft()
        add(arn)
        return arn

    def take(arn: str) -> None:
        remove(arn)
        free.append(arn)

    return List("", name, request, items, lambda item: item[member]["Arn"], put, take)


def members(place: Place, name: str) -> List:
    channel = _channel(place)
    return _people_of(
        place, name, "ChannelMemberships", "Member",
        lambda arn: place.host.create_channel_membership(ChannelArn=channel, MemberArn=arn, Type="DEFAULT"),
        lambda arn: place.host.delete_channel_membership(ChannelArn=channel, MemberArn=arn),
        {"ChannelArn": channel, "ChimeBearer": place.host.arn},
    )  # fmt: skip


def moderators(place: Place, name: str) -> List:
    channel = _channel(place)
    return _people_of(
        place, name, "ChannelModerators", "Moderator",
        lambda arn: place.host.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=arn),
        lambda arn: place.host.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=arn),
        {"ChannelArn": channel, "ChimeBearer": place.host.arn},
    )  # fmt: skip


def bans(place: Place, name: str) -> List:
    channel = _channel(place)
    return _people_of(
        place, name, "ChannelBans", "Member",
        lambda arn: place.host.create_channel_ban(ChannelArn=channel, MemberArn=arn),
        lambda arn: place.host.delete_channel_ban(ChannelArn=channel, MemberArn=arn),
        {"ChannelArn": channel, "ChimeBearer": place.host.arn},
    )  # fmt: skip


def admins(place: Place, name: str) -> List:
    api = place.world.api
    return _people_of(
        place, name, "AppInstanceAdmins", "Admin",
        lambda arn: api("CreateAppInstanceAdmin", {"AppInstanceArn": place.app, "AppInstanceAdminArn": arn}),
        lambda arn: api("DeleteAppInstanceAdmin", {"AppInstanceArn": place.app, "AppInstanceAdminArn": arn}),
        {"AppInstanceArn": place.app}, people=place.candidates,
    )  # fmt: skip


def messages(place: Place, name: str, order: str | None = None) -> List:
    channel = _channel(place)
    request = {"ChannelArn": channel, "ChimeBearer": place.host.arn, **({"SortOrder": order} if order else {})}
    return List(
        "",
        name,
        request,
        "ChannelMessages",
        lambda item: item["MessageId"],
        lambda: place.host.sends(channel),
        lambda id: place.host.delete_channel_message(ChannelArn=channel, MessageId=id),
        newest_first=order != "ASCENDING",
    )


def messages_oldest_first(place: Place, name: str) -> List:
    return messages(place, name, "ASCENDING")


def messages_newest_first(place: Place, name: str) -> List:
    return messages(place, name, "DESCENDING")


def _new_flow(place: Place) -> str:
    request = GOOD["CreateChannelFlow"][0](place.world)
    return str(place.world.api("CreateChannelFlow", {**request, "AppInstanceArn": place.app})["ChannelFlowArn"])


def flows(place: Place, name: str) -> List:
    return List(
        "",
        name,
        {"AppInstanceArn": place.app},
        "ChannelFlows",
        lambda item: item["ChannelFlowArn"],
        lambda: _new_flow(place),
        lambda arn: place.world.api("DeleteChannelFlow", {"ChannelFlowArn": arn}),
    )


def channels_with_a_flow(place: Place, name: str) -> List:
    flow = _new_flow(place)

    def add() -> str:
        channel = _channel(place)
        place.host.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        return channel

    def remove(arn: str) -> None:
        place.host.disassociate_channel_flow(ChannelArn=arn, ChannelFlowArn=flow)

    return List("", name, {"ChannelFlowArn": flow}, "Channels", lambda item: item["ChannelArn"], add, remove)


def app_instances(place: Place, name: str) -> List:
    world = place.world
    return List(
        "",
        name,
        {},
        "AppInstances",
        lambda item: item["AppInstanceArn"],
        lambda: world.app_instance("one of many"),
        lambda arn: world.api("DeleteAppInstance", {"AppInstanceArn": arn}),
    )


def users(place: Place, name: str) -> List:
    world = place.world
    return List(
        "",
        name,
        {"AppInstanceArn": place.app},
        "AppInstanceUsers",
        lambda item: item["AppInstanceUserArn"],
        lambda: world.user(app=place.app).arn,
        lambda arn: world.api("DeleteAppInstanceUser", {"AppInstanceUserArn": arn}),
    )


def bots(place: Place, name: str) -> List:
    world = place.world

    def add() -> str:
        request = GOOD["CreateAppInstanceBot"][0](world)
        return str(world.api("CreateAppInstanceBot", {**request, "AppInstanceArn": place.app})["AppInstanceBotArn"])

    return List(
        "",
        name,
        {"AppInstanceArn": place.app},
        "AppInstanceBots",
        lambda item: item["AppInstanceBotArn"],
        add,
        lambda arn: world.api("DeleteAppInstanceBot", {"AppInstanceBotArn": arn}),
    )


def endpoints(place: Place, name: str) -> List:
    world, user = place.world, place.people[0]
    of_user = {"AppInstanceUserArn": user.arn}
    return List(
        "",
        name,
        of_user,
        "AppInstanceUserEndpoints",
        lambda item: item["EndpointId"],
        lambda: world.new_endpoint(user),
        lambda id: world.api("DeregisterAppInstanceUserEndpoint", {**of_user, "EndpointId": id}),
    )


LISTS: dict[str, list[Callable[[Place, str], List]]] = {
    "ListAppInstanceAdmins": [admins],
    "ListAppInstanceBots": [bots],
    "ListAppInstanceUserEndpoints": [endpoints],
    "ListAppInstanceUsers": [users],
    "ListAppInstances": [app_instances],
    "ListChannelBans": [bans],
    "ListChannelFlows": [flows],
    "ListChannelMemberships": [members],
    "ListChannelMembershipsForAppInstanceUser": [channels_of_a_member],
    "ListChannelMessages": [messages, messages_oldest_first, messages_newest_first],
    "ListChannelModerators": [moderators],
    "ListChannels": [channels],
    "ListChannelsAssociatedWithChannelFlow": [channels_with_a_flow],
    "ListChannelsModeratedByAppInstanceUser": [channels_of_a_moderator],
    "ListSubChannels": [sub_channels],
    "SearchChannels": [search],
}
FEW = {"ListAppInstanceUserEndpoints": (6, 3), "ListSubChannels": (4, 1), "ListAppInstances": (5, 2)}
"""How many stay and go where there may not be many."""

ALL = [
    pytest.param(name, make, id=f"{name}-{make.__name__}", marks=operation(name))
    for name, makers in LISTS.items()
    for make in makers
]


def test_every_list_of_the_model_is_here() -> None:
    assert {name for _, name in model.having("NextToken")} == set(LISTS)


@pytest.fixture(scope="module")
def lists(place: Place) -> Callable[[str, Callable[[Place, str], List]], List]:
    """The list of an operation, filled once."""
    made: dict[tuple[str, str], List] = {}

    def find(name: str, make: Callable[[Place, str], List]) -> List:
        key = (name, make.__name__)
        if key not in made:
            a_list = make(place, name)
            a_list.service = model.service_of(name)
            a_list.fill(*FEW.get(name, (STANDING, PASSING)))
            made[key] = a_list
        return made[key]

    return find


@contextmanager
def changing(a_list: List) -> Iterator[Callable[[], None]]:
    """A thread that changes the list, once for each call of the function: while the next page is read."""
    go, done = threading.Semaphore(0), threading.Semaphore(0)
    ended = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        while go.acquire() and not ended.is_set():
            try:
                a_list.change()
            except BaseException as failure:
                failures.append(failure)
            done.release()

    started = [False]

    def step() -> None:
        if started[0]:
            assert done.acquire(timeout=PATIENCE_S)
        started[0] = True
        go.release()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield step
    finally:
        ended.set()
        go.release()
        writer.join(PATIENCE_S)
    assert failures == []


@pytest.mark.parametrize(("name", "make"), ALL)
def test_what_stays_is_listed_once_while_others_come_and_go(world: World, lists: Any, name: str, make: Any) -> None:
    a_list: List = lists(name, make)
    seen: Counter[str] = Counter()
    sizes = []

    with changing(a_list) as change:
        change()
        for page in pages(world.api, name, a_list.items, {**a_list.request, "MaxResults": 2}):
            change()
            seen.update(a_list.id_of(item) for item in page)
            sizes.append(len(page))

    assert {id: seen[id] for id in a_list.standing} == dict.fromkeys(a_list.standing, 1)
    assert max(sizes) <= 2
    assert len(sizes) > 1


@pytest.mark.parametrize(("name", "make"), ALL)
def test_a_page_may_have_as_many_items_as_asked_for(world: World, lists: Any, name: str, make: Any) -> None:
    a_list: List = lists(name, make)

    one = a_list.page(world, MaxResults=1)
    fifty = a_list.page(world, MaxResults=50)

    assert len(one[a_list.items]) == 1
    assert one["NextToken"]
    assert len(fifty[a_list.items]) > 1


@pytest.mark.parametrize(("name", "make"), ALL)
def test_an_empty_token_asks_for_the_first_page(world: World, lists: Any, name: str, make: Any) -> None:
    a_list: List = lists(name, make)

    first, again = a_list.page(world, MaxResults=2), a_list.page(world, MaxResults=2, NextToken="")

    assert first[a_list.items] == again[a_list.items]


@choice("a token that the list didn't give out is a BadRequest")
@pytest.mark.parametrize(("name", "make"), ALL)
def test_a_token_of_something_else_is_refused(world: World, lists: Any, name: str, make: Any) -> None:
    a_list: List = lists(name, make)
    other = "ListAppInstanceUsers" if name != "ListAppInstanceUsers" else "ListAppInstanceAdmins"
    (maker,) = LISTS[other]
    foreign = lists(other, maker).page(world, MaxResults=1)["NextToken"]
    own = a_list.page(world, MaxResults=1)["NextToken"]
    spoilt = ("B" if own[0] == "A" else "A") + own[1:]

    for token in ("nonsense", foreign, spoilt):
        with refused("BadRequest"):
            a_list.page(world, NextToken=token)


@pytest.mark.parametrize(("name", "make"), [param for param in ALL if param.values[0] == "ListChannelMessages"])
def test_messages_are_in_the_order_that_was_asked_for(world: World, lists: Any, name: str, make: Any) -> None:
    check_order(world, lists(name, make))


@choice("lists other than that of messages are in the order of creation")
@pytest.mark.parametrize(("name", "make"), [
    param for param in ALL if param.values[0] not in ("ListChannelMessages", "ListAppInstances")
])  # fmt: skip
def test_lists_are_in_the_order_of_creation(world: World, lists: Any, name: str, make: Any) -> None:
    check_order(world, lists(name, make))


def check_order(world: World, a_list: List) -> None:
    """What stays stands in the order of its making."""
    expected = a_list.standing[::-1] if a_list.newest_first else a_list.standing

    found = [
        a_list.id_of(item) for page in pages(world.api, a_list.operation, a_list.items, a_list.request) for item in page
    ]

    assert [id for id in found if id in expected] == expected


@choice("a page has 50 items unless another number is asked for")
@operation("ListChannelMessages")
def test_a_page_has_50_items_by_default(world: World) -> None:
    channel = world.ann.makes_channel()
    for _ in range(51):
        world.ann.sends(channel)

    sizes = [
        len(page)
        for page in pages(
            world.api, "ListChannelMessages", "ChannelMessages", {"ChannelArn": channel, "ChimeBearer": world.ann.arn}
        )
    ]

    assert sizes == [50, 1]
