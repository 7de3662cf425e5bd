"""What commands share that write to the database beside a running server.

They need no hold on the data folder: databases let several in, and the server looks credentials up for every call.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from campana import settings
from campana.settings import Settings, SetupError

if TYPE_CHECKING:
    from campana.auth.sealing import Sealer
    from campana.clock import Ids
    from campana.store.database import Database


@dataclass(frozen=True, slots=True)
class Beside:
    """A server's settings and database, and what credentials are made with."""

    settings: Settings
    db: "Database"
    secrets_key: bytes
    sealer: "Sealer"
    ids: "Ids"
    now: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say which server it is about."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: ./campana.toml, if any)")
    parser.add_argument("--data-dir", metavar="DIR", help="data folder (default: ./campana-data)")
    parser.add_argument(
        "--database-url", metavar="URL", help="sqlite:///FILE or postgresql://… (default: a file in the data folder)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def loaded(args: argparse.Namespace) -> Settings:
    """The settings that the flags of `arguments` lead to; raises `SettingsError`."""
    return settings.load(args.config, os.environ, {"server.data_dir": args.data_dir, "database.url": args.database_url})


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Beside]:
    """The database that the flags of `arguments` lead to; raises `SetupError` if it is not of this version."""
    from campana.auth import stored_keys
    from campana.auth.sealing import Sealer
    from campana.clock import Ids, SystemClock
    from campana.errors import ApiError
    from campana.server import data_folder
    from campana.store import engines, migrate
    from campana.store.database import CannotOpen, Tx

    tree, ids, now = loaded(args), Ids(), SystemClock().now()
    place = tree.database_url
    if isinstance(place, settings.SqliteUrl) and not place.path.is_file():
        raise SetupError(
            f"there is no database {place.path}; `campana serve` makes it at its first start; "
            "for another folder say --data-dir"
        )
    secrets_key = data_folder.secrets_key(tree.server.data_dir, os.environ, ids, make=False)
    sealer = Sealer(secrets_key, stored_keys.PURPOSE, ids)

    def check(tx: Tx) -> None:
        if migrate.state(tx).pre:
            raise SetupError(
                f"{place} was last used by an older version: start the server of this version first, or run"
                " `campana db upgrade`"
            )
        if not stored_keys.fit(tx, sealer):
            raise SetupError(
                f"the access keys in {place} are sealed with another key; is {data_folder.SECRETS_KEY_VARIABLE} set as "
                "it is for the server?"
            )

    try:
        db = engines.opened(place, ids=ids)
    except CannotOpen as error:
        raise SetupError(str(error)) from None
    try:
        db.write_now(check)
        yield Beside(tree, db, secrets_key, sealer, ids, now)
    except (migrate.SchemaMismatch, ApiError) as error:
        raise SetupError(str(error)) from None
    finally:
        db.close_now()


def document(file: Path) -> str:
    """The text of a policy file; raises `SetupError`."""
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise SetupError(f"{file} is not UTF-8") from None


def moment(ms: int) -> str:
    """A time for people and programs."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
