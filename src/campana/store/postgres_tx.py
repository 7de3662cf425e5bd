"""A transaction on PostgreSQL, in as few ways to the server and back as its calls allow."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from campana.store.database import Ahead, Page, Position, Question, R, Value, page_of, page_sql
from campana.store.pending import Pending
from campana.store.postgres_connection import Connection, Silent
from campana.store.postgres_statements import in_few, with_parameters


class CommitUnknown(Exception):
    """The connection was lost while the commit was under way: it may have happened or not."""


class PostgresTx:
    """A transaction on one connection; it begins with its first statement."""

    __slots__ = (
        "_begin",
        "_connection",
        "_held",
        "_pending",
        "_salt",
        "begun",
        "heads",
        "notices",
        "now",
        "seen",
        "wrote",
    )

    def __init__(self, connection: Connection, begin: str, salt: str) -> None:
        """`begin`: the statement that begins it; '' for statements that stand alone."""
        self._connection = connection
        self._begin = begin
        self._salt = salt
        self._held: set[str] = set()
        self._pending = Pending()
        self.begun = not begin
        self.heads: dict[str, int] = {}
        self.seen: dict[object, Any] = {}
        self.now = 0
        self.notices: list[object] = []
        self.wrote = False

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        rows = _rows(row, self._execute(sql, values))
        return rows[0] if rows else None

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        return _rows(row, self._execute(sql, values))

    def first(self, sql: str, /, **values: Value) -> tuple[Any, ...] | None:
        return self._execute(sql, values).fetchone()

    def answers(self, questions: Sequence[Question]) -> list[list[tuple[Any, ...]]]:
        self._start()
        earlier = in_few(self._pending.take())
        with self._connection.pipeline():
            for put in earlier:
                self._connection.execute(*put)
            found = [self._connection.execute(*with_parameters(*each)) for each in questions]
        return [each.fetchall() for each in found]

    def scalar(self, sql: str, /, **values: Value) -> Any:
        found = self.first(sql, **values)
        return None if found is None else found[0]

    def page(
        self,
        row: type[R],
        sql: str,
        /,
        *,
        key: tuple[str, ...],
        after: Position | None,
        limit: int,
        descending: bool = False,
        **values: Value | Sequence[str],
    ) -> Page[R]:
        values["limit"] = limit + 1
        for index, value in enumerate(after or ()):
            values[f"after_{index}"] = value
        rows = _rows(row, self._execute(page_sql(sql, key, after, descending), values))
        return page_of(rows, key, limit)

    def run(self, sql: str, /, **values: Value | Sequence[str]) -> int:
        return self._execute(sql, values).rowcount

    def put(self, sql: str, /, **values: Value) -> None:
        self.wrote = True
        self._pending.add(sql, values)

    def put_last(self, key: str, sql: str, /, **values: Value) -> None:
        self.wrote = True
        self._pending.add(sql, values, key)

    def lock(self, *resources: str) -> None:
        wanted = set(resources) - self._held
        if not wanted:
            return
        numbers = sorted({self._number(each) for each in wanted})
        sql = "SELECT " + ", ".join(f"pg_advisory_xact_lock({number})" for number in numbers)
        if not self.begun:  # one way to the server and back for both
            sql, self.begun = f"{self._begin}; {sql}", True
        self._connection.execute(sql, prepare=False)
        self._held |= wanted

    def try_lock(self, resource: str) -> bool:
        self._start()
        cursor = self._connection.execute(f"SELECT pg_try_advisory_xact_lock({self._number(resource)})", prepare=False)
        return cursor.fetchone() == (True,)

    def lock_and_look(self, resource: str, aheads: Sequence[Ahead]) -> None:
        """Begin: `lock`, and look up what those that are to share the transaction are going to need."""
        if not aheads:
            self.lock(resource)
            return
        # In one way there and back: a statement behind the lock sees what those that it waited for have committed.
        self._pending.add(self._begin, {})
        self._pending.add("SELECT pg_advisory_xact_lock(:number)", {"number": self._number(resource)})
        self.begun = True
        self._held.add(resource)
        by_look: dict[Callable[[Any, Sequence[Any]], None], list[Any]] = {}
        for each in aheads:
            by_look.setdefault(each.look, []).append(each.wanted)
        for look, wanted in by_look.items():
            look(self, wanted)

    def announce(self, notice: object) -> None:
        self.notices.append(notice)

    def finish(self) -> None:
        """Write what was put, and commit, if there is anything to commit. Raises `CommitUnknown`."""
        last = in_few(self._pending.take())
        if self._begin and (self.begun or last):
            self._commit(last)
        else:
            for each in last:
                self._connection.execute(*each)

    def _commit(self, last: "Sequence[tuple[str, list[Any] | None]]") -> None:
        try:
            if last:
                self._start()
                with self._connection.pipeline():
                    for each in last:
                        self._connection.execute(*each)
                    done = self._connection.execute("COMMIT", prepare=False)
            else:
                done = self._connection.execute("COMMIT", prepare=False)
        except Silent:
            raise  # and must not run again either
        except psycopg.Error as error:
            if self._connection.closed:
                raise CommitUnknown(error) from error
            raise
        status = done.statusmessage
        assert status == "COMMIT", f"a call went on after an error of the database ({status})"

    def _number(self, resource: str) -> int:
        """Of 64 bits; two resources that happen to share one only wait for one another."""
        digest = hashlib.blake2b(f"{self._salt}\0{resource}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _start(self) -> None:
        if not self.begun:
            self._connection.execute(self._begin, prepare=False)
            self.begun = True

    def _execute(self, sql: str, values: Mapping[str, Value | Sequence[str]]) -> psycopg.Cursor[tuple[Any, ...]]:
        """One way to the server and back, with what was put before."""
        text, parameters = with_parameters(sql, values)
        self.wrote = self.wrote or not text.lstrip().startswith("SELECT")
        self._start()
        if not self._pending.groups:
            return self._connection.execute(text, parameters)
        earlier = in_few(self._pending.take())
        with self._connection.pipeline():
            for each in earlier:
                self._connection.execute(*each)
            return self._connection.execute(text, parameters)


def _rows(row: type[R], found: psycopg.Cursor[tuple[Any, ...]]) -> list[R]:
    """`SELECT *` may give columns that a newer version has added: they are at the end."""
    width = len(row.__struct_fields__)
    return [row(*each[:width]) for each in found]
