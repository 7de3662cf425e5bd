"""What the tests of operations say often."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from campana import arn, limits
from campana.store import counts, deletions, quotas
from tests.harness import App, RunningServer, Session, User


def answered(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    """The members of an answer that has this status."""
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == status
    return answer


def pages(operation: Callable[..., Any], items: str, **members: Any) -> list[list[Any]]:
    """Every page of a list: boto3 has no paginators for these services."""
    found, token = [], None
    while True:
        answer = operation(**members, **({"NextToken": token} if token else {}))
        found.append(answer[items])
        token = answer.get("NextToken")
        if token is None:
            return found


def whole(operation: Callable[..., Any], items: str, **members: Any) -> list[Any]:
    """All items of a list, through all its pages."""
    return [item for page in pages(operation, items, **members) for item in page]


def rest_of(operation: Callable[..., Any], items: str, first: dict[str, Any], **members: Any) -> list[Any]:
    """The items behind a first page."""
    token, found = first.get("NextToken"), []
    while token is not None:
        answer = operation(NextToken=token, **members)
        found += answer[items]
        token = answer.get("NextToken")
    return found


def ms(moment: datetime) -> int:
    """A timestamp of boto3 in milliseconds."""
    return round(moment.timestamp() * 1000)


@contextmanager
def during(server: RunningServer) -> Iterator[Callable[..., None]]:
    """A function that asserts that timestamps are from the time the block is running."""
    start = server.clock.now()

    def check(*moments: datetime) -> None:
        for moment in moments:
            assert start <= ms(moment) <= server.clock.now()

    yield check


LEX = {"LexBotAliasArn": "arn:aws:lex:us-east-1:123456789012:bot-alias/ABCDEFGHIJ/KLMNOPQRST", "LocaleId": "en_US"}


def bot(app: App, name: str) -> User:
    answer = app.identity.create_app_instance_bot(AppInstanceArn=app.arn, Name=name.title(), Configuration={"Lex": LEX})
    return User(app, answer["AppInstanceBotArn"])


def rows(server: RunningServer, table: str, **columns: str) -> int:
    """How many rows of a table have these values."""
    condition = " AND ".join(f"{name} = :{name}" for name in columns)
    return int(server.writes(lambda tx: tx.scalar(f"SELECT COUNT(*) FROM {table} WHERE {condition}", **columns)))


def counted(server: RunningServer, owner: str, what: str) -> int:
    """How much of a quota is used."""
    return int(server.writes(counts.of, owner, what))


def set_limit(server: RunningServer, app_instance_arn: str, name: str, value: int) -> None:
    """Set a quota or rate, by its name in `campana quotas`, of one app instance."""
    server.writes(quotas.put, app_instance_arn, name, value)


def room_for(server: RunningServer, owner: str, what: str, number: int) -> None:
    """Set a quota of the owner's app instance (for an account: of the server) so that `number` more fit."""
    name = limits.QUOTAS[what].name
    set_limit(server, arn.app_instance_of(owner), name, counted(server, owner, what) + number)


@contextmanager
def clean_up_held(server: RunningServer) -> Iterator[None]:
    """What is deleted inside is not cleaned up before the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deletions, "some", lambda tx, limit: [])
        yield


def heard_before(session: Session, ending: Callable[[], None]) -> list[str]:
    """The types of all events up to the channel update that `ending` makes."""
    ending()
    return [event.type for event in session.until("UPDATE_CHANNEL")][:-1]
