"""Answers of functions in the server's process that come at the same time: one transaction for all, each on its own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import stores
from tests.harness import LAMBDA, App, RunningServer, User, running

from campana.flows import execution
from campana.flows.execution import Answer
from campana.processors import gathering
from campana.store import executions
from campana.unit_of_work import UnitOfWork

VERDICTS = {
    "pass": ("CREATE", "pass"),
    "change": ("CREATE", "changed"),
    "deny": ("DENIED_CREATE", "deny"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    processors = [f"{LAMBDA}f=python:tests.processors.in_process:wait_for_all"]
    with running(tmp_path, processors=processors, **{"flows.retry_delays_ms": (1, 1)}) as server:
        yield server


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many answers each transaction had."""
    numbers: list[int] = []
    answers = execution.answers

    def counted(unit: UnitOfWork, of: Sequence[Answer]) -> Any:
        numbers.append(len(of))
        return answers(unit, of)

    monkeypatch.setattr(execution, "answers", counted)
    return numbers


class Room:
    """Ann's channel, through the function."""

    def __init__(self, server: RunningServer) -> None:
        app = App(server)
        self.ann: User = app.user("ann")
        self.arn = self.ann.makes_channel(flow=app.flow((f"{LAMBDA}f", "ABORT")))
        self.session = self.ann.connects()

    def send(self, *contents: str) -> list[str]:
        """Their ids."""
        return [self.ann.sends(self.arn, each, Metadata=str(len(contents))) for each in contents]

    def become(self, number: int) -> dict[str, tuple[str, str]]:
        """The verdict's event and its content, of so many messages by id."""
        verdicts: dict[str, tuple[str, str]] = {}
        while len(verdicts) < number:
            event = self.session.next()
            if not event.type.startswith("PENDING"):
                kind = event.type.removesuffix("_CHANNEL_MESSAGE")
                assert verdicts.setdefault(event.payload["MessageId"], (kind, event.payload["Content"]))
        return verdicts

    def listed(self) -> dict[str, str]:
        """The ids of all messages, with their status."""
        messages = self.ann.list_channel_messages(ChannelArn=self.arn)["ChannelMessages"]
        return {each["MessageId"]: each["Status"]["Value"] for each in messages}


def test_answers_that_come_together_share_a_transaction_and_each_has_its_own_verdict(
    server: RunningServer, gathered: list[int]
) -> None:
    room = Room(server)

    contents = ["pass", "deny", "change"] * 4
    ids = room.send(*contents)

    assert room.become(len(ids)) == {id: VERDICTS[content] for id, content in zip(ids, contents, strict=True)}
    assert sum(gathered) == len(ids)
    assert max(gathered) > 1
    assert room.listed() == {id: "SENT" for id, content in zip(ids, contents, strict=True) if content != "deny"}
    channel = room.ann.describe_channel(ChannelArn=room.arn)["Channel"]
    newest = room.ann.get_channel_message(ChannelArn=room.arn, MessageId=ids[-1])["ChannelMessage"]
    assert channel["LastMessageTimestamp"] == newest["LastUpdatedTimestamp"]


def test_of_more_answers_than_a_transaction_takes_each_has_its_verdict(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "ANSWERS_MAX", 3)
    answers = execution.answers
    written: list[tuple[int, int]] = []

    def counted(unit: UnitOfWork, of: Sequence[Answer]) -> Any:
        url = server.settings.database_url
        [(sent,)] = stores.query(url, "SELECT COUNT(*) FROM messages WHERE status = 'SENT'")
        written.append((sent, len(of)))
        return answers(unit, of)

    monkeypatch.setattr(execution, "answers", counted)
    room = Room(server)

    ids = room.send(*["pass"] * 8)

    assert room.become(8) == dict.fromkeys(ids, VERDICTS["pass"])
    assert written == [(0, 3), (3, 3), (6, 2)]  # those before are committed


def test_an_answer_that_is_refused_holds_up_no_other(server: RunningServer, gathered: list[int]) -> None:
    room = Room(server)

    passed, refused, denied = room.send("pass", "too long", "deny")

    assert room.become(2) == {passed: VERDICTS["pass"], denied: VERDICTS["deny"]}
    assert room.listed() == {passed: "SENT", refused: "PENDING"}


def _changed_by_another(found: Any) -> Any:
    stale = msgspec.structs.replace(found.execution, version=found.execution.version - 1)
    return found._replace(execution=stale)


def _broken(found: Any) -> Any:
    return found._replace(execution=msgspec.structs.replace(found.execution, plan="no plan"))


@pytest.mark.parametrize("harm", [_changed_by_another, _broken])
def test_of_answers_together_of_which_one_fails_each_is_written_alone(
    server: RunningServer, gathered: list[int], monkeypatch: pytest.MonkeyPatch, harm: Callable[[Any], Any]
) -> None:
    find_all = executions.find_all

    def harmed(tx: Any, ids: Sequence[str]) -> Any:
        found = find_all(tx, ids)
        if len(found) > 1:
            last = max(found)
            found[last] = harm(found[last])
        return found

    monkeypatch.setattr(executions, "find_all", harmed)
    room = Room(server)

    ids = room.send(*["pass"] * 5)

    assert room.become(5) == dict.fromkeys(ids, VERDICTS["pass"])
    assert gathered.count(1) >= 2
    assert max(gathered) > 1


def test_of_two_answers_to_one_invocation_the_second_changes_nothing(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = execution.answers

    def twice(unit: UnitOfWork, of: Sequence[Answer]) -> Any:
        return answers(unit, [*of, *of])[: len(of)]

    monkeypatch.setattr(execution, "answers", twice)
    room = Room(server)

    ids = room.send("pass", "deny")

    assert room.become(2) == dict(zip(ids, (VERDICTS["pass"], VERDICTS["deny"]), strict=True))
    assert room.listed() == {ids[0]: "SENT"}
