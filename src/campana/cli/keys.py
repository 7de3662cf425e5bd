"""`campana keys`: access keys with policies, also while a server is running, which knows of it at once."""

import argparse
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campana import arn
from campana.cli import beside
from campana.cli.beside import Beside
from campana.settings import SetupError

if TYPE_CHECKING:
    from campana.store.keys import AccessKey

_EXAMPLES = """\
examples:
  campana keys create --policy backend.json
  campana keys create --user arn:aws:chime:us-east-1:123456789012:app-instance/APP/user/ann
  eval "$(campana keys create --admin --env)"
  campana keys session --user arn:aws:chime:us-east-1:123456789012:app-instance/APP/user/ann --hours 2 --env
  campana keys list --json
  campana keys revoke CAMPAKIA0123456789ABCDEF

A key takes effect and loses it at once, on a running server too; live sessions that a revoked key opened are closed.
The secret is shown once, by create. What session gives is kept nowhere: it ends when it expires, and when the root
key changes.
"""
_NAME = re.compile(r"[A-Za-z0-9_+=,.@:-]{1,64}")
_ADMIN_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "chime:*", "Resource": "*"}]}'


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    create = actions.add_parser("create", help="make a key and show it, with its secret", allow_abbrev=False)
    may = create.add_mutually_exclusive_group(required=True)
    may.add_argument("--policy", type=Path, metavar="FILE", help="what it may do: a file with an IAM policy")
    may.add_argument("--user", metavar="ARN", help="it may act as this app instance user and as nobody else")
    may.add_argument("--admin", action="store_true", help="it may do everything in chime, and bear every user")
    create.add_argument(
        "--name", help="name of the IAM user (default: that of the file, the user's id, or admin); policies see it"
    )
    create.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a tag of the IAM user, aws:PrincipalTag/KEY in policies; may be repeated",
    )
    session = actions.add_parser("session", help="temporary credentials for a user", allow_abbrev=False)
    session.add_argument("--user", metavar="ARN", required=True, help="the app instance user to act as")
    session.add_argument(
        "--hours",
        type=int,
        default=1,
        choices=range(1, 37),
        metavar="N",
        help="until they expire, 1 to 36 (default: 1)",
    )
    for action in (create, session):
        action.add_argument("--env", action="store_true", help="as export lines for a shell")
    listing = actions.add_parser("list", help="all keys, without their secrets", allow_abbrev=False)
    revoke = actions.add_parser("revoke", help="take a key back, for good", allow_abbrev=False)
    revoke.add_argument("access_key_id", metavar="ID", help="access key id")
    for action in (create, session, listing, revoke):
        beside.arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; raises `SetupError`."""
    act = {"create": _create, "session": _session, "list": _list, "revoke": _revoke}[args.action]
    with beside.opened(args) as server:
        act(args, server)
    return 0


def _create(args: argparse.Namespace, server: Beside) -> None:
    from campana.auth import policy, stored_keys

    document, default_name = _permissions(args)
    name = args.name or default_name
    if not _NAME.fullmatch(name):
        raise SetupError(f"{name!r} cannot be a name: 1 to 64 letters, digits or _+=,.@:- (see --name)")
    try:
        policy.parse(document)
    except policy.PolicyError as error:
        raise SetupError(f"{args.policy} is not a policy: {error}") from None
    account = server.settings.account
    tags = _tags(args.tag)
    key, secret = server.db.write_now(
        lambda tx: stored_keys.make(
            tx,
            server.sealer,
            server.ids,
            account=account.account_id,
            principal_arn=f"arn:{account.partition}:iam::{account.account_id}:user/{name}",
            policies=[document],
            tags=tags,
            now=server.now,
        )
    )
    _show(args, {"AccessKeyId": key.id, "SecretAccessKey": secret, "PrincipalArn": key.principal_arn})
    if not args.json and not args.env:
        print("The secret is not shown again.", file=sys.stderr)


def _session(args: argparse.Namespace, server: Beside) -> None:
    """As GetFederationToken: the account's permissions, narrowed to those of one user."""
    from campana.auth.session_token import Session, SessionTokens
    from campana.auth.user_policy import user_policy
    from campana.server import data_folder

    user = _user(args.user)
    root = data_folder.find_root_credentials(server.settings.server.data_dir, os.environ)
    if root is None:
        raise SetupError(f"the server's root key is needed: set {data_folder.ACCESS_KEY_ID_VARIABLE} as for the server")
    account = server.settings.account
    tokens = SessionTokens(server.secrets_key, server.ids)
    given = tokens.issue(
        Session(
            access_key_id=tokens.new_access_key_id(),
            account=account.account_id,
            principal_arn=f"arn:{account.partition}:sts::{account.account_id}:federated-user/{user.id}",
            user_id=f"{account.account_id}:{user.id}",
            issued_at=server.now,
            expires_at=server.now + args.hours * 3_600_000,
            parent_key_id=root.access_key_id,
            policy=user_policy(user),
        )
    )
    _show(
        args,
        {
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "SessionToken": given.session_token,
            "Expiration": beside.moment(given.expires_at),
        },
    )


