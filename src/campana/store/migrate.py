"""Bringing a database to the schema of this version: numbered SQL files, applied in order, recorded with a hash."""

import hashlib
from importlib import resources

from campana.store.database import Row, Tx


class SchemaMismatch(Exception):
    """The database was made by something this version does not know; the message says what."""


class Applied(Row, frozen=True):
    number: int
    name: str
    sha256: str


def apply(tx: Tx, now: int) -> list[str]:
    """Apply what is missing, all in this transaction; returns the names. Raises `SchemaMismatch`.

    Several nodes may start at once: one does it, the others wait and find it done. A newer version's `_pre_` files
    leave the schema so that this version can use it.
    """
    tx.lock("migrations")
    tx.run(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    applied = {row.number: row for row in tx.all(Applied, "SELECT number, name, sha256 FROM migrations")}
    known = {int(name[:4]): (name, text) for name, text in _files()}
    for number, row in applied.items():
        if number not in known and "_pre_" in row.name:
            continue
        if number not in known:
            raise SchemaMismatch(f"The database has migration {row.name}, which this version of Campana does not know.")
        if row.sha256 != _hash(known[number][1]):
            raise SchemaMismatch(f"Migration {row.name} was applied to the database with another content.")
    fresh = []
    for number, (name, text) in sorted(known.items()):
        if number in applied:
            continue
        for statement in statements(text):
            tx.run(statement)
        tx.run(
            "INSERT INTO migrations (number, name, sha256, applied_at) VALUES (:number, :name, :sha256, :now)",
            number=number,
            name=name,
            sha256=_hash(text),
            now=now,
        )
        fresh.append(name)
    return fresh


def statements(text: str) -> list[str]:
    """The statements of a migration file: comments off, split at semicolons at the end of a line."""
    lines = [line.split("--")[0].rstrip() for line in text.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip().rstrip(";")]


def _files() -> list[tuple[str, str]]:
    folder = resources.files("campana.store") / "migrations"
    found = [(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
