"""Flows of several processors, and stops of the server in the middle of a flow (spec/channel-flows.md §4 and §6)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campana.flows import machine
from tests.flows.lobby import Lobby, Writes, not_pending, refused
from tests.harness import App, Processor, RunningServer, calls_back, running
from tests.operations.helpers import rows


@pytest.fixture
def processors() -> Iterator[list[Processor]]:
    """As many as a flow may have."""
    three = [Processor() for _ in range(3)]
    yield three
    for each in three:
        each.close()


# Several processors


def test_each_processor_gets_what_those_before_it_made_of_the_message(app: App, processors: list[Processor]) -> None:
    lobby = Lobby.of(app, *(each.arn for each in processors))
    message_id = lobby.sends("one", Metadata="m")
    seen: list[dict[str, Any]] = []

    changes: list[dict[str, Any]] = [{"Content": "two"}, {"Metadata": "", "Content": "three"}, {"Content": "four"}]
    for processor, change in zip(processors, changes, strict=True):
        assert lobby.status(message_id) == {"Value": "PENDING"}
        seen.append(processor.takes())
        calls_back(app, seen[-1], **change)

    assert [event["ChannelMessage"]["Content"] for event in seen] == ["one", "two", "three"]
    assert ["Metadata" in event["ChannelMessage"] for event in seen] == [True, True, False]
    assert len({event["CallbackId"] for event in seen}) == 3
    assert lobby.lists(lobby.cid) == [("four", "SENT")]


def test_processors_run_in_ascending_order_however_they_are_listed(app: App, processors: list[Processor]) -> None:
    lobby = Lobby.of(app, processors[0].arn)
    listed = [(3, processors[2]), (1, processors[0])]  # a gap is allowed
    app.messaging.update_channel_flow(
        ChannelFlowArn=lobby.flow,
        Name="flow",
        Processors=[
            {
                "Name": "the same name",
                "Configuration": {"Lambda": {"ResourceArn": each.arn, "InvocationType": "ASYNC"}},
                "ExecutionOrder": order,
                "FallbackAction": "ABORT",
            }
            for order, each in listed
        ],
    )

    message_id = lobby.sends()

    calls_back(app, processors[0].takes())
    calls_back(app, processors[2].takes())
    assert lobby.status(message_id) == {"Value": "SENT"}


def test_a_denial_ends_the_flow(app: App, processors: list[Processor]) -> None:
    lobby = Lobby.of(app, *(each.arn for each in processors))
    message_id = lobby.sends()
    calls_back(app, processors[0].takes())

    calls_back(app, processors[1].takes(), deny=True)

    assert rows(app.server, "executions", message_id=message_id) == 0
    assert processors[2].events.empty()


def test_a_callback_id_is_used_up_when_the_next_processor_has_the_message(
    app: App, processors: list[Processor]
) -> None:
    lobby = Lobby.of(app, processors[0].arn, processors[1].arn)
    lobby.sends("one")
    first = processors[0].takes()
    calls_back(app, first, Content="two")
    second = processors[1].takes()

    with refused(403, "Forbidden"):
        calls_back(app, first, Content="once more")

    calls_back(app, second)
    assert lobby.lists(lobby.cid) == [("two", "SENT")]


def test_a_change_that_is_refused_leaves_the_ones_before_it(app: App, processors: list[Processor]) -> None:
    lobby = Lobby.of(app, processors[0].arn, processors[1].arn)
    lobby.sends("one")
    calls_back(app, processors[0].takes(), Content="two")
    event = processors[1].takes()

    with refused(400, "BadRequest"):
        calls_back(app, event, Content="a" * 5000)

    calls_back(app, event, Metadata="m")
    seen = lobby.bob.reads(lobby.channel)[0]
    assert (seen["Content"], seen["Metadata"]) == ("two", "m")


# The server is stopped meanwhile


@pytest.fixture
def stoppable(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of its own, which waits for nobody when it is stopped."""
    with running(tmp_path, **{"server.drain_s": 0, "auth.mode": "none"}) as server:
        yield server


