"""Retention: hidden at once, back within the days of grace, gone for good after them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from campana import sweeper
from campana.operations import retention
from tests.harness import App, Processor, RunningServer, User, calls_back, client, refused, running
from tests.operations.helpers import ms, rows

DAY_H = 24
GRACE_H = 30 * DAY_H


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose clock is moved by tests alone; callers are believed, since signatures would be too old."""
    with running(tmp_path_factory.mktemp("moved"), **{"auth.mode": "none"}) as server:
        server.clock.stop()
        yield server


@pytest.fixture
def app(moved: RunningServer) -> App:
    return App(moved)


def keep(app: App, days: int | None) -> Any:
    """Set the retention; the answer."""
    channels = {} if days is None else {"ChannelRetentionSettings": {"RetentionDays": days}}
    return app.identity.put_app_instance_retention_settings(
        AppInstanceArn=app.arn, AppInstanceRetentionSettings=channels
    )


def contents(user: User, channel: str, **more: Any) -> list[str]:
    return [each["Content"] for each in user.reads(channel, SortOrder="ASCENDING", **more)]


def test_the_settings_and_when_deletion_begins(app: App) -> None:
    get = lambda: app.identity.get_app_instance_retention_settings(AppInstanceArn=app.arn)  # noqa: E731
    clock = app.server.clock
    never = get()
    assert never["AppInstanceRetentionSettings"] == {}
    assert "InitiateDeletionTimestamp" not in never

    first = keep(app, 5)
    assert first["AppInstanceRetentionSettings"] == {"ChannelRetentionSettings": {"RetentionDays": 5}}
    assert ms(first["InitiateDeletionTimestamp"]) == clock.now() + GRACE_H * 3_600_000

    clock.advance(hours=1)
    for answer in (keep(app, 5), get()):  # the same once more changes nothing
        assert answer["InitiateDeletionTimestamp"] == first["InitiateDeletionTimestamp"]
    changed = keep(app, 4)
    assert ms(changed["InitiateDeletionTimestamp"]) == clock.now() + GRACE_H * 3_600_000

    for off in ({}, {"ChannelRetentionSettings": {}}):
        keep(app, 4)
        answer = app.identity.put_app_instance_retention_settings(
            AppInstanceArn=app.arn, AppInstanceRetentionSettings=off
        )
        for each in (answer, get()):
            assert each["AppInstanceRetentionSettings"] == {}
            assert "InitiateDeletionTimestamp" not in each


@pytest.mark.parametrize("days", [1, 5475])
def test_the_shortest_and_the_longest(app: App, days: int) -> None:
    assert keep(app, days)["AppInstanceRetentionSettings"]["ChannelRetentionSettings"]["RetentionDays"] == days
    app.identity = client("chime-sdk-identity", app.server.url, validates=False)
    with refused("BadRequest"):
        keep(app, {1: 0, 5475: 5476}[days])


