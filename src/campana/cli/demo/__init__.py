"""`campana demo`: a server, channel flows, a Lambda function and two live sessions, at work before your eyes."""

import argparse
import os
import shutil
import signal
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

PROCESSOR = Path(__file__).with_name("moderator.py")

_EXAMPLES = """\
examples:
  campana demo             a server in a temporary folder, five messages, a verdict; nothing is left
  campana demo --keep      the same, then the server goes on until Ctrl-C, for messages of your own
"""


class Stopped(BaseException):
    """By a signal. Not an Exception: nothing on the way out is to mend it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--keep", action="store_true", help="leave the server running and print how to talk to it with the AWS CLI"
    )


def run(args: argparse.Namespace) -> int:
    """0 if every message went as the specification says. Server and temporary folder are gone afterwards."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    _forget_the_users_setup()
    try:
        with ExitStack() as stack:
            return _run(stack, keep=args.keep)
    except Stopped as stopped:
        return 128 + stopped.number


def _run(stack: ExitStack, *, keep: bool) -> int:
    from campana.cli.demo.cases import MODERATION, STRICT
    from campana.cli.demo.child import ChildServer

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campana-demo-", ignore_cleanup_errors=True)))
    functions = folder / "functions"
    functions.mkdir()
    processor = shutil.copy(PROCESSOR, functions)  # one that may be edited: the server takes up the changes
    refusing = stack.enter_context(socket.socket())
    refusing.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can get the port meanwhile
    server = stack.enter_context(
        ChildServer(
            folder,
            {
                MODERATION.resource_arn: f"{processor}:handler",
                STRICT.resource_arn: f"http://127.0.0.1:{refusing.getsockname()[1]}/",
            },
        )
    )
    from campana.cli.demo import show  # boto3 and rich take a while; the server starts meanwhile

    return show.run(server, folder, stack, keep=keep)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # cleaning up takes a moment, and has to be done to the end
    raise Stopped(number)


def _forget_the_users_setup() -> None:
    """No profile, endpoint, key or proxy that is meant for something else may reach what we start."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "CAMPANA_")):
            del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