def restarts(server: RunningServer, *, hours: float = 0) -> None:
    server.stop()
    server.clock.advance(hours=hours)
    server.start()


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_processor_that_has_the_message_calls_back_after_the_restart(
    stoppable: RunningServer, processor: Processor, persistence: str
) -> None:
    lobby = Lobby.of(App(stoppable), processor.arn)
    event = lobby.hands(processor, lambda: lobby.sends("hello", Persistence=persistence))
    message_id = event["ChannelMessage"]["MessageId"]

    restarts(stoppable)

    assert lobby.status(message_id) == {"Value": "PENDING"}
    with lobby.cid.connects() as cid:
        calls_back(lobby.app, event, Content="changed")
        assert cid.next().payload["Content"] == "changed"
    assert lobby.lists(lobby.cid) == ([("changed", "SENT")] if persistence == "PERSISTENT" else [])
    with refused(400, "BadRequest", not_pending(event)):
        calls_back(lobby.app, event)
    assert processor.events.empty()


@pytest.mark.parametrize("operation", ["create", "update"])
def test_an_invocation_nobody_confirmed_is_made_again_with_the_same_callback_id(
    stoppable: RunningServer, processor: Processor, operation: str
) -> None:
    lobby = Lobby.of(App(stoppable), processor.arn)
    message_id = lobby.sent(processor) if operation == "update" else ""
    processor.answers.clear()
    message_id = lobby.edits(message_id)["MessageId"] if operation == "update" else lobby.sends()
    event = processor.takes()

    restarts(stoppable)

    assert processor.takes() == event
    processor.answers.set()
    calls_back(lobby.app, event)
    assert lobby.status(message_id) == {"Value": "SENT"}


def test_a_callback_that_was_answered_counts_although_the_next_processor_was_not_invoked_yet(
    stoppable: RunningServer, processors: list[Processor]
) -> None:
    lobby = Lobby.of(App(stoppable), processors[0].arn, processors[1].arn)
    processors[1].answers.clear()
    message_id = lobby.sends("one")
    calls_back(lobby.app, processors[0].takes(), Content="two")
    event = processors[1].takes()

    restarts(stoppable)

    again = processors[1].takes()
    assert again == event
    assert again["ChannelMessage"]["Content"] == "two"
    processors[1].answers.set()
    calls_back(lobby.app, again)
    assert lobby.gets(message_id, lobby.cid)["Content"] == "two"
    assert processors[0].events.empty()


@pytest.mark.sqlite  # another node may be about to try it again: with PostgreSQL it stays with its time
def test_a_processor_that_could_not_be_reached_before_the_restart_is_tried_after_it(
    tmp_path: Path, processor: Processor
) -> None:
    with running(tmp_path, **{"flows.retry_delays_ms": (60_000,)}) as server:
        lobby = Lobby.of(App(server), processor.arn)
        processor.status = 503
        with Writes(server) as writes:
            message_id = lobby.sends()
            event = processor.takes()
            writes.until_ended("report", lambda arguments: isinstance(arguments[-1], machine.InvocationFailed))
        processor.status = 200

        restarts(server)

        assert processor.takes() == event
        calls_back(lobby.app, event)
        assert lobby.status(message_id) == {"Value": "SENT"}


def test_48_hours_pass_while_the_server_is_down(stoppable: RunningServer, processors: list[Processor]) -> None:
    lobby = Lobby.of(App(stoppable), (processors[0].arn, "CONTINUE"), processors[1].arn)
    event = lobby.hands(processors[0], lobby.sends)

    restarts(stoppable, hours=48.1)

    second = processors[1].takes()
    with refused(403, "Forbidden"):
        calls_back(lobby.app, event, deny=True)
    calls_back(lobby.app, second)
    assert lobby.lists(lobby.cid) == [("hello", "SENT")]
    assert processors[0].events.empty()


def test_a_flow_may_change_while_the_server_is_down_between_two_steps(
    stoppable: RunningServer, processors: list[Processor]
) -> None:
    lobby = Lobby.of(App(stoppable), processors[0].arn, processors[1].arn)
    lobby.sends()
    event = processors[0].takes()
    lobby.ann.disassociate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.flow)
    lobby.app.messaging.delete_channel_flow(ChannelFlowArn=lobby.flow)

    restarts(stoppable)

    calls_back(lobby.app, event)
    calls_back(lobby.app, processors[1].takes())
    assert lobby.lists(lobby.cid) == [("hello", "SENT")]