def test_old_messages_are_hidden_at_once_from_every_operation(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    admin = app.admin("admin")
    channel = ann.makes_channel(members=[bob])
    old = ann.sends(channel, "old")
    app.server.clock.advance(hours=DAY_H)
    edge = ann.sends(channel, "edge")
    app.server.clock.advance(hours=DAY_H)

    keep(app, 1)

    assert contents(bob, channel) == ["edge"]
    assert contents(bob, channel, NotBefore="2020-01-01T00:00:00Z") == ["edge"]
    assert contents(admin, channel) == ["edge"]
    message = {"ChannelArn": channel, "MessageId": old}
    for user in (ann, bob, admin):
        with refused("NotFound"):
            user.get_channel_message(**message)
    with refused("Forbidden"):
        ann.get_channel_message_status(**message)
    with refused("Forbidden"):
        ann.update_channel_message(**message, Content="edited")
    for user in (ann, admin):
        with refused("Forbidden"):
            user.redact_channel_message(**message)
    admin.delete_channel_message(**message)
    bob.get_channel_message(ChannelArn=channel, MessageId=edge)

    app.server.clock.advance(ms=1)
    assert contents(bob, channel) == []
    keep(app, None)
    assert contents(bob, channel) == ["old", "edge"]  # nothing was changed meanwhile, nor deleted


def test_a_page_token_from_before_leads_to_nothing_hidden(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    for number in range(4):
        ann.sends(channel, str(number))
        app.server.clock.advance(hours=DAY_H)
    first = ann.list_channel_messages(ChannelArn=channel, MaxResults=1)

    keep(app, 2)

    rest = ann.list_channel_messages(ChannelArn=channel, NextToken=first["NextToken"])
    assert [each["Content"] for each in (*first["ChannelMessages"], *rest["ChannelMessages"])] == ["3", "2"]


def test_within_the_grace_messages_come_back_when_it_is_lengthened(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    ann.sends(channel, "old")
    app.server.clock.advance(hours=3 * DAY_H)
    ann.sends(channel, "new")
    keep(app, 2)
    app.server.settle()
    assert contents(ann, channel) == ["new"]

    app.server.clock.advance(hours=GRACE_H, ms=-1)
    app.server.settle()
    assert contents(ann, channel) == []
    keep(app, 365)
    app.server.settle()
    assert contents(ann, channel) == ["old", "new"]


def test_after_the_grace_messages_are_gone_for_good_and_later_ones_as_they_pass(app: App) -> None:
    ann = app.user("ann")
    other = App(app.server).user("other")
    channel, elsewhere = ann.makes_channel(), other.makes_channel()
    for user, place in ((ann, channel), (other, elsewhere)):
        user.sends(place, "old")
    app.server.clock.advance(hours=3 * DAY_H)
    keep(app, 2)

    app.server.clock.advance(hours=GRACE_H - DAY_H)
    ann.sends(channel, "later")
    app.server.clock.advance(hours=DAY_H)
    ann.sends(channel, "new")
    app.server.settle()
    assert rows(app.server, "messages", channel_arn=channel) == 2

    app.server.clock.advance(hours=DAY_H + 1)
    app.server.settle()  # the round after the first
    assert rows(app.server, "messages", channel_arn=channel) == 1
    keep(app, 365)
    assert contents(ann, channel) == ["new"]
    assert contents(other, elsewhere) == ["old"]


def test_a_shorter_period_has_a_grace_of_its_own(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    keep(app, 100)
    app.server.clock.advance(hours=GRACE_H)
    ann.sends(channel, "kept by the first")
    app.server.clock.advance(hours=10 * DAY_H)

    keep(app, 5)
    app.server.clock.advance(hours=GRACE_H, ms=-1)
    app.server.settle()
    assert contents(ann, channel) == []
    assert rows(app.server, "messages", channel_arn=channel) == 1
    app.server.clock.advance(ms=1)
    app.server.settle()
    assert rows(app.server, "messages", channel_arn=channel) == 0


def test_sub_channels_and_messages_on_their_way_go_too(app: App, processor: Processor) -> None:
    admin, ann = app.admin("admin"), app.user("ann")
    elastic = admin.makes_channel(
        ElasticChannelConfiguration={
            "MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1
        }
    )  # fmt: skip
    sub = admin.create_channel_membership(ChannelArn=elastic, MemberArn=ann.arn, Type="DEFAULT")["SubChannelId"]
    ann.sends(elastic, "old", SubChannelId=sub)
    channel = ann.makes_channel(flow=app.flow(processor.arn))
    ann.sends(channel, "waits for its processor")
    event = processor.takes()
    sent = ann.sends(channel, "was released")
    calls_back(app, processor.takes())
    assert rows(app.server, "executions", channel_arn=channel) == 2

    keep(app, 1)
    app.server.clock.advance(hours=DAY_H + 1)
    assert ann.reads(elastic, SubChannelId=sub) == []
    with refused("NotFound"):
        ann.get_channel_message(ChannelArn=channel, MessageId=sent)
    app.server.clock.advance(hours=GRACE_H)
    app.server.settle()

    for place in (elastic, channel):
        assert rows(app.server, "messages", channel_arn=place) == 0
        assert rows(app.server, "executions", channel_arn=place) == 0
    with refused("Forbidden"):
        calls_back(app, event)


def test_rounds_go_on_where_they_were_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "STEPS", ())  # the steps are taken here, one at a time
    with running(tmp_path, **{"auth.mode": "none"}) as server:
        server.clock.stop()
        app = App(server)
        ann = app.user("ann")
        channels = [ann.makes_channel() for _ in range(3)]
        for channel in channels:
            for number in range(3):
                ann.sends(channel, str(number))
        keep(app, 1)
        server.clock.advance(hours=GRACE_H + DAY_H + 1)
        kept = ann.sends(channels[1], "kept")

        left = []
        while retention_step(server, 2):
            left.append(sum(rows(server, "messages", channel_arn=channel) for channel in channels))
            server.stop()
            server.start()
        ann = User(App(server), ann.arn)

        assert [before - after for before, after in pairwise([10, *left])] == [2, 2, 2, 2, 1]
        assert [each["MessageId"] for each in ann.reads(channels[1])] == [kept]


def retention_step(server: RunningServer, limit: int) -> int:
    """One transaction of the background work."""
    return int(server.writes(server.server._units.run, retention.purge, limit))


def test_the_background_work_uses_small_steps() -> None:
    (step,) = [each for each in sweeper.STEPS if each.work is sweeper.purge_old_messages]
    assert max(step.rows, step.rows_shared) <= 200
