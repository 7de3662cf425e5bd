"""Statements that nobody waits for, gathered until somebody looks or commits."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from campana.store.database import Value

_CHANGE: Final = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")


class Rows:
    """One statement, for so many sets of values."""

    __slots__ = ("by_key", "refusals", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.by_key: dict[object, Mapping[str, Value]] = {}
        self.refusals: dict[object, Exception] = {}
        """What it means if the statement with these values concerns no row, by the same key."""


class Pending:
    """What was put, in an order that has the same effect: a table's statements follow one another as they came."""

    __slots__ = ("_latest", "groups")

    def __init__(self) -> None:
        self.groups: list[Rows] = []
        self._latest: dict[str, Rows] = {}

    def add(self, sql: str, values: Mapping[str, Value], key: object = None, refusal: Exception | None = None) -> None:
        """`key`: makes an earlier one with the same key pointless, if nothing else about the table came between."""
        table = _table(sql)
        rows = self._latest.get(table)
        if rows is None or rows.sql != sql:
            rows = self._latest[table] = Rows(sql)
            self.groups.append(rows)
        key = len(rows.by_key) if key is None else key
        rows.by_key[key] = values
        if refusal is not None:
            rows.refusals[key] = refusal

    def take(self) -> list[Rows]:
        """All of it; nothing is left."""
        taken, self.groups = self.groups, []
        self._latest.clear()
        return taken


@lru_cache(500)
def _table(sql: str) -> str:
    """That the statement changes; of one that changes none, itself."""
    found = _CHANGE.match(sql)
    return found[1] if found else sql
