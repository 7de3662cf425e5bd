"""`campana config`: the settings in force, whether they can be used, and a file that explains them all."""

import argparse
import ast
import inspect
import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from campana import settings
from campana.settings import LISTS, SECTIONS, Settings

_EXAMPLES = """\
examples:
  campana config example > campana.toml
  campana config check --config campana.toml
  CAMPANA_LOG__LEVEL=debug campana config show
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    show = actions.add_parser("show", help="the settings in force, from file and environment", allow_abbrev=False)
    show.add_argument("--json", action="store_true", help="as JSON")
    check = actions.add_parser("check", help="whether file and environment can be used", allow_abbrev=False)
    for action in (show, check):
        action.add_argument("--config", type=Path, metavar="FILE", help="settings (default: ./campana.toml, if any)")
    actions.add_parser("example", help="a campana.toml with every setting, explained", allow_abbrev=False)


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; raises `SettingsError`."""
    if args.action == "example":
        print(example(), end="")
        return 0
    tree = settings.load(args.config, os.environ, {})
    if args.action == "check":
        print("The settings can be used.")
    elif args.json:
        print(json.dumps(_plain(tree), indent=2))
    else:
        print(show(tree), end="")
    return 0


def show(tree: Settings) -> str:
    """`tree` as TOML; what is not set, as comments."""
    parts = [(f"[{name}]", getattr(tree, name)) for name in SECTIONS]
    parts += [(f"[[{name}]]", entry) for name in LISTS for entry in getattr(tree, name)]
    return "\n".join(
        "\n".join([head, *(_assignment(part, getattr(value, part.name)) for part in fields(value))]) + "\n"
        for head, value in parts
    )


def example() -> str:
    """A campana.toml that changes nothing: every setting with its documentation and default, as comments."""
    return "\n".join(_example_lines()) + "\n"


def documentation(structure: type[Any]) -> dict[str, str]:
    """The text under each field of a dataclass, read from its source, or with the field if it was made of a table."""
    made = {part.name: part.metadata["text"] for part in fields(structure) if "text" in part.metadata}
    if made:
        return made
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(structure))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


# What stands in the example for settings without a default.
_EXAMPLE_VALUES: Mapping[str, Mapping[str, object]] = {
    "processors": {
        "arn": "arn:aws:lambda:us-east-1:123456789012:function:moderate",
        "target": "processors/moderate.py:handler",
    },
    "roles": {"name": "chat-user", "trust": "chat-user-trust.json"},
    "oidc": {
        "issuer": "https://id.example.com/realms/chat",
        "audiences": ("chat-web",),
        "jwks": "https://id.example.com/realms/chat/protocol/openid-connect/certs",
    },
}


def _example_lines() -> Iterator[str]:
    yield "# Settings of campana, with their defaults. Paths are relative to this file."
    yield "# CAMPANA_SECTION__FIELD in the environment goes before this file, flags before both."
    yield "# Take away the # before a name to set it."
    for name, structure in SECTIONS.items():
        yield from ("", f"# {inspect.getdoc(structure)}", f"[{name}]")
        yield from _field_lines(structure)
    for name, structure in LISTS.items():
        yield from ("", f"# {inspect.getdoc(structure)}", f"#[[{name}]]")
        yield from _field_lines(structure, _EXAMPLE_VALUES[name])


def _field_lines(structure: type[Any], examples: Mapping[str, object] = {}) -> Iterator[str]:
    texts = documentation(structure)
    for part in fields(structure):
        yield ""
        yield from (f"# {line}" for line in texts[part.name].splitlines())
        default = examples[part.name] if part.default is MISSING else part.default
        yield "#" + _assignment(part, default).removeprefix("# ")


def _assignment(part: "Field[Any]", value: object) -> str:
    """A line of TOML; what is not set, as a comment with an example."""
    if value is None:
        return f"# {part.name} = {json.dumps(part.metadata['example'])}"
    return f"{part.name} = {json.dumps(_plain(value), ensure_ascii=False)}"


def _plain(value: object) -> Any:
    """Sections as dictionaries, the rest as TOML and JSON have it."""
    match value:
        case None | bool() | int() | float():
            return value
        case tuple():
            return [_plain(item) for item in value]
        case _ if type(value) in (Settings, *SECTIONS.values(), *LISTS.values()):
            return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}  # type: ignore[arg-type]
    return str(value)
