"""Every statement of the store is planned over an index: none scans a table or sorts without a reason given here."""

import collections.abc
import inspect
import pkgutil
import sqlite3
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from types import NoneType, UnionType
from typing import Any

import pytest

from campana import store
from campana.errors import Conflict
from campana.store.database import Page, Position, R, Row, Value, page_sql
from campana.store.sqlite import SqliteDatabase, SqliteTx
from campana.store.standing import MANY as TOGETHER
from campana.store.standing import Wanted
from campana.store.topics import Entry

pytestmark = pytest.mark.sqlite
FAMILIES = [
    import_module(f"campana.store.{module.name}")
    for module in pkgutil.iter_modules(store.__path__)
    if module.name not in ("database", "engines", "pending", "sqlite") and not module.name.startswith("postgres")
]
FUNCTIONS: dict[str, Callable[..., object]] = {
    f"{family.__name__.rpartition('.')[2]}.{name}": function
    for family in FAMILIES
    for name, function in inspect.getmembers(family, inspect.isfunction)
    if function.__module__ == family.__name__ and next(iter(inspect.signature(function).parameters), "") == "tx"
}

MAY_SCAN_OR_SORT = {
    ("migrate.state", "SCAN migrations"): "a row for each migration, read once at start",
    ("migrate.apply", "SCAN migrations"): "the same",
    ("migrate.oldest", "SCAN oldest_version"): "one row, or none",
    ("migrate.state", "SCAN oldest_version"): "the same",
    ("migrate.apply", "SCAN oldest_version"): "the same",
    ("deletions.some", "SCAN deletions USING INDEX deletions_by_age"): "in the order of the index, up to the limit",
    (
        "memberships.unread_first_of_user",
        "USE TEMP B-TREE FOR ORDER BY",
    ): "the user's memberships, bounded by the limit",
    (
        "memberships.latest_first_of_user",
        "USE TEMP B-TREE FOR ORDER BY",
    ): "the user's memberships, bounded by the limit",
    ("executions.newest_of", "USE TEMP B-TREE FOR ORDER BY"): "the few executions of one message",
    ("memberships.of_member", "USE TEMP B-TREE FOR ORDER BY"): "one; of a moderator one in each of 100 sub-channels",
    ("memberships.of_user_in", "USE TEMP B-TREE FOR ORDER BY"): "the same",
    ("keys.listed", "SCAN access_keys USING INDEX access_keys_in_order"): "for an operator who wants to see them all",
    ("keys.listed_roles", "SCAN roles USING INDEX roles_in_order"): "the same",
    ("executions.backlog", "SCAN executions USING INDEX executions_due"): "in the order of the index, up to the limit",
    ("executions.backlog", "SCAN waiting"): "the few rows of that",
    ("executions.backlog", "USE TEMP B-TREE FOR GROUP BY"): "the same",
    ("search.with_visible_members", "SCAN seen"): "up to the limit of the few rows counted",
}


class ExplainingConnection:
    """A connection that asks for the plan of every statement before running it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plans: list[tuple[str, str]] = []

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        if not sql.startswith("CREATE"):
            for *_, detail in self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values):
                self.plans.append((" ".join(sql.split()), detail))
        return self._connection.execute(sql, values)


class ExplainingTx(SqliteTx):
    """Explains first and later pages, in both directions, whichever of them is asked for."""

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
        **values: Value,
    ) -> Page[R]:
        for position in (None, (0,) * len(key)):
            marks = {f"after_{index}": value for index, value in enumerate(position or ())}
            for down in (False, True):
                self._connection.execute(page_sql(sql, key, position, down), {**values, **marks, "limit": limit})
        return super().page(row, sql, key=key, after=after, limit=limit, descending=descending, **values)


def arguments(function: Callable[..., object]) -> Iterator[dict[str, object]]:
    """Values for the parameters after `tx`: lists once with one element and once with two."""
    hints = typing.get_type_hints(function)
    names = [name for name in inspect.signature(function).parameters if name != "tx"]
    for length in (1, 2):
        yield {name: anything(hints[name], length) for name in names}


def anything(hint: Any, length: int) -> object:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (str, int, bool):
        return hint(1)
    if origin is UnionType or origin is typing.Union:
        return None if NoneType in inner else anything(inner[0], length)
    if inner == (Wanted,):  # few and many are looked up in different ways
        return [Wanted("a", "b", f"{number}") for number in range(TOGETHER * (length - 1) + 1)]
    if origin in (collections.abc.Iterable, collections.abc.Sequence):
        return [anything(inner[0], length)] * length
    if hint is Entry:
        return Entry(topic="t")
    assert issubclass(hint, Row), f"give this test a value for {hint}"
    fields = typing.get_type_hints(hint)
    return hint(**{name: anything(fields[name], length) for name in hint.__struct_fields__})


def plans_of(db: SqliteDatabase, function: Callable[..., object]) -> list[tuple[str, str]]:
    """Statement and line of its plan, for everything the function runs."""

    def explain(tx: SqliteTx) -> list[tuple[str, str]]:
        explaining = ExplainingConnection(tx._connection)
        for values in arguments(function):
            with suppress(Conflict, sqlite3.IntegrityError):  # the second round meets the rows of the first
                function(ExplainingTx(typing.cast(sqlite3.Connection, explaining)), **values)
        return explaining.plans

    return db.write_now(explain)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_statement_scans_or_sorts(db: SqliteDatabase, name: str) -> None:
    plans = plans_of(db, FUNCTIONS[name])

    bad = [
        f"{detail}: {sql}"
        for sql, detail in plans
        if (detail.startswith("SCAN") or "TEMP B-TREE" in detail or "AUTOMATIC" in detail)
        and detail != "SCAN CONSTANT ROW"
        and (name, detail) not in MAY_SCAN_OR_SORT
    ]
    assert bad == []


def test_every_module_of_the_store_is_looked_at() -> None:
    assert {name.partition(".")[0] for name in FUNCTIONS} == {each.__name__.rpartition(".")[2] for each in FAMILIES}
