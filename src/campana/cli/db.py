"""`campana db`: whether the database is as this version wants it, and bringing it there.

A server does by itself, at its start, what does not disturb others of an older version.
"""

import argparse
import json
from dataclasses import asdict

from campana import __version__
from campana.cli import beside
from campana.clock import Ids, SystemClock
from campana.errors import ServiceUnavailable
from campana.server import data_folder
from campana.settings import Settings, SetupError, SqliteUrl
from campana.store import engines, migrate
from campana.store.database import CannotOpen, Database, Tx

_EXAMPLES = """\
examples:
  campana db check
  campana db upgrade          with PostgreSQL: what servers of older versions can live with
  campana db upgrade --post   and the rest, when none of them runs any more
"""


class _Looked(Exception):
    """Undoes what looking has written."""

    def __init__(self, state: migrate.State) -> None:
        self.state = state


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    check = actions.add_parser(
        "check", help="tell what is outstanding; exit code 1 if something is", allow_abbrev=False
    )
    upgrade = actions.add_parser("upgrade", help="apply what is outstanding", allow_abbrev=False)
    upgrade.add_argument(
        "--post",
        action="store_true",
        help="with PostgreSQL: also what takes something away from servers of older versions, none of which may be"
        " running any more",
    )
    for action in (check, upgrade):
        beside.arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; raises SetupError."""
    tree = beside.loaded(args)
    place = tree.database_url
    if isinstance(place, SqliteUrl) and not place.path.is_file():
        raise SetupError(f"there is no database {place.path}; `campana serve` makes it at its first start")
    if args.action == "upgrade" and isinstance(place, SqliteUrl):
        with data_folder.held(tree.server.data_dir):  # no server runs, so there is nobody to be left out
            return _run(args, tree, post=True)
    return _run(args, tree, post=args.action == "upgrade" and args.post)


def _run(args: argparse.Namespace, tree: Settings, *, post: bool) -> int:
    try:
        db = engines.opened(tree.database_url, ids=Ids())
    except CannotOpen as error:
        raise SetupError(str(error)) from None
    fresh: list[str] = []
    try:
        if args.action == "upgrade":
            fresh = db.write_now(lambda tx: migrate.apply(tx, SystemClock().now(), post=post))
        found = _looked(db)
    except (migrate.SchemaMismatch, ServiceUnavailable) as error:
        raise SetupError(str(error)) from None
    finally:
        db.close_now()
    if args.json:
        print(json.dumps({"database": str(tree.database_url), "version": __version__, **asdict(found)}, indent=2))
    else:
        print(_told(str(tree.database_url), found, fresh))
    return int(args.action == "check" and bool(found.pre or found.post))


def _looked(db: Database) -> migrate.State:
    def look(tx: Tx) -> None:
        raise _Looked(migrate.state(tx))

    try:
        db.write_now(look)
    except _Looked as looked:
        return looked.state
    raise AssertionError("it always raises")


def _told(place: str, found: migrate.State, fresh: list[str]) -> str:
    usable = "any version" if found.oldest is None else f"version {found.oldest} and newer ones"
    lines = [f"{place}: {len(found.applied)} migrations applied; {usable} can use it, this is {__version__}."]
    lines += [f"  applied      {name}" for name in fresh]
    lines += [f"  outstanding  {name}: at the next start of a server, or by `campana db upgrade`" for name in found.pre]
    lines += [
        f"  outstanding  {name}: by `campana db upgrade --post`, when no server of an older version runs any more"
        for name in found.post
    ]
    return "\n".join(lines)