_LINES = {
    "AccessKeyId": ("access key id", "AWS_ACCESS_KEY_ID"),
    "SecretAccessKey": ("secret access key", "AWS_SECRET_ACCESS_KEY"),
    "SessionToken": ("session token", "AWS_SESSION_TOKEN"),
    "Expiration": ("expires", None),
    "PrincipalArn": ("principal", None),
}


def _show(args: argparse.Namespace, credentials: dict[str, str]) -> None:
    if args.json:
        _print_json({"Version": 1, **credentials})  # what AWS's credential_process wants
        return
    for name, value in credentials.items():
        label, variable = _LINES[name]
        if not args.env:
            print(f"{label:17}  {value}")
        elif variable is not None:
            print(f"export {variable}={shlex.quote(value)}")


def _permissions(args: argparse.Namespace) -> tuple[str, str]:
    """The policy's document, and the name that the IAM user has by default."""
    if args.policy is not None:
        return beside.document(args.policy), args.policy.stem
    if args.admin:
        return _ADMIN_POLICY, "admin"
    from campana.auth.user_policy import user_policy

    user = _user(args.user)
    return user_policy(user), user.id


def _user(text: str) -> arn.Arn:
    try:
        user = arn.parse(text)
    except arn.NotAnArn:
        user = None
    if user is None or user.kind is not arn.Kind.USER:
        raise SetupError(f"{text} is not the ARN of an app instance user")
    return user


def _tags(given: list[str]) -> dict[str, str]:
    """`KEY=VALUE`; keys differ in more than case, as in IAM."""
    tags: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals or key.lower().startswith("aws:"):
            raise SetupError(f"{text!r} is not a tag: say KEY=VALUE; the key must not begin with aws:")
        if key.lower() in (known.lower() for known in tags):
            raise SetupError(f"the tag {key} is given twice")
        tags[key] = value
    return tags


def _list(args: argparse.Namespace, server: Beside) -> None:
    from campana.store import keys

    found = server.db.read_now(keys.listed)
    if args.json:
        _print_json([_described(key) for key in found])
        return
    for key in found:
        state = "in use" if key.revoked_at is None else f"revoked {beside.moment(key.revoked_at)}"
        print(f"{key.id}  {beside.moment(key.created_at)}  {state}  {key.principal_arn}")


def _described(key: "AccessKey") -> dict[str, Any]:
    return {
        "AccessKeyId": key.id,
        "PrincipalArn": key.principal_arn,
        "Policies": [json.loads(document) for document in json.loads(key.policies)],
        "Tags": json.loads(key.tags),
        "CreatedAt": beside.moment(key.created_at),
        "RevokedAt": None if key.revoked_at is None else beside.moment(key.revoked_at),
    }


def _revoke(args: argparse.Namespace, server: Beside) -> None:
    from campana.store import keys

    if not server.db.write_now(lambda tx: keys.revoke(tx, args.access_key_id, server.now)):
        raise SetupError(f"there is no key {args.access_key_id} in use; `campana keys list` shows those there are")
    if args.json:
        _print_json({"AccessKeyId": args.access_key_id, "RevokedAt": beside.moment(server.now)})
    else:
        print(f"{args.access_key_id} is revoked.")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))
