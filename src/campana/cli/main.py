"""The `campana` command: finds the command asked for, and says in one line what went wrong.

Each command is a module with `arguments(parser)` and `run(args) -> int`, imported only when it is asked for.
Exit codes: 0 done, 1 failed, 2 called or configured wrongly, 130 interrupted, 141 nobody reads the output.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence
from typing import NoReturn

from campana import __version__
from campana.settings import SetupError

# name → what it does. The module is campana.cli.<name>.
COMMANDS = {
    "serve": "run the server",
    "demo": "watch a server, a channel flow and live sessions at work",
    "credentials": "show the root key pair",
    "keys": "make, list and revoke access keys with policies of their own",
    "roles": "make, show and delete roles, for temporary credentials",
    "quotas": "show and set quotas and rates, also while a server is running",
    "db": "check the database, and upgrade it to this version",
    "config": "show, check or explain the settings",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (the process's arguments by default) asks for; the exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _run(words)
        sys.stdout.flush()
    except SystemExit as exit:  # argparse: --help, --version, or called wrongly
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except SetupError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes standard output once more at the end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error), 1)
    return code


def parser(commands: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The whole command line; only the modules of `commands` are imported, the others have no arguments."""
    whole = _Parser(
        prog="campana",
        description="Amazon Chime SDK Messaging as a server you run yourself.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"campana {__version__}", help="show the version")
    places = whole.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name, does in COMMANDS.items():
        place = places.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name in commands:
            module = importlib.import_module(f"campana.cli.{name}")
            module.arguments(place)
            place.set_defaults(run=module.run)
    return whole


_EXAMPLES = """\
examples:
  campana serve                            SQLite in ./campana-data, on http://127.0.0.1:8600
  campana serve --tls self-signed          for clients that insist on wss://
  eval "$(campana credentials --env)"      use the root key pair in this shell
  campana config example > campana.toml    every setting, explained

`campana COMMAND --help` tells more.
"""


def _run(words: Sequence[str]) -> int:
    # The options before a command take no values, so the first word that is no option is the command.
    named = next((word for word in words if not word.startswith("-")), None)
    whole = parser([named] if named in COMMANDS else [])
    args = whole.parse_args(words)
    if args.command is None:
        whole.print_help(sys.stderr)
        return 2
    code: int = args.run(args)
    return code


def _failed(message: str, code: int) -> int:
    print(f"campana: {message}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a call."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"campana: {message} (see {self.prog} --help)\n")
