"""Pages of a list that changes meanwhile: what stays is listed once, in order, and nothing twice."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campana.store import admins, messages
from campana.store.admins import Admin
from campana.store.database import Database, Page, Position, Tx
from campana.store.messages import Message

Key = tuple[int, str]
"""Time and name, the order of every list; times are few, so that many rows share one."""

keys = st.tuples(st.integers(1, 4), st.text("abc", min_size=1, max_size=3))
changes = st.lists(st.tuples(st.booleans(), keys), max_size=4)
"""Between two pages: rows that come (True) or go."""

every_example_undone = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Undo(Exception):
    """Ends an example: its rows go."""


def insert_admin(tx: Tx, key: Key) -> None:
    admins.insert(tx, Admin("app", key[1], key[0]))


def delete_admin(tx: Tx, key: Key) -> None:
    admins.delete(tx, "app", key[1])


def page_of_admins(tx: Tx, after: Position | None, limit: int) -> tuple[list[Key], Position | None]:
    page = admins.page(tx, "app", after, limit)
    return [(row.created_at, row.admin_arn) for row in page.rows], page.next


def insert_message(tx: Tx, key: Key) -> None:
    message = Message(
        id=key[1], channel_arn="lobby", sub_channel_id="", sender_arn="ann", type="STANDARD", persistence="PERSISTENT",
        status="SENT", status_detail=None, content="c", metadata=None, content_type=None, message_attributes=None,
        push_notification=None, target_arn=None, created_at=key[0], updated_at=key[0], edited_at=None, redacted_at=None,
    )  # fmt: skip
    messages.insert(tx, message)


def delete_message(tx: Tx, key: Key) -> None:
    messages.delete(tx, key[1])


def page_of_messages(
    tx: Tx, after: Position | None, limit: int, *, descending: bool, not_before: int = 0, not_after: int = 100
) -> tuple[list[Key], Position | None]:
    page: Page[Message] = messages.page(
        tx, "lobby", "", not_before=not_before, not_after=not_after, descending=descending, after=after, limit=limit
    )
    return [(row.created_at, row.id) for row in page.rows], page.next


def oldest_first(tx: Tx, after: Position | None, limit: int) -> tuple[list[Key], Position | None]:
    return page_of_messages(tx, after, limit, descending=False)


def newest_first(tx: Tx, after: Position | None, limit: int) -> tuple[list[Key], Position | None]:
    return page_of_messages(tx, after, limit, descending=True)


Pages = Callable[[Tx, Position | None, int], tuple[list[Key], Position | None]]
Change = Callable[[Tx, Key], None]


@pytest.mark.parametrize(
    ("insert", "delete", "page", "descending"),
    [
        pytest.param(insert_admin, delete_admin, page_of_admins, False, id="admins"),
        pytest.param(insert_message, delete_message, oldest_first, False, id="messages, oldest first"),
        pytest.param(insert_message, delete_message, newest_first, True, id="messages, newest first"),
    ],
)
@every_example_undone
@given(
    first=st.sets(keys, max_size=20),
    between=st.lists(changes, max_size=10),
    limit=st.integers(1, 6),
)
def test_what_stays_is_listed_exactly_once_and_in_order(
    db: Database,
    insert: Change,
    delete: Change,
    page: Pages,
    descending: bool,
    first: set[Key],
    between: list[list[tuple[bool, Key]]],
    limit: int,
) -> None:
    def story(tx: Tx) -> None:
        there: dict[str, int] = {}  # name → time
        for time, name in first:
            if name not in there:
                insert(tx, (time, name))
                there[name] = time
        stayed = {(time, name) for name, time in there.items()}
        ever = set(stayed)
        listed: list[Key] = []
        position: Position | None = None
        changing = iter(between)
        while True:
            rows, position = page(tx, position, limit)
            listed += rows
            assert len(rows) == limit or position is None
            if position is None:
                break
            for comes, (time, name) in next(changing, []):
                if comes and name not in there:
                    insert(tx, (time, name))
                    there[name] = time
                    ever.add((time, name))
                elif not comes and name in there:
                    delete(tx, (time, name))
                    stayed.discard((there.pop(name), name))

        assert listed == sorted(listed, reverse=descending)
        assert len(listed) == len(set(listed))
        assert stayed <= set(listed) <= ever
        raise Undo

    with pytest.raises(Undo):
        db.write_now(story)


@every_example_undone
@given(
    rows=st.sets(keys, max_size=20),
    span=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    limit=st.integers(1, 6),
    descending=st.booleans(),
)
def test_a_span_of_time_has_both_its_ends_on_every_page(
    db: Database, rows: set[Key], span: tuple[int, int], limit: int, descending: bool
) -> None:
    not_before, not_after = span
    there = {name: time for time, name in rows}

    def story(tx: Tx) -> None:
        for name, time in there.items():
            insert_message(tx, (time, name))
        listed: list[Key] = []
        position: Position | None = None
        while True:
            found, position = page_of_messages(
                tx, position, limit, descending=descending, not_before=not_before, not_after=not_after
            )
            listed += found
            if position is None:
                break

        within = [(time, name) for name, time in there.items() if not_before <= time <= not_after]
        assert listed == sorted(within, reverse=descending)
        raise Undo

    with pytest.raises(Undo):
        db.write_now(story)


def test_the_last_page_says_so_even_when_it_is_full(db: Database) -> None:
    def four(tx: Tx) -> None:
        for number in range(4):
            insert_admin(tx, (1, f"{number}"))

    db.write_now(four)

    first, position = db.read_now(lambda tx: page_of_admins(tx, None, 2))
    second, end = db.read_now(lambda tx: page_of_admins(tx, position, 2))

    assert (first, second, end) == ([(1, "0"), (1, "1")], [(1, "2"), (1, "3")], None)


@pytest.mark.parametrize("descending", [False, True])
def test_a_span_that_is_narrowed_between_two_pages_is_kept_to(db: Database, descending: bool) -> None:
    def six(tx: Tx) -> None:
        for time in range(1, 7):
            insert_message(tx, (time, f"{time}"))

    db.write_now(six)

    _, position = db.read_now(lambda tx: page_of_messages(tx, None, 1, descending=descending))
    rest, _ = db.read_now(
        lambda tx: page_of_messages(tx, position, 9, descending=descending, not_before=3, not_after=4)
    )

    assert sorted(rest) == [(3, "3"), (4, "4")]
