"""The server's clock is put forward or back by hours, and nobody is the worse for it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from campana import limits
from tests.harness import App, Processor, RunningServer, User, calls_back, refused, running
from tests.operations.helpers import ms, rows, set_limit, whole

GIVEN = {"auth.mode": "none", "flows.lease_ms": 1_000, "flows.retry_delays_ms": (1, 1)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose clock the test moves; callers are believed, since signatures would be of another time."""
    with running(tmp_path, **GIVEN) as server:
        yield server


def newest_first(user: User, channel: str) -> list[str]:
    listed = whole(user.list_channel_messages, "ChannelMessages", ChannelArn=channel, MaxResults=2)
    times = [ms(each["CreatedTimestamp"]) for each in listed]
    assert times == sorted(times, reverse=True)
    return [each["Content"] for each in listed]


JUMPS = {
    "forward": [3],
    "back": [-3],
    "forward and back": [5, -5],
    "back and forward": [-2, 2],
    "to and fro": [1, -2, 2],
}


@pytest.mark.parametrize("jumps", JUMPS.values(), ids=list(JUMPS))
def test_messages_are_listed_in_the_order_they_were_sent(server: RunningServer, jumps: list[int]) -> None:
    app = App(server)
    ann = app.user("ann")
    channel = ann.makes_channel()
    sent, ids, heard = ["before"], [ann.sends(channel, "before")], ann.connects()
    for number, hours in enumerate(jumps):
        server.clock.advance(hours=hours)
        for part in "abc":
            sent.append(f"{number}{part}")
            ids.append(ann.sends(channel, sent[-1]))

    assert newest_first(ann, channel) == sent[::-1]
    assert all(one < other for one, other in pairwise(ids))
    assert [event.payload["Content"] for event in heard.until("CREATE_CHANNEL_MESSAGE", MessageId=ids[-1])] == sent[1:]


def test_the_order_holds_across_a_restart_with_the_clock_put_back(server: RunningServer) -> None:
    ann = App(server).user("ann")
    channel = ann.makes_channel()
    for content in ("1", "2"):
        ann.sends(channel, content)
    server.stop()
    server.clock.advance(hours=-4)
    server.start()
    again = User(App(server), ann.arn)
    for content in ("3", "4"):
        again.sends(channel, content)

    assert newest_first(again, channel) == ["4", "3", "2", "1"]


def test_who_asks_for_what_came_since_the_last_message_misses_none(server: RunningServer) -> None:
    ann = App(server).user("ann")
    channel = ann.makes_channel()
    ann.sends(channel, "seen")
    last = ann.reads(channel)[0]["CreatedTimestamp"]
    server.clock.advance(hours=-3)
    ann.sends(channel, "new")

    found = ann.reads(channel, NotBefore=last + timedelta(milliseconds=1))
    assert [each["Content"] for each in found] == ["new"]


def test_a_clock_that_was_days_ahead_is_not_followed_for_days(server: RunningServer) -> None:
    ann = App(server).user("ann")
    channel = ann.makes_channel()
    server.clock.advance(hours=1_000)
    ann.sends(channel, "from the future")
    server.clock.advance(hours=-1_000)
    ann.sends(channel, "from today")

    times = {each["Content"]: ms(each["CreatedTimestamp"]) for each in ann.reads(channel)}
    assert times["from today"] <= server.clock.now()
    described = ann.describe_channel(ChannelArn=channel)["Channel"]
    assert ms(described["LastMessageTimestamp"]) <= server.clock.now()


@pytest.mark.parametrize("hours", [5, -5])
def test_live_sessions_go_on_and_the_journal_is_cleaned_up_behind_them(server: RunningServer, hours: int) -> None:
    app = App(server)
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    heard = bob.connects()
    topic = f"channel/{channel}"
    for number in range(3):
        ann.sends(channel, str(number))
        server.clock.advance(hours=hours)
        server.settle()
    last = ann.sends(channel, "last")

    events = heard.until("CREATE_CHANNEL_MESSAGE", MessageId=last)
    assert [event.payload["Content"] for event in events] == ["0", "1", "2", "last"]
    if hours > 0:
        assert rows(server, "journal", topic=topic) == 1
    else:  # what lies ahead is kept until its time has passed
        server.clock.advance(hours=16)
        server.settle()
        assert rows(server, "journal", topic=topic) == 0
    with bob.connects() as fresh:
        ann.sends(channel, "to both")
        for session in (heard, fresh):
            assert session.next().payload["Content"] == "to both"


