"""The journal: an append-only log for each topic, numbered without gaps.

Topics are `channel/<channel ARN>`, `channel/<channel ARN>/<sub-channel id>` and `user/<user ARN>`.
Entries live for minutes: they exist so that every session hears everything once and in order, not as history.
"""

from collections.abc import Sequence

import msgspec

from campana.store.database import Row, Tx


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One journal entry. Who may see it, and whom it makes follow or leave its topic, travels with it."""

    topic: str
    number: int = 0
    """Contiguous for each topic, from 1; 0 until it is appended."""
    frame: str = ""
    """The whole text of the WebSocket frame, rendered once; '' for an entry that only steers sessions."""
    only: tuple[str, ...] | None = None
    """ARNs of the users who may see it; None: everybody who follows the topic."""
    joins: tuple[str, ...] = ()
    """ARNs of users who follow the topic from this entry on."""
    leaves: tuple[str, ...] = ()
    """ARNs of users who see this entry and follow the topic no more."""
    ends: bool = False
    """The topic ends with this entry: everybody leaves."""
    follow: str | None = None
    """On a user's topic: the user's sessions follow this topic …"""
    follow_from: int = 0
    """… from this number on."""
    close: int | None = None
    """On a user's topic: the user's sessions are closed with this WebSocket close code."""
    at: int = 0
    """When it was appended, in milliseconds since the epoch."""
    trace: str = ""
    """The traceparent of what it came of; '' without traces."""


class _Steering(msgspec.Struct, frozen=True, omit_defaults=True):
    only: tuple[str, ...] | None = None
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    ends: bool = False
    follow: str | None = None
    follow_from: int = 0
    close: int | None = None
    trace: str = ""


class _Stored(Row, frozen=True):
    topic: str
    number: int
    frame: str
    steering: str | None
    created_at: int


class Head(Row, frozen=True):
    """A topic and the number of its newest entry (0: none yet)."""

    name: str
    head: int


_NO_STEERING = _Steering()
_decoder = msgspec.json.Decoder(_Steering)


def of_channel(channel_arn: str, sub_channel_id: str = "") -> str:
    """The topic of a channel, or of one sub-channel of an elastic channel."""
    return f"channel/{channel_arn}/{sub_channel_id}" if sub_channel_id else f"channel/{channel_arn}"


def of_user(user_arn: str) -> str:
    """The topic of what concerns a user's sessions themselves."""
    return f"user/{user_arn}"


def append(tx: Tx, entries: Sequence[Entry], now: int) -> None:
    """Number the entries, write them down, announce them; in the order of topics, so that writers can't deadlock."""
    by_topic: dict[str, list[Entry]] = {}
    for entry in entries:
        by_topic.setdefault(entry.topic, []).append(entry)
    joined_at: dict[tuple[str, str], int] = {}
    # Channels before users: a `follow` entry carries the number that its channel's entry was given.
    for topic in sorted(by_topic):
        fresh = by_topic[topic]
        number = _raise_head(tx, topic, len(fresh)) - len(fresh)
        for entry in fresh:
            number += 1
            joined_at.update(((topic, of_user(user)), number) for user in entry.joins)
            follow_from = joined_at[entry.follow, topic] if entry.follow is not None else 0
            entry = msgspec.structs.replace(entry, number=number, follow_from=follow_from, at=now)
            tx.put(
                "INSERT INTO journal (topic, number, frame, steering, created_at)"
                " VALUES (:topic, :number, :frame, :steering, :now)",
                topic=topic,
                number=number,
                frame=entry.frame,
                steering=_steering(entry),
                now=now,
            )
            tx.announce(entry)


def _raise_head(tx: Tx, topic: str, count: int) -> int:
    """The new head. Calls that share a transaction ask the database for it once.

    If somebody wrote to a topic all the same whose head was looked up, the numbers of the entries collide, and the
    transaction runs again.
    """
    known = tx.heads.get(topic)
    if known is None:
        head: int = tx.scalar(
            "INSERT INTO topics (name, head) VALUES (:name, :count)"
            " ON CONFLICT (name) DO UPDATE SET head = topics.head + :count RETURNING head",
            name=topic,
            count=count,
        )
    else:
        head = known + count
        tx.put_last(topic, "UPDATE topics SET head = :head WHERE name = :name", name=topic, head=head)
    tx.heads[topic] = head
    return head


def _steering(entry: Entry) -> str | None:
    steering = _Steering(
        entry.only, entry.joins, entry.leaves, entry.ends, entry.follow, entry.follow_from, entry.close, entry.trace
    )
    return None if steering == _NO_STEERING else msgspec.json.encode(steering).decode()


def after(tx: Tx, topic: str, number: int, limit: int) -> list[Entry]:
    """The entries with a number above `number`, ascending."""
    rows = tx.all(
        _Stored,
        "SELECT topic, number, frame, steering, created_at FROM journal"
        " WHERE topic = :topic AND number > :number ORDER BY number LIMIT :limit",
        topic=topic,
        number=number,
        limit=limit,
    )
    return [_entry(row) for row in rows]


def _entry(row: _Stored) -> Entry:
    s = _NO_STEERING if row.steering is None else _decoder.decode(row.steering)
    return Entry(
        topic=row.topic,
        number=row.number,
        frame=row.frame,
        only=s.only,
        joins=s.joins,
        leaves=s.leaves,
        ends=s.ends,
        follow=s.follow,
        follow_from=s.follow_from,
        close=s.close,
        at=row.created_at,
        trace=s.trace,
    )


def head(tx: Tx, topic: str) -> int:
    """The number of the newest entry, 0 if there never was one."""
    return tx.scalar("SELECT head FROM topics WHERE name = :topic", topic=topic) or 0


def heads(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """The heads of many topics; those without an entry are left out."""
    found: dict[str, int] = {}
    for start in range(0, len(names), 500):
        rows = tx.all(Head, "SELECT name, head FROM topics WHERE name IN (:names)", names=names[start : start + 500])
        found.update((row.name, row.head) for row in rows)
    return found


def following(tx: Tx, user_arn: str) -> list[tuple[str, int]]:
    """The topics that a user's sessions follow, with their heads: the user's own, and those of the channels."""
    rows = tx.all(
        Head,
        """
        SELECT 'channel/' || m.channel_arn AS name, COALESCE(t.head, 0)
        FROM memberships m JOIN channels c ON c.arn = m.channel_arn
        LEFT JOIN topics t ON t.name = 'channel/' || m.channel_arn
        WHERE m.member_arn = :user
        UNION ALL
        SELECT 'channel/' || m.channel_arn || '/' || m.sub_channel_id AS name, COALESCE(t.head, 0)
        FROM memberships m JOIN channels c ON c.arn = m.channel_arn
        LEFT JOIN topics t ON t.name = 'channel/' || m.channel_arn || '/' || m.sub_channel_id
        WHERE m.member_arn = :user AND m.sub_channel_id <> ''
        """,
        user=user_arn,
    )
    own = of_user(user_arn)
    # By name: a moderator may be in several sub-channels of one channel.
    return [(own, head(tx, own)), *{row.name: row.head for row in rows}.items()]


def forget(tx: Tx, before: int, limit: int) -> int:
    """Remove up to `limit` entries written before the time `before`; how many there were."""
    return tx.run(
        "DELETE FROM journal WHERE (topic, number) IN"
        " (SELECT topic, number FROM journal WHERE created_at < :before ORDER BY created_at LIMIT :limit)",
        before=before,
        limit=limit,
    )
