"""Expiration of channels and users: settings, what counts, and what their end looks like."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campana import sweeper
from campana.clock import Ids
from campana.settings import Settings
from campana.store import channels, migrate
from campana.store.sqlite import SqliteDatabase
from campana.unit_of_work import Units
from tests.harness import App, RunningServer, User, client, refused, running
from tests.operations.helpers import answered, counted, rows

DAY_MS = 24 * 60 * 60 * 1000
BY_CREATION = {"ExpirationDays": 2, "ExpirationCriterion": "CREATED_TIMESTAMP"}
BY_MESSAGE = {"ExpirationDays": 2, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose clock is moved by tests alone; callers are believed, since signatures would be too old."""
    with running(tmp_path_factory.mktemp("moved"), **{"auth.mode": "none"}) as server:
        server.clock.stop()
        yield server


@pytest.fixture
def app(moved: RunningServer) -> App:
    return App(moved)


def days(app: App, number: int, ms: int = 0) -> None:
    """Time passes, and the background work has done what is due."""
    app.server.clock.advance(ms=number * DAY_MS + ms)
    app.server.settle()


def is_there(user: User, channel: str) -> bool:
    return rows(user.app.server, "channels", arn=channel) == 1


def is_alive(user: User) -> bool:
    found = user.app.identity.list_app_instance_users(AppInstanceArn=user.app.arn)["AppInstanceUsers"]
    return user.arn in [each["AppInstanceUserArn"] for each in found]


def test_settings_of_a_channel_are_made_changed_and_taken_away(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(ExpirationSettings=BY_CREATION)
    described = lambda: ann.describe_channel(ChannelArn=channel)["Channel"].get("ExpirationSettings")  # noqa: E731
    assert described() == BY_CREATION

    answer = answered(200, ann.put_channel_expiration_settings(ChannelArn=channel, ExpirationSettings=BY_MESSAGE))
    assert answer == {"ChannelArn": channel, "ExpirationSettings": BY_MESSAGE}
    assert described() == BY_MESSAGE

    assert answered(200, ann.put_channel_expiration_settings(ChannelArn=channel)) == {"ChannelArn": channel}
    assert described() is None
    days(app, 10_000)
    assert is_there(ann, channel)


def test_settings_of_a_user_are_made_changed_and_taken_away(app: App) -> None:
    made = app.identity.create_app_instance_user(
        AppInstanceArn=app.arn, AppInstanceUserId="ann", Name="Ann", ExpirationSettings=BY_CREATION
    )
    arn = made["AppInstanceUserArn"]
    described = lambda: app.identity.describe_app_instance_user(AppInstanceUserArn=arn)["AppInstanceUser"].get(  # noqa: E731
        "ExpirationSettings"
    )
    put = app.identity.put_app_instance_user_expiration_settings
    assert described() == BY_CREATION

    longer = {**BY_CREATION, "ExpirationDays": 5475}
    answer = answered(200, put(AppInstanceUserArn=arn, ExpirationSettings=longer))
    assert answer == {"AppInstanceUserArn": arn, "ExpirationSettings": longer}
    assert described() == longer
    assert answered(200, put(AppInstanceUserArn=arn)) == {"AppInstanceUserArn": arn}
    assert described() is None


@pytest.mark.parametrize("number", [0, 5476])
def test_days_have_bounds(app: App, number: int) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    settings = {**BY_CREATION, "ExpirationDays": number}
    messaging = client("chime-sdk-messaging", app.server.url, validates=False)
    identity = client("chime-sdk-identity", app.server.url, validates=False)

    with refused("BadRequest"):
        messaging.put_channel_expiration_settings(ChannelArn=channel, ChimeBearer=ann.arn, ExpirationSettings=settings)
    with refused("BadRequest"):
        identity.put_app_instance_user_expiration_settings(AppInstanceUserArn=ann.arn, ExpirationSettings=settings)
    with refused("BadRequest"):  # a user sends no last message
        identity.put_app_instance_user_expiration_settings(AppInstanceUserArn=ann.arn, ExpirationSettings=BY_MESSAGE)


def test_a_channel_goes_when_its_days_since_creation_are_over_as_if_deleted(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], ExpirationSettings=BY_CREATION)
    ann.sends(channel, "hello")
    heard = bob.connects()

    days(app, 2, ms=-1)
    ann.sends(channel, "still there")  # and a message makes no difference
    assert is_there(ann, channel)

    days(app, 0, ms=1)
    assert not is_there(ann, channel)
    assert heard.until("DELETE_CHANNEL")[-1].payload["ChannelArn"] == channel
    with refused("Forbidden"):
        ann.describe_channel(ChannelArn=channel)
    assert rows(app.server, "messages", channel_arn=channel) == 0
    assert counted(app.server, app.arn, "channels") == 0


