"""The work of a look-up or of a page stays the same however many rows there are.

Counted in steps of SQLite's virtual machine, so the numbers are the same on every machine. A plan without a scan is
not enough: an index may be walked from its start to the page that is wanted.
"""

import inspect
import pkgutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from types import FrameType, FunctionType

import pytest

from campana import store
from campana.store import (
    admins,
    app_instances,
    bans,
    channel_flows,
    channels,
    counts,
    deletions,
    endpoints,
    executions,
    idempotency,
    identities,
    keys,
    memberships,
    messages,
    moderators,
    quotas,
    search,
    streaming,
    sub_channels,
    tags,
    topics,
)
from campana.store.database import Position
from campana.store.sqlite import SqliteDatabase, SqliteTx

pytestmark = pytest.mark.sqlite
FEW, MANY = 60, 1200

Fill = Callable[[SqliteTx, int], None]
Look = Callable[[SqliteTx, Position], object]
"""Gets the key of a row far behind in the order: (time, name)."""


def rows(table: str, **columns: str) -> Fill:
    """Rows 1 to n, with SQL expressions of `i` as values; other columns hold 'x' or 0."""

    def fill(tx: SqliteTx, n: int) -> None:
        info = tx._connection.execute(f"PRAGMA table_info({table})").fetchall()
        values = ", ".join(columns.get(name, "'x'" if kind == "TEXT" else "0") for _, name, kind, *_ in info)
        tx.run(
            "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n)"
            f" INSERT INTO {table} SELECT {values} FROM numbers",
            n=n,
        )

    return fill


def both(*fills: Fill) -> Fill:
    def fill(tx: SqliteTx, n: int) -> None:
        for each in fills:
            each(tx, n)

    return fill


NAME = "printf('%06d', i)"
IN_TIME = {"created_at": "i"}
MESSAGES = rows("messages", id=NAME, **IN_TIME)
MEMBERS = rows("memberships", member_arn=NAME, **IN_TIME)
CHANNELS = rows("channels", arn=NAME, **IN_TIME)
CHANNELS_OF_ONE = both(rows("memberships", channel_arn=NAME, **IN_TIME), CHANNELS)
COMPLETED = rows("executions", id=NAME, callback_id=NAME, state="'SENT'", due_at="i", message_id=NAME)
LATER = rows("executions", id=NAME, callback_id=NAME, state="'INVOKING'", due_at="i", message_id=NAME)
PAGE = 5


def one_more(table: str, **columns: str) -> Fill:
    """A row that is there however many others are."""
    return lambda tx, n: rows(table, **columns)(tx, 1)


VISIBLE = both(
    one_more("channels", elastic="NULL"), rows("memberships", member_arn=NAME, sub_channel_id="''", type="'DEFAULT'")
)
"""A channel without sub-channels, and its members."""

