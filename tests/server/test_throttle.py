"""Rates: the pure buckets, and what callers of a server with rates get."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from campana import limits
from campana.api.messaging import DescribeChannelRequest
from campana.auth.caller import root
from campana.errors import Throttled
from campana.operations.registry import OPERATIONS
from campana.server.throttle import REFUSALS_PER_SECOND, Throttle
from campana.settings import load
from campana.token_buckets import GENERATION_NS, KEYS_MAX, Buckets
from tests.harness import App, RunningServer, User, connect_url, running
from tests.operations.helpers import set_limit

# The buckets

rates = st.sampled_from([1, 2, 3, 7, 15, 30])
steps = st.lists(st.integers(0, 3_000), min_size=1, max_size=20)
jumps = st.lists(st.integers(-3_600_000, 3_600_000), min_size=1, max_size=50)
quick = settings(deadline=None, max_examples=50)


@quick
@given(rates, steps)
def test_in_any_time_no_more_are_admitted_than_the_burst_and_the_rate(per_second: int, pauses: list[int]) -> None:
    buckets, now, admitted = Buckets(), 10**12, []
    for pause in pauses:
        now += pause
        while buckets.admit([("k", per_second)], now):
            admitted.append(now)

    for start, from_ms in enumerate(admitted):
        for end in range(start, len(admitted)):
            most = limits.BURST * per_second + per_second * (admitted[end] - from_ms) / 1000
            assert end - start + 1 <= most


@quick
@given(rates, steps)
def test_after_a_pause_of_one_interval_somebody_is_admitted(per_second: int, pauses: list[int]) -> None:
    buckets, now = Buckets(), 10**12
    for pause in pauses:
        now += pause
        while buckets.admit([("k", per_second)], now):
            pass
        assert buckets.admit([("k", per_second)], now + -(-1000 // per_second))
        now += -(-1000 // per_second)


@quick
@given(rates, jumps)
def test_a_clock_that_jumps_neither_locks_out_nor_lets_in(per_second: int, leaps: list[int]) -> None:
    buckets, now, forward, admitted = Buckets(), 10**12, 0, 0
    for leap in leaps:
        now += leap
        forward += max(0, leap)
        admitted += sum(buckets.admit([("k", per_second)], now) for _ in range(3))
        assert admitted <= limits.BURST * per_second + per_second * forward / 1000
        # and after the interval the next is admitted, wherever the clock went
        now += -(-1000 // per_second)
        forward += -(-1000 // per_second)
        assert buckets.admit([("k", per_second)], now)
        admitted += 1


@quick
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400)), max_size=100))
def test_who_is_refused_by_one_bucket_takes_from_none(calls: list[tuple[str, int]]) -> None:
    """Two buckets together admit what each alone would have: the tighter one decides."""
    both, alone, now = Buckets(), Buckets(), 10**12
    for name, pause in calls:
        now += pause
        together = both.admit([((name, "tight"), 1), ((name, "wide"), 1_000)], now)
        assert together == alone.admit([(name, 1)], now)


def test_what_is_given_back_can_be_taken_again() -> None:
    buckets, take = Buckets(), [("k", 1)]
    assert [buckets.admit(take, 0) for _ in range(3)] == [True, True, False]
    buckets.give_back(take)
    assert [buckets.admit(take, 0) for _ in range(2)] == [True, False]


def test_very_many_callers_leave_nothing_behind() -> None:
    buckets, most = Buckets(), 0
    for number in range(100_000):
        assert buckets.admit([(number, 1)], number)  # 1,000 a second
        most = max(most, len(buckets))
    assert most <= 2 * 1_000 * GENERATION_NS // 10**9

    for number in range(2 * KEYS_MAX + 10):  # all at once
        buckets.admit([(-number, 1)], 10**6)
    assert len(buckets) <= 2 * KEYS_MAX


# The server, whose clock stands still between calls


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on which everything is enforced; what a test is not about has a rate that it can't reach."""
    high = {each.path: 1_000_000 for each in limits.RATES}
    with running(tmp_path_factory.mktemp("strict"), **{**high, "rates.enforce": True}) as server:
        server.clock.stop()
        yield server


@pytest.fixture
def app(strict: RunningServer) -> App:
    return App(strict)


def throttled(call: Any, *arguments: Any, **members: Any) -> None:
    """The call is answered 429."""
    with pytest.raises(ClientError) as refused:
        call(*arguments, **members)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "ThrottledClientException"
    assert answer["Code"] == "Throttled"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


def set_rate(app: App, name: str, per_second: int) -> None:
    set_limit(app.server, app.arn, name, per_second)
    app.server.clock.advance(ms=1_000)  # by then it is in force


def used_up(call: Any) -> int:
    """Call until it is refused; how many were admitted."""
    for number in range(100):
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ThrottledClientException":
                return number
            raise
    raise AssertionError("never refused")