def test_a_message_gives_a_channel_new_days(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(ExpirationSettings=BY_MESSAGE)
    for _ in range(3):
        days(app, 1)
        ann.sends(channel, "hello")
    days(app, 1)
    assert is_there(ann, channel)

    ann.sends(channel, "unnoticed", Persistence="NON_PERSISTENT")
    days(app, 1)
    assert not is_there(ann, channel)


def test_a_channel_without_a_message_has_days_from_its_creation(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(ExpirationSettings=BY_MESSAGE)
    days(app, 2, ms=-1)
    assert is_there(ann, channel)
    days(app, 0, ms=1)
    assert not is_there(ann, channel)


def test_settings_that_come_late_are_honoured_until_the_end(app: App) -> None:
    ann = app.user("ann")
    channel, other = ann.makes_channel(ExpirationSettings=BY_CREATION), ann.makes_channel()
    app.server.clock.advance(ms=2 * DAY_MS - 1)

    ann.put_channel_expiration_settings(ChannelArn=channel, ExpirationSettings={**BY_CREATION, "ExpirationDays": 3})
    ann.put_channel_expiration_settings(ChannelArn=other, ExpirationSettings={**BY_CREATION, "ExpirationDays": 1})
    app.server.settle()

    assert is_there(ann, channel)
    assert not is_there(ann, other)  # it was over at once
    days(app, 1, ms=1)
    assert not is_there(ann, channel)


def test_a_user_goes_as_if_deleted(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=bob.arn)
    channel = ann.makes_channel(members=[bob])
    app.identity.put_app_instance_user_expiration_settings(AppInstanceUserArn=bob.arn, ExpirationSettings=BY_CREATION)
    heard, own = ann.connects(), bob.connects()

    days(app, 2, ms=-1)
    assert is_alive(bob)
    days(app, 0, ms=1)

    assert not is_alive(bob)
    assert own.closed() == 4003
    left = heard.until("DELETE_CHANNEL_MEMBERSHIP")[-1].payload
    assert left["Member"]["Arn"] == bob.arn
    assert [
        each["Member"]["Arn"] for each in ann.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
    ] == [ann.arn]
    assert [counted(app.server, app.arn, what) for what in ("users", "admins")] == [1, 0]
    fresh = app.user("bob")  # the id can be had again
    assert is_alive(fresh)


def test_many_that_expire_at_once_go_in_batches(app: App) -> None:
    ann = app.user("ann")
    channels = [ann.makes_channel(ExpirationSettings=BY_CREATION) for _ in range(2 * sweeper.EXPIRED_BATCH + 1)]
    days(app, 2)
    assert not any(is_there(ann, channel) for channel in channels)


# The loop, by a clock of its own


class ScriptedClock:
    """Each sleep lets as much time pass as the script says; at its end the sleeper is cancelled."""

    def __init__(self, start: int, script: list[int]) -> None:
        self.time = start
        self.script = iter(script)

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        try:
            self.time += next(self.script)
        except StopIteration:
            raise asyncio.CancelledError from None


SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
WORLD: dict[str, tuple[list[int], bool]] = {
    "time passes": ([MINUTE] * 121, False),
    "the clock leaps forward": ([2 * HOUR, SECOND, SECOND], True),
    "it leaps forward, and nobody puts it right": ([2 * HOUR, *[MINUTE] * 61], False),
    "it leaps forward and is put right": ([2 * HOUR, MINUTE, -2 * HOUR, *[MINUTE] * 60], True),
    "it was put right and then time passes": ([2 * HOUR, MINUTE, -2 * HOUR, *[MINUTE] * 121], False),
}


@pytest.mark.parametrize("name", WORLD)
def test_a_leap_of_the_clock_removes_nothing_before_somebody_could_put_it_right(tmp_path: Path, name: str) -> None:
    start = 10**12
    script, stays = WORLD[name]
    db = SqliteDatabase(tmp_path / "campana.db")
    clock = ScriptedClock(start, script)
    row: Any = channels.Channel(
        "arn:aws:chime:us-east-1:1:app-instance/a/channel/c", "arn:aws:chime:us-east-1:1:app-instance/a",
        "c", "RESTRICTED", "PRIVATE", None, "u", start, start, None, None, None, 1, "CREATED_TIMESTAMP",
        start + 90 * MINUTE,
    )  # fmt: skip

    def prepare(tx: Any) -> None:
        migrate.apply(tx, start)
        channels.insert(tx, row)
        tx.run("UPDATE channels SET created_at = :at", at=start + 90 * MINUTE - DAY_MS)

    db.write_now(prepare)

    async def run() -> None:
        work = sweeper.Sweeper(db, Units(clock, Ids(1), Settings()), clock)
        with pytest.raises(asyncio.CancelledError):
            await work.run()
        await db.close()

    asyncio.run(run())

    after = SqliteDatabase(tmp_path / "campana.db")
    found = after.read_now(lambda tx: channels.find(tx, row.arn))
    after.close_now()
    assert (found is not None) == stays