LOOK_UPS: dict[str, tuple[Fill, Look]] = {
    "a page of messages, oldest first": (
        MESSAGES,
        lambda tx, far: messages.page(
            tx, "x", "x", not_before=0, not_after=10**13, descending=False, after=far, limit=PAGE
        ),
    ),
    "a page of messages, newest first": (
        MESSAGES,
        lambda tx, _: messages.page(
            tx, "x", "x", not_before=0, not_after=10**13, descending=True, after=(20, "000020"), limit=PAGE
        ),
    ),
    "a page of messages from a time on": (
        MESSAGES,
        lambda tx, far: messages.page(
            tx, "x", "x", not_before=int(far[0] or 0), not_after=10**13, descending=False, after=None, limit=PAGE
        ),
    ),
    "a page of members": (MEMBERS, lambda tx, far: memberships.page_by_type(tx, "x", "x", "x", far, PAGE)),
    "a page of a user's channels": (
        CHANNELS_OF_ONE,
        lambda tx, far: memberships.page_of_user(tx, "x", (*far, "x"), PAGE),
    ),
    "a page of channels": (CHANNELS, lambda tx, far: channels.page_by_privacy(tx, "x", "x", far, PAGE)),
    "a page of a flow's channels": (CHANNELS, lambda tx, far: channels.page_by_flow(tx, "x", far, PAGE)),
    "a page of flows": (
        rows("channel_flows", arn=NAME, **IN_TIME),
        lambda tx, far: channel_flows.page(tx, "x", far, PAGE),
    ),
    "a page of users": (
        rows("identities", arn=NAME, deleted_at="NULL", **IN_TIME),
        lambda tx, far: identities.page(tx, "x", "x", far, PAGE),
    ),
    "a page of admins": (rows("admins", admin_arn=NAME, **IN_TIME), lambda tx, far: admins.page(tx, "x", far, PAGE)),
    "a page of app instances": (
        rows("app_instances", arn=NAME, **IN_TIME),
        lambda tx, far: app_instances.page(tx, "x", far, PAGE),
    ),
    "one of a user's many channels": (
        CHANNELS_OF_ONE,
        lambda tx, _: memberships.of_user_in(tx, "x", channel("000007")),
    ),
    "the two moderators among many members": (
        both(MEMBERS, lambda tx, n: rows("moderators", moderator_arn=NAME)(tx, 2)),
        lambda tx, _: memberships.moderating_members(tx, "x", "x"),
    ),
    "the newest entries of a topic": (
        rows("journal", number="i", steering="NULL"),
        lambda tx, far: topics.after(tx, "x", int(far[0] or 0), PAGE),
    ),
    "old entries among many new ones": (
        rows("journal", number="i", **IN_TIME),
        lambda tx, _: topics.forget(tx, 10, PAGE),
    ),
    "old answers among many new ones": (
        rows("idempotency", key=NAME, **IN_TIME),
        lambda tx, _: idempotency.forget(tx, 10, PAGE),
    ),
    "due executions among completed ones": (COMPLETED, lambda tx, _: executions.due(tx, 10**13, PAGE)),
    "due executions among later ones": (LATER, lambda tx, _: executions.due(tx, 3, PAGE)),
    "the next due execution": (LATER, lambda tx, far: executions.next_due(tx, int(far[0] or 0))),
    "completed executions whose time is over": (COMPLETED, lambda tx, _: executions.forget_completed(tx, 3, PAGE)),
    "leases among completed executions": (COMPLETED, lambda tx, _: executions.shorten_leases(tx, "INVOKING", 0)),
    "the backlog among completed executions": (COMPLETED, lambda tx, _: executions.backlog(tx, PAGE)),
    "the backlog, up to the limit": (LATER, lambda tx, _: executions.backlog(tx, PAGE)),
    "the oldest deletion": (rows("deletions", arn=NAME, requested_at="i"), lambda tx, _: deletions.some(tx, 1)),
    "one of a member's many memberships": (CHANNELS_OF_ONE, lambda tx, _: memberships.of_member(tx, "000007", "x")),
    "one of many members": (MEMBERS, lambda tx, _: memberships.of_member(tx, "x", "000007")),
    "some of a user's memberships": (CHANNELS_OF_ONE, lambda tx, _: memberships.some_of_user(tx, "x", PAGE)),
    "some of a channel's members": (MEMBERS, lambda tx, _: memberships.some_of_channel(tx, "x", PAGE)),
    "the newest members of a sub-channel": (
        rows("memberships", member_arn=NAME, type="'DEFAULT'", **IN_TIME),
        lambda tx, _: memberships.newest_regular(tx, "x", "x", PAGE),
    ),
    "some members of a sub-channel": (
        rows("memberships", member_arn=NAME, type="'DEFAULT'", **IN_TIME),
        lambda tx, _: memberships.some_of_sub_channel(tx, "x", "x", PAGE),
    ),
    "one of a user's many memberships, by its place": (
        CHANNELS_OF_ONE,
        lambda tx, _: memberships.of_user_at(tx, "x", memberships.Place("000007", "x")),
    ),
    "some members of one sub-channel among many": (
        rows("memberships", sub_channel_id=NAME, member_arn=NAME, type="'DEFAULT'"),
        lambda tx, _: memberships.some_of_sub_channel(tx, "x", "000007", PAGE),
    ),
    "a page of a member's memberships, searched": (
        CHANNELS_OF_ONE,
        lambda tx, far: search.candidates(tx, "x", (*far, "x"), PAGE),
    ),
    "one member's membership of some channels, searched": (
        CHANNELS_OF_ONE,
        lambda tx, _: search.with_member(tx, ["000007", "000008"], "x"),
    ),
    "one visible member among many, searched": (
        VISIBLE,
        lambda tx, _: search.with_visible_member(tx, ["x"], "000007"),
    ),
    "one visible member's membership of some channels, searched": (
        CHANNELS_OF_ONE,
        lambda tx, _: search.with_visible_member(tx, ["000007", "000008"], "x"),
    ),
    "two channels among many": (CHANNELS, lambda tx, _: search.summaries(tx, ["000007", "000008"])),
    "a channel of so many members, searched": (VISIBLE, lambda tx, _: search.with_visible_members(tx, ["x"], 20)),
    "a page of bans": (rows("bans", member_arn=NAME, **IN_TIME), lambda tx, far: bans.page(tx, "x", far, PAGE)),
    "one of many bans": (rows("bans", member_arn=NAME), lambda tx, _: bans.find(tx, "x", "000007")),
    "a page of moderators": (
        rows("moderators", moderator_arn=NAME, **IN_TIME),
        lambda tx, far: moderators.page(tx, "x", far, PAGE),
    ),
    "a page of the channels that one moderates": (
        both(rows("moderators", channel_arn=NAME, **IN_TIME), CHANNELS),
        lambda tx, far: moderators.page_of_user(tx, "x", far, PAGE),
    ),
    "a page of sub-channels": (
        rows("sub_channels", id=NAME, **IN_TIME),
        lambda tx, far: sub_channels.page(tx, "x", far, PAGE),
    ),
    "the sub-channels of one channel among many": (
        rows("sub_channels", channel_arn=NAME, id=NAME),
        lambda tx, _: sub_channels.of(tx, "000007"),
    ),
    "the sub-channel to balance among later ones": (
        rows("sub_channels", id=NAME, balance_at="i"),
        lambda tx, _: sub_channels.to_balance(tx, 3),
    ),
    "the sub-channel to balance among many others": (
        both(rows("sub_channels", id=NAME, balance_at="NULL"), one_more("sub_channels", balance_at="1")),
        lambda tx, _: sub_channels.to_balance(tx, 3),
    ),
    "the tags of one resource among many": (rows("tags", resource_arn=NAME), lambda tx, _: tags.of(tx, "000007")),
    "a page of endpoints": (
        rows("endpoints", id=NAME, device_token=NAME, **IN_TIME),
        lambda tx, far: endpoints.page(tx, "x", far, PAGE),
    ),
    "an endpoint by its device": (
        rows("endpoints", id=NAME, device_token=NAME),
        lambda tx, _: endpoints.by_device(tx, "x", "x", "000007"),
    ),
    "the streaming configurations of one among many": (
        rows("streaming_configurations", app_instance_arn=NAME),
        lambda tx, _: streaming.of(tx, "000007"),
    ),
    "expired users among many that never do": (
        both(
            rows("identities", arn=NAME, deleted_at="NULL", expires_at="NULL"),
            one_more("identities", deleted_at="NULL", expires_at="1"),
        ),
        lambda tx, _: identities.expired(tx, 3, PAGE),
    ),
    "expired users among later ones": (
        rows("identities", arn=NAME, deleted_at="NULL", expires_at="i"),
        lambda tx, _: identities.expired(tx, 3, PAGE),
    ),
    "expired channels among later ones": (
        rows("channels", arn=NAME, expires_at="i"),
        lambda tx, _: channels.expiring(tx, 3, PAGE),
    ),
    "an app instance with old messages among many without": (
        both(
            rows("app_instances", arn=NAME, retention_days="NULL", retention_purges_at="NULL"),
            one_more("app_instances", retention_purges_at="1"),
        ),
        lambda tx, _: app_instances.to_purge(tx, 3),
    ),
    "the next channels of an app instance by their ARNs": (
        rows("channels", arn=f"'x/channel/' || {NAME}"),
        lambda tx, far: channels.after(tx, "x", f"x/channel/{far[1]}", PAGE),
    ),
    "a batch of old messages of a channel": (
        both(MESSAGES, COMPLETED),
        lambda tx, _: messages.purge(tx, "x", "x", before=10**13, limit=PAGE),
    ),
    "what was set for one app instance among many": (
        rows("quotas", app_instance_arn=NAME),
        lambda tx, _: (quotas.of(tx, "000007"), quotas.in_force(tx, "000007"), quotas.find(tx, "000007", "x")),
    ),
    "a count and its quota among many": (
        both(rows("quotas", app_instance_arn=NAME), rows("counts", owner=NAME)),
        lambda tx, _: quotas.used(tx, owner="000007", what="x", app_instance_arn="000007", name="x"),
    ),
    "old messages among many new ones": (
        MESSAGES,
        lambda tx, _: messages.purge(tx, "x", "x", before=10, limit=PAGE),
    ),
    "two keys among many": (
        rows("access_keys", id=NAME, revoked_at="NULL"),
        lambda tx, _: keys.valid(tx, ["000007", "000009"]),
    ),
    "two roles among many": (rows("roles", arn=NAME), lambda tx, _: keys.role_ids(tx, ["000007", "000009"])),
    "some channels of an app instance": (
        rows("channels", arn=NAME, privacy="'PRIVATE'"),
        lambda tx, _: channels.some_of(tx, "x", PAGE),
    ),
    "some users of an app instance": (
        rows("identities", arn=NAME, deleted_at="NULL", kind="'user'"),
        lambda tx, _: identities.some_of(tx, "x", PAGE),
    ),
    "names of two among many": (
        rows("identities", arn=NAME),
        lambda tx, _: identities.names(tx, ["000007", "000009"]),
    ),
    "two counts among many": (rows("counts", owner=NAME), lambda tx, _: counts.of_many(tx, ["000007", "000009"], "x")),
    "two messages on their way among many": (
        both(LATER, MESSAGES, rows("sub_channels", id=NAME), rows("identities", arn=NAME), one_more("channels")),
        lambda tx, _: executions.find_all(tx, ["000007", "000009"]),
    ),
    "heads of two topics among many": (rows("topics", name=NAME), lambda tx, _: topics.heads(tx, ["000007", "000009"])),
    "the topics of one user among many": (
        both(MEMBERS, rows("topics", name=f"'channel/x/' || {NAME}"), one_more("channels")),
        lambda tx, _: topics.following(tx, "000007"),
    ),
    "a batch of what a channel leaves behind": (
        both(
            MESSAGES,
            rows("executions", id=NAME, callback_id=NAME),
            rows("sub_channels", id=NAME),
            rows("tags", resource_arn="'x'", key=NAME),
            rows("moderators", moderator_arn=NAME),
            rows("bans", member_arn=NAME),
        ),
        lambda tx, _: deletions.rows_of_channel(tx, "x", PAGE),
    ),
    "a batch of what a sub-channel leaves behind": (
        MESSAGES,
        lambda tx, _: deletions.rows_of_sub_channel(tx, "x", "x", PAGE),
    ),
    "the last targeted messages of one member in two channels among many": (
        both(MEMBERS, rows("memberships", channel_arn=NAME, member_arn="'000007'", last_targeted_at="1")),
        lambda tx, _: memberships.last_targeted(tx, "000007", ["000007", "000009"]),
    ),
    "a batch of the roles and bans of somebody who is gone": (
        both(rows("moderators", channel_arn=NAME), rows("bans", channel_arn=NAME)),
        lambda tx, _: (moderators.some_of_identity(tx, "x", PAGE), deletions.bans_of_identity(tx, "x", PAGE)),
    ),
    "a batch of what an app instance leaves behind": (
        both(rows("admins", admin_arn=NAME), rows("channel_flows", arn=NAME)),
        lambda tx, _: deletions.rest_of_app_instance(tx, "x", PAGE),
    ),
    "the keys and roles behind some sessions": (
        both(rows("access_keys", id=NAME, revoked_at="NULL"), rows("roles", arn=NAME)),
        lambda tx, _: (keys.valid(tx, ["000001", "000007"]), keys.role_ids(tx, ["000001", "000007"])),
    ),
}

