"""`campana roles`: roles that STS gives temporary credentials for, also while a server is running."""

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campana.cli import beside
from campana.cli.beside import Beside
from campana.settings import Settings, SetupError

if TYPE_CHECKING:
    from campana.store.keys import Role

_EXAMPLES = """\
examples:
  campana roles create chat-user --trust trust.json --policy chat-user.json
  campana roles list
  campana roles show chat-user
  campana roles delete chat-user

A role is there at once, on a running server too. Deleting one ends the credentials that were given out for it, and
the live sessions that were opened with them. Roles of the settings ([[roles]]) are changed there.
"""
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    create = actions.add_parser("create", help="make a role", allow_abbrev=False)
    create.add_argument("name", metavar="NAME", help="its name")
    create.add_argument(
        "--trust", type=Path, metavar="FILE", required=True, help="who may take it: a file with a trust policy"
    )
    create.add_argument(
        "--policy", type=Path, metavar="FILE", help="what its sessions may do: a file with an IAM policy (not: nothing)"
    )
    listing = actions.add_parser("list", help="all roles", allow_abbrev=False)
    show = actions.add_parser("show", help="a role with its policies", allow_abbrev=False)
    delete = actions.add_parser("delete", help="delete a role, and end its sessions", allow_abbrev=False)
    for action in (show, delete):
        action.add_argument("name", metavar="NAME", help="its name")
    for action in (create, listing, show, delete):
        beside.arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; raises `SetupError`."""
    act = {"create": _create, "list": _list, "show": _show, "delete": _delete}[args.action]
    with beside.opened(args) as server:
        act(args, server)
    return 0


def _create(args: argparse.Namespace, server: Beside) -> None:
    from campana.auth import policy, sts
    from campana.store import keys

    if not _NAME.fullmatch(args.name):
        raise SetupError(f"{args.name!r} cannot be a role's name: up to 64 letters, digits or _+=,.@-")
    trust = beside.document(args.trust)
    document = "" if args.policy is None else beside.document(args.policy)
    for file, text, parse in ((args.trust, trust, policy.parse_trust), (args.policy, document, policy.parse)):
        try:
            if file is not None:
                parse(text)
        except policy.PolicyError as error:
            raise SetupError(f"{file} cannot be used: {error}") from None
    role = keys.Role(_arn(server.settings, args.name), sts.role_id(server.ids.token()), trust, document, server.now)
    # Those of the settings go first, so one of their names would never be heard of.
    if args.name in _names_in_settings(server.settings) or not server.db.write_now(
        lambda tx: keys.insert_role(tx, role)
    ):
        raise SetupError(f"there is a role {args.name} already; `campana roles show {args.name}` shows it")
    if args.json:
        _print_json(_described(role))
    else:
        print(role.arn)


def _list(args: argparse.Namespace, server: Beside) -> None:
    found = _all(server)
    if args.json:
        _print_json([_described(role) for role in found])
        return
    for role in found:
        print(f"{role.arn}  {beside.moment(role.created_at) if role.created_at else 'settings'}")


def _show(args: argparse.Namespace, server: Beside) -> None:
    arn = _arn(server.settings, args.name)
    role = next((role for role in _all(server) if role.arn == arn), None)
    if role is None:
        raise SetupError(f"there is no role {args.name}; `campana roles list` shows those there are")
    _print_json(_described(role))


def _delete(args: argparse.Namespace, server: Beside) -> None:
    from campana.store import keys

    arn = _arn(server.settings, args.name)
    if not server.db.write_now(lambda tx: keys.delete_role(tx, arn)):
        hint = "; it is in the settings" if args.name in _names_in_settings(server.settings) else ""
        raise SetupError(f"there is no role {args.name} to delete{hint}")
    if args.json:
        _print_json({"Arn": arn})
    else:
        print(f"{arn} is deleted.")


def _all(server: Beside) -> "list[Role]":
    """Those of the settings first."""
    from campana.auth.configured_roles import configured_roles
    from campana.store import keys

    configured = configured_roles(server.settings)
    stored = server.db.read_now(keys.listed_roles)
    return [*configured.values(), *(role for role in stored if role.arn not in configured)]


def _names_in_settings(settings: Settings) -> set[str]:
    return {role.name for role in settings.roles}


def _arn(settings: Settings, name: str) -> str:
    from campana.auth import sts

    return sts.role_arn(settings.account.partition, settings.account.account_id, name)


def _described(role: "Role") -> dict[str, Any]:
    return {
        "Arn": role.arn,
        "RoleId": role.id,
        "Trust": json.loads(role.trust),
        "Policy": json.loads(role.policy) if role.policy else None,
        "CreatedAt": beside.moment(role.created_at) if role.created_at else None,
    }


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))
