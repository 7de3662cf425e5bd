"""Fills a database with so much of everything as a measurement wants, in the schema of this version, by SQL.

The same sizes give the same rows. Messages of all channels lie mixed in the file, as they would have been sent. What
is measured has names of its own (`Filled`); everything else is there to be in the way.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from campana.store import migrate
from campana.store.sqlite import SqliteDatabase

ACCOUNT = "123456789012"
BEGINNING_MS = 1_700_000_000_000
MESSAGE_EVERY_MS = 2_000
CONTENT_CHARACTERS = 300
PRIVATE_EVERY = 4  # of so many channels one is private

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; the tuples are of what is compared, the smallest first."""

    messages: int
    channels: int
    users: int
    messages_of_channel: tuple[int, ...]
    members_of_channel: tuple[int, ...]
    memberships_of_user: tuple[int, ...]
    channels_of_app_instance: tuple[int, ...]
    """Of app instances of their own, which have nothing else; the last one has everything."""

    def __post_init__(self) -> None:
        strides = [self.messages // number for number in self.messages_of_channel]
        if any(self.messages % number for number in self.messages_of_channel) or strides[-1] < 2:
            raise ValueError("Each number of messages must divide all, and the largest be half of them at most.")
        if self.memberships_of_user[-1] > self.channels or self.members_of_channel[-1] > self.users:
            raise ValueError("There are too few channels or users.")


FULL = Sizes(
    messages=10_000_000,
    channels=1_000_000,
    users=100_000,
    messages_of_channel=(1_000, 10_000, 100_000, 1_000_000),
    members_of_channel=(10, 100, 1_000, 10_000),
    memberships_of_user=(200, 2_000, 20_000),
    channels_of_app_instance=(1_000, 1_000_000),
)


def sizes(messages: int) -> Sizes:
    """A file of so many messages (a multiple of 2,000), with a tenth of channels and a hundredth of users."""
    if messages >= FULL.messages:
        return FULL
    largest = min(1_000_000, messages // 2)
    channels = max(messages // 10, 200)
    users = max(messages // 100, 20)
    most_members, most_memberships = min(10_000, users), min(20_000, channels)
    return Sizes(
        messages=messages,
        channels=channels,
        users=users,
        messages_of_channel=tuple(largest // by for by in (1_000, 100, 10, 1)),
        members_of_channel=tuple(sorted({max(len(SENDERS), most_members // by) for by in (1_000, 100, 10, 1)})),
        memberships_of_user=tuple(sorted({max(20, most_memberships // by) for by in (100, 10, 1)})),
        channels_of_app_instance=(min(1_000, channels // 2), channels),
    )


def app_instance(number: int) -> str:
    """The ARN of an app instance: number 0 has everything, the others some channels each."""
    return f"arn:aws:chime:us-east-1:{ACCOUNT}:app-instance/00000000-0000-4000-8000-{number:012d}"


APP = app_instance(0)
ADMIN = f"{APP}/user/admin"
SENDERS = tuple(f"{APP}/user/u-{number:06d}" for number in range(10))
"""They are members of all channels that are measured, and their messages there go round."""


def user(number: int) -> str:
    """One of `Sizes.users`."""
    return f"{APP}/user/u-{number:06d}"


def busy_user(memberships: int) -> str:
    """The user with so many memberships."""
    return f"{APP}/user/busy-{memberships}"


def channel(number: int) -> str:
    """One of `Sizes.channels`, which busy users join by number."""
    return f"{APP}/channel/c-{number:07d}"


def channel_of_messages(number: int) -> str:
    """The channel with so many messages, and ten members."""
    return f"{APP}/channel/messages-{number}"


def channel_of_members(number: int) -> str:
    """The channel with so many members, and a few messages."""
    return f"{APP}/channel/members-{number}"


def sent_at(number: int) -> int:
    """When message `number` (from 1) of the whole file was sent."""
    return BEGINNING_MS + number * MESSAGE_EVERY_MS


def message_id(number: int) -> str:
    """Its id, as `clock.Ids` would have made it."""
    return f"{sent_at(number) << 16:016x}{number:048x}"


def number_in_channel(sizes: Sizes, messages: int, position: int) -> int:
    """The number in the whole file of message `position` (from 0) of the channel with so many."""
    stride, remainder = _place(sizes, messages)
    return position * stride + (remainder or stride)


def sender(sizes: Sizes, messages: int, number: int) -> str:
    """Who sent the message of this number, in the channel with so many."""
    return SENDERS[number // (sizes.messages // messages) % len(SENDERS)]


def fill(file: Path, sizes: Sizes, tell: Tell = lambda _: None) -> None:
    """Make the database in `file`, which must not exist."""
    database = SqliteDatabase(file)
    database.write_now(lambda tx: migrate.apply(tx, BEGINNING_MS))
    database.close_now()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "threads = 2"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        tell("app instances and users")
        _app_instances(connection, sizes)
        _users(connection, sizes)
        tell("channels")
        _channels(connection, sizes)
        tell("memberships")
        _memberships(connection, sizes)
        tell("messages")
        _messages(connection, sizes)
        tell("counts and topics")
        _counts(connection)
        connection.execute("COMMIT")


def bytes_of_a_message(file: Path) -> int:
    """What one takes in the file with its indexes, on average; 0 if this SQLite can't say."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            pages: int = sum(
                connection.execute("SELECT pageno FROM dbstat WHERE aggregate = 1 AND name = ?", (name,)).fetchone()[0]
                for name in ("messages", "messages_by_id", "messages_in_order")
            )
        except sqlite3.OperationalError:
            return 0
        page_bytes: int = connection.execute("PRAGMA page_size").fetchone()[0]
        messages: int = connection.execute("SELECT COUNT(*) FROM messages").fetchone()[0]
        return int(pages * page_bytes // messages)


def _place(sizes: Sizes, messages: int) -> tuple[int, int]:
    """The channel of so many messages has every n-th (1), those with this remainder (2)."""
    smaller_than = len(sizes.messages_of_channel) - 1 - sizes.messages_of_channel.index(messages)
    return sizes.messages // messages, max(0, 2 * smaller_than - 1)  # 0, 1, 3, 5: no message has two channels


def _app_instances(connection: sqlite3.Connection, sizes: Sizes) -> None:
    for number in range(len(sizes.channels_of_app_instance)):
        app, admin = app_instance(number), f"{app_instance(number)}/user/admin"
        at = str(BEGINNING_MS)
        _insert(
            connection, "app_instances", ONE,
            arn=_text(app), account=_text(ACCOUNT), name="'bench'", created_at=at, updated_at=at,
        )  # fmt: skip
        _user(connection, app, ONE, _text(admin))
        _insert(connection, "admins", ONE, app_instance_arn=_text(app), admin_arn=_text(admin), created_at=at)


def _users(connection: sqlite3.Connection, sizes: Sizes) -> None:
    _user(connection, APP, _numbers(sizes.users), _USER)
    for number in sizes.memberships_of_user:
        _user(connection, APP, ONE, _text(busy_user(number)))


def _user(connection: sqlite3.Connection, app: str, source: str, arn: str) -> None:
    at = str(BEGINNING_MS)
    _insert(
        connection, "identities", source,
        arn=arn, app_instance_arn=_text(app), kind="'user'", name="'User'", created_at=at, updated_at=at,
    )  # fmt: skip


def _channels(connection: sqlite3.Connection, sizes: Sizes) -> None:
    for number, channels in enumerate(reversed(sizes.channels_of_app_instance)):
        _channel(connection, app_instance(number), _numbers(channels), _CHANNEL.replace(APP, app_instance(number)))
    for channel_arn, _ in _measured(sizes):
        _channel(connection, APP, ONE, _text(channel_arn))
    _insert(
        connection, "moderators", "channels",
        channel_arn="arn", moderator_arn="created_by", created_by="created_by", created_at="created_at",
    )  # fmt: skip


def _channel(connection: sqlite3.Connection, app: str, source: str, arn: str) -> None:
    at = f"{BEGINNING_MS} + i"
    _insert(
        connection, "channels", source,
        arn=arn, app_instance_arn=_text(app), name="'Lobby'", mode="'RESTRICTED'",
        privacy=f"CASE WHEN i % {PRIVATE_EVERY} = 0 THEN 'PRIVATE' ELSE 'PUBLIC' END",
        created_by=_text(f"{app}/user/admin"), created_at=at, updated_at=at, last_message_at=at,
    )  # fmt: skip


def _measured(sizes: Sizes) -> Iterator[tuple[str, int]]:
    """Channels that are measured, and how many members they have."""
    for number in sizes.messages_of_channel:
        yield channel_of_messages(number), len(SENDERS)
    for number in sizes.members_of_channel:
        yield channel_of_members(number), number


def _memberships(connection: sqlite3.Connection, sizes: Sizes) -> None:
    with _without_indexes(connection, "memberships"):
        # Two users in each channel.
        for member in (f"i % {sizes.users}", f"(i + 1 + i % 7) % {sizes.users}"):
            _join(connection, _numbers(sizes.channels), _CHANNEL, f"'{APP}/user/u-' || printf('%06d', {member})")
        for number in sizes.memberships_of_user:
            _join(connection, _numbers(number), _CHANNEL, _text(busy_user(number)))
        for channel_arn, members in _measured(sizes):
            _join(connection, _numbers(members), _text(channel_arn), _USER)


def _join(connection: sqlite3.Connection, source: str, channel_arn: str, member_arn: str) -> None:
    at = f"{BEGINNING_MS} + i"
    _insert(
        connection, "memberships", source,
        channel_arn=channel_arn, member_arn=member_arn, sub_channel_id="''", type="'DEFAULT'",
        invited_by=_text(ADMIN), created_at=at, updated_at=at,
    )  # fmt: skip


def _messages(connection: sqlite3.Connection, sizes: Sizes) -> None:
    channels = senders = ""
    for number in sizes.messages_of_channel:
        stride, remainder = _place(sizes, number)
        channels += f" WHEN i % {stride} = {remainder} THEN {_text(channel_of_messages(number))}"
        senders += f" WHEN i % {stride} = {remainder} THEN i / {stride}"
    at = f"({BEGINNING_MS} + i * {MESSAGE_EVERY_MS})"
    with _without_indexes(connection, "messages"):
        _insert(
            connection, "messages", _numbers(sizes.messages),
            id=f"printf('%016x%048x', {at} << 16, i)",
            channel_arn=f"CASE{channels} ELSE '{APP}/channel/c-' || printf('%07d', (i * 7919) % {sizes.channels}) END",
            sub_channel_id="''",
            sender_arn=f"'{APP}/user/u-' || printf('%06d', (CASE{senders} ELSE i END) % {len(SENDERS)})",
            type="'STANDARD'", persistence="'PERSISTENT'", status="'SENT'", content=_text("x" * CONTENT_CHARACTERS),
            metadata="""'{"client":"bench"}'""", created_at=at, updated_at=at,
        )  # fmt: skip


def _counts(connection: sqlite3.Connection) -> None:
    for owner, what, table in (
        ("channel_arn", "memberships", "memberships"),
        ("member_arn", "memberships of a user", "memberships"),
        ("channel_arn", "moderators", "moderators"),
        ("app_instance_arn", "channels", "channels"),
        ("app_instance_arn", "users", "identities"),
        ("app_instance_arn", "admins", "admins"),
    ):
        counted = f"(SELECT {owner} AS owner, COUNT(*) AS number FROM {table} GROUP BY {owner})"
        _insert(connection, "counts", counted, owner="owner", what=_text(what), count="number")
    _insert(connection, "topics", "channels", name="'channel/' || arn", head="7")


# SQL

ONE = "(SELECT 1 AS i)"
_USER = f"'{APP}/user/u-' || printf('%06d', i - 1)"
_CHANNEL = f"'{APP}/channel/c-' || printf('%07d', i - 1)"


def _numbers(most: int) -> str:
    """1 to `most`, as `i`."""
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})"
    return f"({numbers} SELECT i FROM n)"


def _text(value: str) -> str:
    return f"'{value}'"


def _insert(connection: sqlite3.Connection, table: str, source: str, /, **columns: str) -> None:
    """A row for each of `source`; `columns` are expressions."""
    names, expressions = ", ".join(columns), ", ".join(columns.values())
    connection.execute(f"INSERT INTO {table} ({names}) SELECT {expressions} FROM {source}")


@contextmanager
def _without_indexes(connection: sqlite3.Connection, table: str) -> Iterator[None]:
    """They are made again at the end, sorted, which is faster than row by row."""
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table,)
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, sql in indexes:
        connection.execute(sql)
