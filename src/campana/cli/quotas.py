"""`campana quotas`: what is in force, and values of this server or of one app instance, while a server is running.

Quotas are in force at once, rates within a second.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from campana import arn, limits
from campana.cli import beside
from campana.settings import Settings, SetupError, value_at
from campana.store import app_instances, quotas
from campana.store.database import Tx

_EXAMPLES = """\
examples:
  campana quotas list
  campana quotas set memberships-per-channel 50000
  campana quotas set rates-enforced 1 arn:aws:chime:us-east-1:123456789012:app-instance/…
  campana quotas reset memberships-per-channel
"""
ALL = "all"
QUOTA_MAX = 2_147_483_647
RATE_MAX = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    listing = actions.add_parser("list", help="what is in force, and where it comes from", allow_abbrev=False)
    setting = actions.add_parser("set", help="set a quota or a rate (calls a second)", allow_abbrev=False)
    setting.add_argument("name", metavar="NAME", help="as `campana quotas list` shows it")
    setting.add_argument("value", metavar="VALUE", type=int, help="a whole number; for rates-enforced 1 or 0")
    resetting = actions.add_parser("reset", help="go back to what holds otherwise", allow_abbrev=False)
    resetting.add_argument("name", metavar="NAME", help='as above, or "all"')
    for action in (listing, setting, resetting):
        action.add_argument(
            "app_instance",
            metavar="APP_INSTANCE_ARN",
            nargs="?",
            default=quotas.EVERYWHERE,
            help="of this one (not given: of the server)",
        )
        beside.arguments(action)


@dataclass(frozen=True, slots=True)
class InForce:
    """One quota or rate: its value, and who says so (settings, server or app instance)."""

    name: str
    value: int
    set_by: str
    what: str


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; raises SetupError."""
    _check(args)
    with beside.opened(args) as server:
        found = server.db.write_now(lambda tx: _perform(tx, server.settings, args))
    if args.action == "list":
        print(json.dumps([asdict(each) for each in found], indent=2) if args.json else _table(found))
    return 0


def _check(args: argparse.Namespace) -> None:
    name: str | None = getattr(args, "name", None)
    within: str = args.app_instance
    known = (*limits.LIMITS, limits.RATES_ENFORCED, *([ALL] if args.action == "reset" else ()))
    if name is not None and name not in known:
        raise SetupError(f"there is no quota or rate {name}; `campana quotas list` shows them")
    limit = limits.LIMITS.get(name or "")
    if within and limit is not None and limit.of_account:
        raise SetupError(f"{name} is counted for the account as a whole: set it without an app instance")
    if within:
        try:
            parsed = arn.parse(within)
        except arn.NotAnArn:
            raise SetupError(f"{within} is not the ARN of an app instance") from None
        if parsed.kind is not arn.Kind.APP_INSTANCE:
            raise SetupError(f"{within} is not the ARN of an app instance")
    if args.action == "set":
        least, most = _range(args.name)
        if not least <= args.value <= most:
            raise SetupError(f"{args.name} may be {least} to {most}")


def _range(name: str) -> tuple[int, int]:
    if name == limits.RATES_ENFORCED:
        return 0, 1
    return (1, RATE_MAX) if isinstance(limits.LIMITS[name], limits.Rate) else (0, QUOTA_MAX)


def _perform(tx: Tx, tree: Settings, args: argparse.Namespace) -> list[InForce]:
    within = args.app_instance
    if within and app_instances.find(tx, within) is None:
        raise SetupError(f"there is no app instance {within}")
    match args.action:
        case "set":
            quotas.put(tx, within, args.name, args.value)
        case "reset" if args.name == ALL:
            quotas.delete_all(tx, within)
        case "reset":
            quotas.delete(tx, within, args.name)
    return list(_in_force(tx, tree, within))


def _in_force(tx: Tx, tree: Settings, within: str) -> Iterator[InForce]:
    said = {each.name: (each.value, "server") for each in quotas.of(tx, quotas.EVERYWHERE)}
    if within:
        said |= {each.name: (each.value, "app instance") for each in quotas.of(tx, within)}
    enforced = int(tree.rates.enforce)
    value, by = said.get(limits.RATES_ENFORCED, (enforced, "settings"))
    yield InForce(limits.RATES_ENFORCED, value, by, "Whether calls above the rates are refused: 1 or 0.")
    for each in limits.LIMITS.values():
        value, by = said.get(each.name, (value_at(tree, each.path), "settings"))
        yield InForce(each.name, value, by, each.does)


def _table(found: list[InForce]) -> str:
    width = max(len(each.name) for each in found)
    return "\n".join(f"{each.name:{width}}  {each.value:>12,}  {each.set_by:12}  {each.what}" for each in found)
