"""Several server processes on one PostgreSQL database."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import stores
from tests.harness import App, RunningServer, Session, User
from tests.stories.serving import Server, serving

SETTINGS = {
    "CAMPANA_SECRETS_KEY": "what all nodes of these tests share with one another",
    "CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true",
    "CAMPANA_FLOWS__LEASE_MS": "1000",
    "CAMPANA_SERVER__DRAIN_S": "2",
}


@contextmanager
def nodes(folder: Path, number: int, *flags: str, **environment: str) -> Iterator[list[Server]]:
    """So many nodes, each with a data folder of its own; flags and variables are those of all."""
    shared = {**SETTINGS, **stores.environment(folder), **environment}
    with ExitStack() as stack:
        started = []
        for each in range(number):
            (folder / f"node{each}").mkdir()
            started.append(stack.enter_context(serving(folder / f"node{each}", *flags, environment=shared)))
        yield started


def through(node: Server | RunningServer, app: App) -> App:
    """The same app instance, called through this node."""
    seen = copy.copy(app)
    seen.server = node  # type: ignore[assignment]
    seen.identity, seen.messaging = node.client("chime-sdk-identity"), node.client("chime-sdk-messaging")
    return seen


def user(node: Server | RunningServer, one: User) -> User:
    """The same user, calling through this node."""
    return User(through(node, one.app), one.arn)


def connects(node: Server, one: User, **parameters: Any) -> Session:
    """A live session of the user at this node."""
    key = node.environment
    return Session(
        node,  # type: ignore[arg-type]
        one.arn,
        key=key["AWS_ACCESS_KEY_ID"],
        secret=key["AWS_SECRET_ACCESS_KEY"],
        **parameters,
    )
