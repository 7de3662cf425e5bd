"""Values get to the names of a statement, whatever their order, number and kind; engines number them."""

import pytest

from campana.store.database import Database, Row, Tx

FROM = "SELECT topic, number, frame, steering, created_at FROM journal"


class Entry(Row, frozen=True):
    topic: str
    number: int
    frame: str
    steering: str | None
    created_at: int


class Found(Row, frozen=True):
    topic: str


def write(db: Database, topic: str, number: int, steering: str | None) -> None:
    def insert(tx: Tx) -> None:
        tx.put(
            "INSERT INTO journal (topic, number, frame, steering, created_at)"
            " VALUES (:topic, :number, 'a:topic', :steering, :number)",
            steering=steering,
            number=number,
            topic=topic,
        )

    db.write_now(insert)


def test_a_name_may_come_twice_and_values_in_any_order(db: Database) -> None:
    write(db, "lobby", 7, None)

    expected = Entry("lobby", 7, "a:topic", None, 7)
    where = " WHERE created_at = :number AND topic = :topic AND number = :number AND frame = 'a:topic'"
    assert db.read_now(lambda tx: tx.one(Entry, FROM + where, topic="lobby", number=7)) == expected
    assert db.read_now(lambda tx: tx.all(Entry, FROM + where, number=7, topic="lobby")) == [expected]
    assert db.read_now(lambda tx: tx.first(FROM + where, topic="garden", number=7)) is None


def test_one_value_and_none(db: Database) -> None:
    write(db, "lobby", 1, "{}")

    assert db.read_now(lambda tx: tx.scalar("SELECT COUNT(*) FROM journal WHERE steering = :it", it="{}")) == 1
    assert db.read_now(lambda tx: tx.scalar("SELECT COUNT(*) FROM journal")) == 1
    assert db.write_now(lambda tx: tx.run("DELETE FROM journal WHERE topic = :topic", topic="lobby")) == 1


@pytest.mark.parametrize("topics", [["b"], ["b", "c"], ["c", "nowhere", "b"]])
def test_a_list_stands_next_to_other_values(db: Database, topics: list[str]) -> None:
    for number, topic in enumerate("abc"):
        write(db, topic, number, None)

    sql = "SELECT topic FROM journal WHERE number < :most AND topic IN (:topics) AND number >= :least"
    found = db.read_now(lambda tx: tx.all(Found, sql, topics=topics, least=1, most=9))
    assert {row.topic for row in found} == {"b", "c"} & set(topics)