def test_a_processor_that_failed_is_tried_again_after_the_clock_was_put_back(
    server: RunningServer, processor: Processor
) -> None:
    app = App(server)
    ann = app.user("ann")
    channel = ann.makes_channel(flow=app.flow(processor.arn))
    processor.answers.clear()  # the first invocation hangs
    sent = ann.sends(channel, "hello")
    first = processor.takes()
    server.stop()  # and nobody will report on it
    server.clock.advance(hours=5)
    processor.answers.set()
    server.start()
    assert processor.takes()["CallbackId"] == first["CallbackId"]
    server.clock.advance(hours=-5)
    app = App(server)
    calls_back(app, first)
    assert User(app, ann.arn).get_channel_message(ChannelArn=channel, MessageId=sent)["ChannelMessage"]


def test_a_lease_from_a_clock_that_was_ahead_ends_in_time(server: RunningServer) -> None:
    app = App(server)
    ann = app.user("ann")
    channel = ann.makes_channel(flow=app.flow("http://127.0.0.1:9/nobody"))
    ann.sends(channel, "fails at once")
    lost = server.writes(
        lambda tx: tx.run(
            "UPDATE executions SET state = 'INVOKING', due_at = :at WHERE channel_arn = :channel",
            at=server.clock.now() + 5 * 3_600_000,
            channel=channel,
        )
    )
    assert lost == 1
    server.clock.advance(hours=-1)
    until = server.clock.now() + GIVEN["flows.lease_ms"] + 60_000

    def lease() -> int:
        return int(
            server.writes(lambda tx: tx.scalar("SELECT due_at FROM executions WHERE channel_arn = :c", c=channel))
        )

    server.run(server.server._runner._wake_some())
    assert lease() <= until


def test_a_callback_is_waited_for_from_when_it_was_asked(server: RunningServer, processor: Processor) -> None:
    """48 hours by the clock: put forward and back again it makes no difference."""
    app = App(server)
    ann = app.user("ann")
    channel = ann.makes_channel(flow=app.flow(processor.arn))
    ann.sends(channel, "hello")
    event = processor.takes()

    server.clock.advance(hours=47)
    server.clock.advance(hours=-47)
    server.clock.advance(hours=40)
    calls_back(app, event)

    assert [each["Content"] for each in ann.reads(channel)] == ["hello"]


def test_a_repeat_is_recognised_whichever_way_the_clock_went(server: RunningServer) -> None:
    ann = App(server).user("ann")
    channel = ann.makes_channel()
    first = ann.sends(channel, "once", ClientRequestToken="token")
    for hours in (5, -10, 20):
        server.clock.advance(hours=hours)
        server.settle()
        assert ann.sends(channel, "once", ClientRequestToken="token") == first
    assert len(ann.reads(channel)) == 1

    server.clock.advance(hours=10)  # 25 in all
    server.settle()
    assert ann.sends(channel, "once", ClientRequestToken="token") != first


def admitted(call: Callable[[], object]) -> int:
    """How many calls until one is refused for its rate."""
    for number in range(10):
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ThrottledClientException":
                return number
            raise
    raise AssertionError("never refused")


def test_rates_let_callers_in_again_after_a_second_whichever_way_the_clock_went(server: RunningServer) -> None:
    server.clock.stop()
    app = App(server)
    ann = app.user("ann")
    channel = ann.makes_channel()
    set_limit(server, app.arn, limits.RATES_ENFORCED, 1)
    set_limit(server, app.arn, "messaging-calls", 1)
    server.clock.advance(ms=1_000)
    for hours in (5, -10, 20):
        server.clock.advance(hours=hours)
        assert admitted(lambda: ann.sends(channel, "hello")) <= 2
        server.clock.advance(ms=1_000)
        ann.sends(channel, "a second later")


def test_signatures_are_refused_while_the_clock_is_wrong_and_taken_when_it_is_right(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        app = App(server)
        for hours in (1, -1):
            server.clock.advance(hours=hours)
            with pytest.raises(ClientError, match="InvalidSignatureException"):
                app.identity.describe_app_instance(AppInstanceArn=app.arn)
            server.clock.advance(hours=-hours)
            app.identity.describe_app_instance(AppInstanceArn=app.arn)


def test_what_was_made_ahead_of_time_expires_and_is_deleted_all_the_same(server: RunningServer) -> None:
    app = App(server)
    ann = app.user("ann")
    server.clock.advance(hours=5)
    expiring = {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}
    channel, other = ann.makes_channel(ExpirationSettings=expiring), ann.makes_channel()
    ann.sends(channel, "hello")
    ann.delete_channel(ChannelArn=other)
    server.clock.advance(hours=-5)
    server.settle()
    assert rows(server, "deletions", arn=other) == 0

    server.clock.advance(hours=24)
    server.settle()
    ann.describe_channel(ChannelArn=channel)
    server.clock.advance(hours=6)
    server.settle()
    with refused("Forbidden"):
        ann.describe_channel(ChannelArn=channel)