LOOKS_AT_ALL = {
    keys.listed: "for an operator who wants to see them all",
    keys.listed_roles: "the same",
    memberships.unread_first_of_user: "the memberships of one user, when a session asks for CHANNEL_DETAILS",
    memberships.latest_first_of_user: "the same",
}


def channel(arn: str) -> channels.Channel:
    return channels.Channel(arn, "x", "x", "x", "x", None, "x", 0, 0, None, None)


def steps(connection: sqlite3.Connection, look: Callable[[], object]) -> int:
    counter: Iterator[int] = count()
    connection.set_progress_handler(lambda: next(counter) and None, 1)
    look()
    connection.set_progress_handler(None, 1)
    return next(counter)


@pytest.mark.parametrize(("fill", "look"), LOOK_UPS.values(), ids=LOOK_UPS)
def test_a_look_up_costs_the_same_among_few_rows_and_many(db: SqliteDatabase, fill: Fill, look: Look) -> None:
    work = {}
    for n in (FEW, MANY):

        def measure(tx: SqliteTx, n: int = n) -> int:
            tx.run("SAVEPOINT filled")
            fill(tx, n)
            spent = steps(tx._connection, lambda: look(tx, (n - 20, f"{n - 20:06d}")))
            tx._connection.execute("ROLLBACK TO filled")
            return spent

        work[n] = db.write_now(measure)

    assert work[FEW] > 0
    assert work[MANY] < 2 * work[FEW], work


def test_every_function_that_finds_several_rows_is_looked_at(db: SqliteDatabase) -> None:
    several = {function for function in functions_of_the_store() if finds_several(function)}
    called: set[object] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    def look_at_all(tx: SqliteTx) -> None:
        sys.setprofile(note)
        try:
            for _, look in LOOK_UPS.values():
                look(tx, (1, "000001"))
        finally:
            sys.setprofile(None)

    db.write_now(look_at_all)

    missing = {function for function in several if function.__code__ not in called}
    assert missing == set(LOOKS_AT_ALL)


def functions_of_the_store() -> Iterator[FunctionType]:
    for module in pkgutil.iter_modules(store.__path__):
        if module.name not in ("database", "sqlite", "migrate"):
            family = import_module(f"campana.store.{module.name}")
            for _, function in inspect.getmembers(family, inspect.isfunction):
                if function.__module__ == family.__name__ and "tx" in inspect.signature(function).parameters:
                    yield function


def finds_several(function: FunctionType) -> bool:
    signature = inspect.signature(function)
    return "limit" in signature.parameters or str(signature.return_annotation).startswith(
        ("list[", "Page[", "dict[", "set[")
    )
