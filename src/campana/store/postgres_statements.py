"""The portable statements of `store/` as PostgreSQL takes them, and many that only write as a few."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from campana.store.database import Value
from campana.store.pending import Rows

DEFINITION_WAIT_MS: Final = 1_000
_NAME: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_IN_LIST: Final = re.compile(r"\bIN \((:[a-z_][a-z0-9_]*)\)")
_DEFINITION: Final = re.compile(r"\s*(?:CREATE|ALTER|DROP) TABLE\b")
_PLAIN_INSERT: Final = re.compile(r"\s*INSERT INTO [^()]+\([^()]+\)\s*VALUES\s*(\([^()]+\))\s*")
_SIZES: Final = (32, 16, 8, 4, 2, 1)


class Statement(NamedTuple):
    """One as PostgreSQL takes it."""

    text: str
    parameters: list[Any] | None
    """None: it has none."""
    refusal: Exception | None = None
    """What it means if it concerns no row."""


def with_parameters(sql: str, values: Mapping[str, Value | Sequence[str]]) -> Statement:
    """A portable statement as PostgreSQL takes it."""
    text, names = _translated(sql)
    return Statement(text, [_parameter(values[name]) for name in names] if names else None)


def in_few(pending: Iterable[Rows]) -> list[Statement]:
    """What has the same effect in a few statements: rows that go to the same table go there together."""
    found: list[Statement] = []
    for rows in pending:
        if len(rows.by_key) > 1 and _row_of(rows.sql) is not None:
            found += _inserts(rows.sql, [*rows.by_key.values()])
        else:
            found += [
                with_parameters(rows.sql, values)._replace(refusal=rows.refusals.get(key))
                for key, values in rows.by_key.items()
            ]
    return found


def _inserts(sql: str, rows: list[Mapping[str, Value]]) -> Iterable[Statement]:
    """In parts of a few sizes, so that there are few statements to prepare."""
    _, names = _translated(sql)
    while rows:
        size = next(size for size in _SIZES if size <= len(rows))
        parameters = [_parameter(values[name]) for values in rows[:size] for name in names]
        yield Statement(_of_many_rows(sql, size), parameters)
        rows = rows[size:]


@lru_cache(200)
def _row_of(sql: str) -> str | None:
    """The values of a plain INSERT of one row, in parentheses; None for all other statements."""
    found = _PLAIN_INSERT.fullmatch(sql)
    return found[1] if found else None


@lru_cache(200)
def _of_many_rows(sql: str, size: int) -> str:
    row = _row_of(sql)
    assert row is not None
    before = sql[: sql.rindex(row)]
    _, names = _translated(sql)
    position = {name: index for index, name in enumerate(names, 1)}

    def numbered(first: int) -> str:
        return _NAME.sub(lambda found: f"${first + position[found[1]]}", row)

    return before + ", ".join(numbered(index * len(names)) for index in range(size))


def _parameter(value: Value | Sequence[str]) -> Any:
    return list(value) if isinstance(value, tuple) else value


@lru_cache(2_000)
def _translated(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` … for `:name`, and the names in the order of their numbers.

    Tables are made with texts that compare by their bytes, as SQLite's do: pages and Python's sorting rely on it,
    whatever the collation of the database is. Whoever comes after a definition that waits for a table waits as well,
    so it gives up soon, and its call runs again.
    """
    if _DEFINITION.match(sql):
        text = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', sql)
        return f"SET LOCAL lock_timeout = {DEFINITION_WAIT_MS}; {text}", ()
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}"

    return _NAME.sub(numbered, _IN_LIST.sub(r"= ANY(\1)", sql)), tuple(names)