def test_a_bearer_who_calls_too_fast_is_refused_and_then_admitted_again(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    set_rate(app, "messaging-calls", 1)

    ann.sends(channel, "one")
    ann.describe_channel(ChannelArn=channel)
    throttled(ann.list_channel_messages, ChannelArn=channel)
    throttled(ann.sends, channel, "too many")
    bob.sends(channel, "bob is somebody else")

    app.server.clock.advance(ms=1_000)
    assert [each["Content"] for each in ann.reads(channel)] == ["bob is somebody else", "one"]


def test_a_repeat_with_a_client_request_token_counts_too(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    set_rate(app, "message-writes", 1)

    first = ann.sends(channel, "one", ClientRequestToken="token")
    assert ann.sends(channel, "one", ClientRequestToken="token") == first
    throttled(ann.sends, channel, "one", ClientRequestToken="token")


def test_all_writes_of_messages_in_a_channel_count_together_whoever_makes_them(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    admin = app.admin("admin")
    channel, other = ann.makes_channel(members=[bob]), ann.makes_channel(members=[bob])
    message = ann.sends(channel, "one")
    set_rate(app, "message-writes", 2)

    bob.sends(channel, "two")
    ann.update_channel_message(ChannelArn=channel, MessageId=message, Content="edited")
    ann.redact_channel_message(ChannelArn=channel, MessageId=message)
    admin.delete_channel_message(ChannelArn=channel, MessageId=message)
    throttled(bob.sends, channel, "three")
    throttled(admin.delete_channel_message, ChannelArn=channel, MessageId=message)
    throttled(
        app.messaging.channel_flow_callback,
        CallbackId="c" * 64,
        ChannelArn=channel,
        ChannelMessage={"MessageId": message},
    )
    bob.sends(other, "another channel")
    assert bob.reads(channel)


def test_strangers_cannot_use_up_the_rate_of_a_channel(app: App) -> None:
    ann, eve = app.users("ann", "eve")
    channel = ann.makes_channel()
    set_rate(app, "message-writes", 1)

    for _ in range(5):
        with pytest.raises(ClientError, match="Forbidden"):
            eve.sends(channel, "let me in")
    ann.sends(channel, "one")
    ann.sends(channel, "two")
    throttled(ann.sends, channel, "three")


def test_a_refused_call_has_not_happened(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    set_rate(app, "message-writes", 1)
    heard = ann.connects()

    admitted = used_up(lambda: ann.sends(channel, "hello"))

    assert admitted == 2
    assert len(ann.reads(channel)) == 2
    app.server.clock.advance(ms=1_000)
    last = ann.sends(channel, "last")
    assert len(heard.until("CREATE_CHANNEL_MESSAGE", MessageId=last)) == 3


class Held(Exception):
    """The throttle would let the caller wait."""


class StandingClock:
    """Nobody may sleep on it."""

    def now(self) -> int:
        return 10**12

    async def sleep(self, seconds: float) -> None:
        raise Held


def test_who_goes_on_without_heed_of_refusals_is_answered_late() -> None:
    async def nothing_set(work: Any, /) -> Any:
        return {}

    throttle = Throttle(load(None, {}, {"rates.enforce": True}), nothing_set, StandingClock())
    request = DescribeChannelRequest(channel_arn="arn:aws:chime:us-east-1:1:app-instance/a/channel/c", chime_bearer="b")
    call = lambda: asyncio.run(throttle.admit(OPERATIONS["DescribeChannel"], request, root("k", "1")))  # noqa: E731

    for _ in range(limits.BURST * limits.BEARER_CALLS.default):
        call()
    for _ in range(limits.BURST * REFUSALS_PER_SECOND):
        with pytest.raises(Throttled):
            call()
    with pytest.raises(Held):
        call()


def test_who_is_refused_for_another_reason_first_is_told_that_one(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    set_rate(app, "messaging-calls", 1)
    used_up(lambda: ann.describe_channel(ChannelArn=channel))

    with pytest.raises(ClientError, match="BadRequestException"):  # the shape comes before the rate
        ann.list_channel_messages(ChannelArn=channel, MaxResults=51)
    throttled(ann.describe_channel, ChannelArn=f"{app.arn}/channel/none")  # and the rate before the roles


def test_sessions_are_opened_one_a_second(tmp_path: Path) -> None:
    with running(tmp_path, **{"rates.enforce": True}) as server:
        server.clock.stop()
        app = App(server)
        ann, bob = app.users("ann", "bob")

        with ann.connects(), ann.connects():
            assert close_code(app, ann) == 4005
            with bob.connects():
                pass
            server.clock.advance(ms=1_000)
            with ann.connects():
                pass


def close_code(app: App, user: User) -> int:
    with websocket(connect_url(app.server.url, user.arn), compression=None) as socket:
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(timeout=20)
        assert end.value.rcvd is not None
        return int(end.value.rcvd.code)


def test_an_elastic_channel_has_a_rate_of_its_own_for_members_and_each_sub_channel_for_messages(app: App) -> None:
    admin = app.admin("admin")
    elastic = admin.makes_channel(
        ElasticChannelConfiguration={
            "MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1
        }
    )  # fmt: skip
    users = app.users("a", "b", "c")
    subs = [
        admin.create_channel_membership(ChannelArn=elastic, MemberArn=user.arn, Type="DEFAULT")["SubChannelId"]
        for user in users
    ]
    set_limit(app.server, app.arn, "member-writes", 1)
    set_limit(app.server, app.arn, "elastic-member-writes", 2)
    set_rate(app, "message-writes", 1)
    plain = admin.makes_channel()
    nobody = f"{app.arn}/user/nobody"

    for channel, most in ((plain, 2), (elastic, 4)):
        leave = lambda channel=channel: admin.delete_channel_membership(ChannelArn=channel, MemberArn=nobody)  # noqa: E731
        assert used_up(leave) == most

    assert len(set(subs)) == 2
    for user in (users[0], users[2]):  # the second one was moved to make room
        current = user.list_channel_memberships_for_app_instance_user()["ChannelMemberships"][0]
        sub_channel = current["AppInstanceUserMembershipSummary"]["SubChannelId"]
        members = {"ChannelArn": elastic, "SubChannelId": sub_channel}
        send = lambda user=user, members=members: user.send_channel_message(  # noqa: E731
            Content="x", Type="STANDARD", Persistence="PERSISTENT", **members
        )
        assert used_up(send) == 2


def test_identity_operations_have_rates_of_the_app_instance(app: App) -> None:
    set_limit(app.server, app.arn, "user-reads", 1)
    set_rate(app, "user-lists", 2)
    ann = app.user("ann")

    assert used_up(lambda: app.identity.describe_app_instance_user(AppInstanceUserArn=ann.arn)) == 2
    assert used_up(lambda: app.identity.list_app_instance_users(AppInstanceArn=app.arn)) == 4


def test_rates_of_the_account_and_of_single_app_instances(tmp_path: Path) -> None:
    given = {"rates.app_instance_writes": 1, "rates.identity_calls": 1_000_000, "rates.message_writes": 1}
    with running(tmp_path, **given) as server:
        quiet, loud = App(server), App(server)
        App(server)  # rates are off
        ann, bob = quiet.user("ann"), loud.user("bob")
        channels = [user.makes_channel() for user in (ann, bob)]

        server.clock.stop()
        set_limit(server, loud.arn, limits.RATES_ENFORCED, 1)
        server.clock.advance(ms=2_000)
        assert used_up(lambda: bob.sends(channels[1], "x")) == 2
        for _ in range(4):
            ann.sends(channels[0], "x")
            loud.identity.update_app_instance(AppInstanceArn=loud.arn, Name="not of the app instance", Metadata="")

        set_limit(server, "", limits.RATES_ENFORCED, 1)
        set_limit(server, loud.arn, limits.RATES_ENFORCED, 0)
        server.clock.advance(ms=2_000)
        assert used_up(lambda: App(server)) == 2
        assert used_up(lambda: ann.sends(channels[0], "x")) == 2
        for _ in range(4):
            bob.sends(channels[1], "x")


# The table


DECLARED = {
    "message-writes": {
        "SendChannelMessage", "UpdateChannelMessage", "RedactChannelMessage", "DeleteChannelMessage",
        "ChannelFlowCallback",
    },
    "message-lists": {"ListChannelMessages"},
    "message-reads": {"GetChannelMessage"},
    "channel-writes": {"CreateChannel", "UpdateChannel", "DeleteChannel"},
    "channel-lists": {"ListChannels"},
    "channel-reads": {"DescribeChannel"},
    "member-writes": {
        "CreateChannelMembership", "DeleteChannelMembership", "CreateChannelBan", "DeleteChannelBan",
        "CreateChannelModerator", "DeleteChannelModerator",
    },
    "member-lists": {"ListChannelMemberships", "ListChannelBans", "ListChannelModerators"},
    "channels-of-user": {"ListChannelMembershipsForAppInstanceUser", "ListChannelsModeratedByAppInstanceUser"},
    "sub-channel-lists": {"ListSubChannels"},
    "batches": {"BatchCreateChannelMembership"},
    "app-instance-writes": {"CreateAppInstance", "UpdateAppInstance", "DeleteAppInstance"},
    "app-instance-reads": {"DescribeAppInstance"},
    "app-instance-lists": {"ListAppInstances"},
    "user-writes": {"CreateAppInstanceUser", "UpdateAppInstanceUser", "DeleteAppInstanceUser"},
    "user-reads": {"DescribeAppInstanceUser"},
    "user-lists": {"ListAppInstanceUsers"},
}  # fmt: skip
"""spec/integrations.md §7."""


def test_each_operation_declares_the_rate_of_the_spec() -> None:
    declared: dict[str, set[str]] = {}
    for name, operation in OPERATIONS.items():
        if operation.rate is not None:
            declared.setdefault(operation.rate.name, set()).add(name)

    assert declared == DECLARED
    everywhere = {"messaging-calls", "identity-calls", "connects", "elastic-member-writes"}
    assert {each.name for each in limits.RATES} == {*DECLARED, *everywhere}
