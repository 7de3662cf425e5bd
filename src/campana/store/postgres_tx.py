"""A transaction on PostgreSQL, in as few ways to the server and back as its calls allow."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from campana.store.database import Ahead, Page, Position, Question, R, Value, page_of, page_sql
from campana.store.pending import Pending
from campana.store.postgres_connection import Connection, Silent
from campana.store.postgres_statements import Statement, in_few, with_parameters


class CommitUnknown(Exception):
    """The connection was lost while the commit was under way: it may have happened or not."""


class Unmet(Exception):
    """A conditional change has concerned no row, which the call that put it is refused for; whoever's turn it was."""

    def __init__(self, refusal: Exception) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


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
        asked = [with_parameters(*each) for each in questions]
        return [each.fetchall() for each in self._at_once(asked)]

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

    def put_if(self, refusal: Exception, sql: str, /, **values: Value) -> None:
        """The refusal comes as `Unmet`, out of a later statement, `settle` or `finish`."""
        self.wrote = True
        self._pending.add(sql, values, refusal=refusal)

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

    def settle(self) -> None:
        """Write what was put, if something of it is conditional. Raises `Unmet`."""
        if any(rows.refusals for rows in self._pending.groups):
            self._start()
            self._at_once([])

    def finish(self) -> None:
        """Write what was put, and commit, if there is anything to commit. Raises `Unmet`, `CommitUnknown`."""
        self.settle()
        if self._begin and (self.begun or self._pending.groups):
            self._start()
            self._commit()
        else:
            self._at_once([])

    def _commit(self) -> None:
        try:
            (done,) = self._at_once([Statement("COMMIT", None)])
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
        statement = with_parameters(sql, values)
        self.wrote = self.wrote or not statement.text.lstrip().startswith("SELECT")
        self._start()
        return self._at_once([statement])[0]

    def _ask(self, statement: Statement) -> psycopg.Cursor[tuple[Any, ...]]:
        """One without parameters (BEGIN, COMMIT, a definition) is not worth being prepared, and may not be able to."""
        prepare = None if statement.parameters else False
        return self._connection.execute(statement.text, statement.parameters, prepare=prepare)

    def _at_once(self, asked: "Sequence[Statement]") -> list[psycopg.Cursor[tuple[Any, ...]]]:
        """One way to the server and back, with what was put before; the cursors of those that are asked."""
        put = in_few(self._pending.take())
        if not put and len(asked) < 2:
            return [self._ask(each) for each in asked]
        with self._connection.pipeline():
            written = [self._ask(each) for each in put]
            found = [self._ask(each) for each in asked]
        for cursor, each in zip(written, put, strict=True):
            if each.refusal is not None and cursor.rowcount == 0:
                raise Unmet(each.refusal)
        return found


def _rows(row: type[R], found: psycopg.Cursor[tuple[Any, ...]]) -> list[R]:
    """`SELECT *` may give columns that a newer version has added: they are at the end."""
    width = len(row.__struct_fields__)
    return [row(*each[:width]) for each in found]
