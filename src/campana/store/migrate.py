"""Bringing a database to the schema of this version: numbered SQL files, applied in order, recorded with a hash.

A file's name says when it may be applied. `0007_pre_….sql` only adds, so that older versions go on beside it; it must
not need a `_post_` file that may still be outstanding (one above `RELIES_ON`). `0008_post_….sql` takes something away
or asks for more: older versions cannot use the database afterwards. It says in a line `-- oldest: 0.2.0` which version
still can, and that is stored; this version must be able to work before it and after it. Rows are read by position, so
where a column is to go, this version's queries name the others instead of `*`.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Final

from campana import __version__
from campana.store.database import Row, Tx

RELIES_ON: Final = 0
"""The number of the last `_post_` file that the code of this version cannot do without; 0: of none."""
_OLDEST: Final = re.compile(r"^-- oldest: (\S+)$", re.MULTILINE)


class SchemaMismatch(Exception):
    """This version cannot use the database; the message says why, and what to do."""


class Applied(Row, frozen=True):
    number: int
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """How a database stands to this version, by names of files."""

    applied: list[str]
    pre: list[str]
    """Outstanding, to be applied at any time. With a new database: all."""
    post: list[str]
    """Outstanding, to be applied when no older version runs any more."""
    oldest: str | None
    """The oldest version that can use the database; None: nothing has been taken away yet."""


def state(tx: Tx) -> State:
    """Raises `SchemaMismatch` if this version cannot use the database, even if everything were applied.

    What it keeps its books in is made if it is not there.
    """
    tx.run(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    tx.run("CREATE TABLE IF NOT EXISTS oldest_version (version TEXT NOT NULL)")
    least = oldest(tx)
    if least is not None and is_older(__version__, least):
        raise SchemaMismatch(f"The database needs Campana {least} or newer; this is {__version__}.")
    applied = {row.number: row for row in tx.all(Applied, "SELECT number, name, sha256 FROM migrations")}
    known = {int(name[:4]): (name, text) for name, text in _files()}
    for number, row in applied.items():
        if number not in known:
            if "_pre_" not in row.name and "_post_" not in row.name:
                raise SchemaMismatch(
                    f"The database has migration {row.name}, which this version of Campana does not know."
                )
        elif row.sha256 != _hash(known[number][1]):
            raise SchemaMismatch(f"Migration {row.name} was applied to the database with another content.")
    missing = [known[number][0] for number in sorted(known.keys() - applied.keys())]
    post = [name for name in missing if "_post_" in name] if applied else []
    return State(
        applied=[row.name for _, row in sorted(applied.items())],
        pre=[name for name in missing if name not in post],
        post=post,
        oldest=least,
    )


def apply(tx: Tx, now: int, *, post: bool = True) -> list[str]:
    """Apply what is missing, all in this transaction; returns the names. Raises `SchemaMismatch`.

    Without `post` older versions may be running: what they could not live with is left out, unless this version could
    not live without it. Several nodes may start at once: one does it, the others wait and find it done.
    """
    tx.lock("migrations")
    found = state(tx)
    needed = [name for name in found.post if int(name[:4]) <= RELIES_ON]
    if needed and not post:
        raise SchemaMismatch(
            f"Migration {needed[-1]} of an earlier version is outstanding. When no server of a version from before it"
            " runs any more, `campana db upgrade --post` applies it."
        )
    fresh = sorted([*found.pre, *(found.post if post else ())])
    texts = dict(_files())
    for name in fresh:
        for statement in statements(texts[name]):
            tx.run(statement)
        tx.run(
            "INSERT INTO migrations (number, name, sha256, applied_at) VALUES (:number, :name, :sha256, :now)",
            number=int(name[:4]),
            name=name,
            sha256=_hash(texts[name]),
            now=now,
        )
    said = [each[1] for name in fresh if (each := _OLDEST.search(texts[name]))]
    least = max([*said, *([found.oldest] if found.oldest else ())], key=_numbers, default=None)
    if least is not None and least != found.oldest:
        tx.run("DELETE FROM oldest_version")
        tx.run("INSERT INTO oldest_version (version) VALUES (:version)", version=least)
    return fresh


def oldest(tx: Tx) -> str | None:
    """The oldest version that can use the database; None: nothing has been taken away yet."""
    found: str | None = tx.scalar("SELECT version FROM oldest_version")
    return found


def is_older(version: str, than: str) -> bool:
    """By the three numbers; what comes before a release counts as the release."""
    return _numbers(version) < _numbers(than)


def statements(text: str) -> list[str]:
    """The statements of a migration file: comments off, split at semicolons at the end of a line."""
    lines = [line.split("--")[0].rstrip() for line in text.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip().rstrip(";")]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise SchemaMismatch(f"{version} is not a version of Campana.")
    return tuple(map(int, found.groups()))


def _files() -> list[tuple[str, str]]:
    folder = resources.files("campana.store") / "migrations"
    found = [(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
