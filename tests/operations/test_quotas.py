"""Every quota at its edge, and that each way to lose something makes room again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from campana import limits
from tests.harness import PATIENCE_S, App, RunningServer, User, connect_url, refused, running
from tests.operations.helpers import counted, set_limit

DAY_H = 24
ELASTIC = {"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 40}
EXPIRING = {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose clock may be moved; callers are believed, since signatures would be too old then."""
    with running(tmp_path_factory.mktemp("moved"), **{"auth.mode": "none"}) as server:
        yield server


@pytest.fixture
def app(moved: RunningServer) -> App:
    return App(moved)


class World:
    """An app instance in which something is full, and the people in it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.ann, self.bob, self.cid = app.users("ann", "bob", "cid")
        self.channel = self.ann.makes_channel(members=[self.bob])

    def limit(self, name: str, value: int) -> None:
        set_limit(self.app.server, self.app.arn, name, value)

    def add(self, channel: str, user: User) -> Any:
        return self.ann.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT")

    def deletes(self, user: User) -> None:
        self.app.identity.delete_app_instance_user(AppInstanceUserArn=user.arn)

    def expires(self, user: User) -> None:
        self.app.identity.put_app_instance_user_expiration_settings(
            AppInstanceUserArn=user.arn, ExpirationSettings=EXPIRING
        )
        self.app.server.clock.advance(hours=DAY_H)

    def channel_expires(self) -> None:
        self.ann.put_channel_expiration_settings(ChannelArn=self.channel, ExpirationSettings=EXPIRING)
        self.app.server.clock.advance(hours=DAY_H)


Act = Callable[[World], Any]


def loses(full: Act, ways: list[Act]) -> list[tuple[Act, Act]]:
    return [(full, way) for way in ways]


def members(world: World) -> Act:
    world.limit("memberships-per-channel", 2)
    return lambda w: w.add(w.channel, w.cid)


def memberships_of_a_user(world: World) -> Act:
    world.limit("memberships-per-user", 1)
    other = world.cid.makes_channel()
    world.limit("memberships-per-user", 1)
    return lambda w: w.cid.create_channel_membership(ChannelArn=other, MemberArn=w.bob.arn, Type="DEFAULT")


def moderators(world: World) -> Act:
    world.limit("moderators-per-channel", 2)
    world.ann.create_channel_moderator(ChannelArn=world.channel, ChannelModeratorArn=world.bob.arn)
    return lambda w: w.ann.create_channel_moderator(ChannelArn=w.channel, ChannelModeratorArn=w.cid.arn)


def admins(world: World) -> Act:
    world.limit("admins-per-app-instance", 1)
    make = lambda user: world.app.identity.create_app_instance_admin(  # noqa: E731
        AppInstanceArn=world.app.arn, AppInstanceAdminArn=user.arn
    )
    make(world.bob)
    return lambda w: make(w.cid)


def users(world: World) -> Act:
    world.limit("users-per-app-instance", 3)
    return lambda w: w.app.user("dan")


def channels(world: World) -> Act:
    world.limit("channels-per-app-instance", 1)
    return lambda w: w.cid.makes_channel()


def flows(world: World) -> Act:
    world.limit("channel-flows-per-app-instance", 1)
    world.flow = world.app.flow("https://example.com/f")  # type: ignore[attr-defined]
    return lambda w: w.app.flow("https://example.com/f")


def endpoints(world: World) -> Act:
    world.limit("endpoints-per-user", 1)

    def register(token: str) -> Any:
        return world.app.identity.register_app_instance_user_endpoint(
            AppInstanceUserArn=world.bob.arn,
            Type="GCM",
            ResourceArn="arn:aws:mobiletargeting:us-east-1:123456789012:apps/a",
            EndpointAttributes={"DeviceToken": token},
        )

    world.endpoint = register("one")["EndpointId"]  # type: ignore[attr-defined]
    register("one")  # the same device again is no other
    return lambda w: register("two")


def elastic_channels(world: World) -> Act:
    world.elastic = world.ann.makes_channel(ElasticChannelConfiguration=ELASTIC)  # type: ignore[attr-defined]
    return lambda w: w.cid.makes_channel(ElasticChannelConfiguration=ELASTIC)


def memberships_of_a_user_in_elastic_channels(world: World) -> Act:
    admin = world.app.admin("admin")
    world.admin = admin  # type: ignore[attr-defined]
    world.elastic = admin.makes_channel(ElasticChannelConfiguration=ELASTIC)  # type: ignore[attr-defined]
    world.limit("memberships-per-user", 2)
    admin.create_channel_membership(ChannelArn=world.elastic, MemberArn=world.bob.arn, Type="DEFAULT")  # type: ignore[attr-defined]
    other = world.cid.makes_channel()
    return lambda w: w.cid.create_channel_membership(ChannelArn=other, MemberArn=w.bob.arn, Type="DEFAULT")


WAYS: list[tuple[Callable[[World], Act], list[Act]]] = [
    (
        members,
        [
            lambda w: w.bob.delete_channel_membership(ChannelArn=w.channel, MemberArn=w.bob.arn),
            lambda w: w.ann.delete_channel_membership(ChannelArn=w.channel, MemberArn=w.bob.arn),
            lambda w: w.ann.create_channel_ban(ChannelArn=w.channel, MemberArn=w.bob.arn),
            lambda w: w.deletes(w.bob),
            lambda w: w.expires(w.bob),
        ],
    ),
    (
        memberships_of_a_user,
        [
            lambda w: w.bob.delete_channel_membership(ChannelArn=w.channel, MemberArn=w.bob.arn),
            lambda w: w.ann.create_channel_ban(ChannelArn=w.channel, MemberArn=w.bob.arn),
            lambda w: w.ann.delete_channel(ChannelArn=w.channel),
            World.channel_expires,
        ],
    ),
    (
        moderators,
        [
            lambda w: w.ann.delete_channel_moderator(ChannelArn=w.channel, ChannelModeratorArn=w.bob.arn),
            lambda w: w.deletes(w.bob),
            lambda w: w.expires(w.bob),
        ],
    ),
    (
        admins,
        [
            lambda w: w.app.identity.delete_app_instance_admin(AppInstanceArn=w.app.arn, AppInstanceAdminArn=w.bob.arn),
            lambda w: w.deletes(w.bob),
            lambda w: w.expires(w.bob),
        ],
    ),
    (users, [lambda w: w.deletes(w.bob), lambda w: w.expires(w.bob)]),
    (channels, [lambda w: w.ann.delete_channel(ChannelArn=w.channel), World.channel_expires]),
    (flows, [lambda w: w.app.messaging.delete_channel_flow(ChannelFlowArn=w.flow)]),
    (
        endpoints,
        [
            lambda w: w.app.identity.deregister_app_instance_user_endpoint(
                AppInstanceUserArn=w.bob.arn, EndpointId=w.endpoint
            ),
        ],
    ),
    (elastic_channels, [lambda w: w.ann.delete_channel(ChannelArn=w.elastic)]),
    (
        memberships_of_a_user_in_elastic_channels,
        [
            lambda w: w.bob.delete_channel_membership(ChannelArn=w.elastic, MemberArn=w.bob.arn),
            lambda w: w.admin.create_channel_ban(ChannelArn=w.elastic, MemberArn=w.bob.arn),
            lambda w: w.admin.create_channel_moderator(ChannelArn=w.elastic, ChannelModeratorArn=w.bob.arn),
            lambda w: w.admin.delete_channel(ChannelArn=w.elastic),
        ],
    ),
]


@pytest.mark.parametrize(
    ("fill", "way"),
    [pytest.param(fill, way, id=f"{fill.__name__}-{number}") for fill, ways in WAYS for number, way in enumerate(ways)],
)
def test_what_is_full_takes_one_more_when_one_is_gone(app: App, fill: Callable[[World], Act], way: Act) -> None:
    world = World(app)
    one_more = fill(world)
    with refused("ResourceLimitExceeded"):
        one_more(world)

    way(world)
    app.server.settle()

    one_more(world)


def test_sessions_of_a_user(app: App) -> None:
    world = World(app)
    world.limit("connections-per-user", 1)

    with world.bob.connects(sessionId="one") as first:
        second = websocket(connect_url(app.server.url, world.bob.arn), compression=None)
        with second, pytest.raises(ConnectionClosed, match="4005"):
            second.recv(timeout=PATIENCE_S)
        with world.bob.connects(sessionId="one"):  # takes the place of the first
            assert first.closed() == 4002
        with world.ann.connects():
            pass


def test_a_user_who_comes_back_has_room_for_everything_again(app: App) -> None:
    world = World(app)
    register = endpoints(world)
    world.limit("memberships-per-user", 1)

    world.deletes(world.bob)
    app.server.settle()
    world.bob = app.user("bob")

    register(world)
    world.add(world.channel, world.bob)
    assert counted(app.server, world.bob.arn, "memberships of a user") == 1


def test_what_an_elastic_channel_may_be_configured_for(app: App) -> None:
    world = World(app)
    world.limit("elastic-channels-per-app-instance", 2)
    world.limit("sub-channels-per-elastic-channel", 1)
    with refused("ResourceLimitExceeded"):
        world.ann.makes_channel(ElasticChannelConfiguration=ELASTIC)
    world.limit("sub-channels-per-elastic-channel", 2)
    world.ann.makes_channel(ElasticChannelConfiguration=ELASTIC)
    world.limit("memberships-per-sub-channel", 1)
    with refused("ResourceLimitExceeded"):
        world.ann.makes_channel(ElasticChannelConfiguration=ELASTIC)


def test_processors_of_a_flow(app: App) -> None:
    flow = app.flow("https://example.com/f")
    set_limit(app.server, app.arn, "processors-per-channel-flow", 1)
    app.flow("https://example.com/f")
    with refused("ResourceLimitExceeded"):
        app.flow("https://example.com/f", "https://example.com/g")
    processor = {
        "Name": "p",
        "Configuration": {"Lambda": {"ResourceArn": "https://example.com/f", "InvocationType": "ASYNC"}},
        "FallbackAction": "ABORT",
    }
    both = [{**processor, "ExecutionOrder": order} for order in (1, 2)]
    with refused("ResourceLimitExceeded"):
        app.messaging.update_channel_flow(ChannelFlowArn=flow, Name="f", Processors=both)


def test_the_settings_give_way_to_the_server_and_that_to_the_app_instance(tmp_path: Path) -> None:
    with running(tmp_path, **{"quotas.channels_per_app_instance": 1}) as server:
        one, other = App(server), App(server)
        ann, bob = one.user("ann"), other.user("bob")
        for user in (ann, bob):
            user.makes_channel()
            with refused("ResourceLimitExceeded"):
                user.makes_channel()

        set_limit(server, "", "channels-per-app-instance", 2)
        set_limit(server, one.arn, "channels-per-app-instance", 3)
        for user, more in ((ann, 2), (bob, 1)):
            for _ in range(more):
                user.makes_channel()
            with refused("ResourceLimitExceeded"):
                user.makes_channel()


def test_nothing_is_left_of_a_deleted_app_instance(app: App) -> None:
    world = World(app)
    endpoints(world)
    flow = app.flow("https://example.com/f")
    tags = [{"Key": "k", "Value": "v"}]
    for arn in (world.bob.arn, world.channel, flow, app.arn):
        app.messaging.tag_resource(ResourceARN=arn, Tags=tags)
    world.ann.sends(world.channel, "hello")

    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    app.server.settle()

    columns = {
        "app_instances": "arn", "admins": "app_instance_arn", "channels": "arn", "memberships": "channel_arn",
        "moderators": "channel_arn", "bans": "channel_arn", "counts": "owner", "messages": "channel_arn",
        "channel_flows": "arn", "executions": "channel_arn", "deletions": "arn", "tags": "resource_arn",
        "endpoints": "user_arn", "streaming_configurations": "app_instance_arn", "sub_channels": "channel_arn",
        "quotas": "app_instance_arn",
    }  # fmt: skip
    for table, column in columns.items():
        left = app.server.writes(
            lambda tx, table=table, column=column: tx.scalar(
                f"SELECT COUNT(*) FROM {table} WHERE {column} LIKE :within", within=f"{app.arn}%"
            )
        )
        assert left == 0, table


def test_the_defaults_are_those_of_the_service() -> None:
    assert {quota.name: quota.default for quota in limits.QUOTAS.values()} == {
        "app-instances-per-account": 100,
        "users-per-app-instance": 100_000,
        "admins-per-app-instance": 100,
        "endpoints-per-user": 10,
        "connections-per-user": 10,
        "channels-per-app-instance": 10_000_000,
        "memberships-per-channel": 10_000,
        "memberships-per-user": 20_000,
        "moderators-per-channel": 1_000,
        "channel-flows-per-app-instance": 100,
        "processors-per-channel-flow": 3,  # AWS: 1 unless asked (spec/channel-flows.md §1)
        "elastic-channels-per-app-instance": 1,
        "sub-channels-per-elastic-channel": 100,
        "memberships-per-sub-channel": 1_000,
    }  # spec/integrations.md §7
    assert {rate.name: rate.default for rate in limits.RATES} == {
        "messaging-calls": 10,
        "message-writes": 30,
        "message-lists": 30,
        "message-reads": 30,
        "channel-writes": 15,
        "channel-lists": 10,
        "channel-reads": 20,
        "member-writes": 15,
        "elastic-member-writes": 30,
        "member-lists": 15,
        "channels-of-user": 15,
        "sub-channel-lists": 15,
        "batches": 1,
        "connects": 1,
        "identity-calls": 50,
        "app-instance-writes": 5,
        "app-instance-reads": 20,
        "app-instance-lists": 10,
        "user-writes": 10,
        "user-reads": 20,
        "user-lists": 10,
    }
