"""Processors that can't be reached or never call back (spec/channel-flows.md §7 and §8)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campana.flows import machine
from tests.flows.lobby import FORBIDDEN, Lobby, Writes, refused, told
from tests.harness import App, Processor, RunningServer, calls_back, running
from tests.operations.helpers import rows

NO_CALLBACK = {"Value": "FAILED", "Detail": "No callback was received in time."}


@pytest.fixture
def unreachable() -> Iterator[Processor]:
    """A processor that refuses every event."""
    processor = Processor()
    processor.status = 503
    yield processor
    processor.close()


@pytest.fixture
def believing(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of its own whose clock can be put forward: signatures, which age, are not looked at."""
    with running(tmp_path, **{"auth.mode": "none", "flows.retry_delays_ms": (1, 1)}) as server:
        yield server


def is_failure(arguments: tuple[Any, ...]) -> bool:
    return isinstance(arguments[-1], machine.InvocationFailed)


# Not reached


def test_after_three_attempts_the_message_fails(
    app: App, unreachable: Processor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "campana")
    lobby = Lobby.of(app, unreachable.arn)
    with lobby.bob.connects() as bob:
        message_id = lobby.sends()
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE", MessageId=message_id)

    events = [unreachable.takes() for _ in range(3)]
    assert unreachable.events.empty()
    assert events[0] == events[1] == events[2]  # the callback id, too
    told_of = [
        (record.message, record.campana_values)
        for record in caplog.records
        if getattr(record, "campana_values", {}).get("message") == message_id
    ]
    attempts = [values["attempt"] for event, values in told_of if event == "processor.attempt_failed"]
    assert attempts == [1, 2, 3]
    assert [values for event, values in told_of if event == "processor.unreachable"] == [
        {"message": message_id, "processor": unreachable.arn, "reason": "The processor answered 503."}
    ]


def test_an_attempt_that_succeeds_makes_the_failures_before_it_good(tmp_path: Path, unreachable: Processor) -> None:
    with running(tmp_path, **{"flows.retry_delays_ms": (60_000, 60_000)}) as server:
        lobby = Lobby.of(App(server), unreachable.arn)
        with Writes(server) as writes:
            message_id = lobby.sends()
            events = [unreachable.takes()]
            for status in (503, 200):
                writes.until_ended("report", is_failure)
                assert unreachable.events.empty()  # the pause has not passed
                unreachable.status = status
                server.clock.advance(ms=60_000)
                events.append(unreachable.takes())

        assert events[0] == events[1] == events[2]
        calls_back(lobby.app, events[0])
        assert lobby.status(message_id) == {"Value": "SENT"}


def test_with_continue_the_last_processors_failure_releases_the_message(
    app: App, processor: Processor, unreachable: Processor, caplog: pytest.LogCaptureFixture
) -> None:
    lobby = Lobby.of(app, processor.arn, (unreachable.arn, "CONTINUE"))
    with lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        message_id = lobby.sends("hello")
        calls_back(app, processor.takes(), Content="seen by the first")

        assert cid.next().payload["Content"] == "seen by the first"
        assert told(lobby.heard(bob)) == [
            ("PENDING_CREATE_CHANNEL_MESSAGE", "hello", "PENDING"),
            ("CREATE_CHANNEL_MESSAGE", "seen by the first", "SENT"),
        ]
    assert lobby.status(message_id) == {"Value": "SENT"}
    assert "processor.unreachable" in caplog.messages  # said whatever the fallback action is


def test_with_continue_the_next_processor_gets_what_those_before_made_of_it(
    app: App, processor: Processor, unreachable: Processor
) -> None:
    last = Processor()
    lobby = Lobby.of(app, processor.arn, (unreachable.arn, "CONTINUE"), last.arn)
    lobby.sends("one")

    calls_back(app, processor.takes(), Content="two")

    assert last.takes()["ChannelMessage"]["Content"] == "two"
    last.close()


def test_with_abort_later_processors_are_not_invoked(app: App, processor: Processor, unreachable: Processor) -> None:
    lobby = Lobby.of(app, unreachable.arn, (processor.arn, "CONTINUE"))
    with lobby.bob.connects() as bob:
        lobby.sends()
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")

    assert processor.events.empty()


def test_a_function_without_a_target_can_not_be_reached(lobby: Lobby) -> None:
    missing = "arn:aws:lambda:us-east-1:123456789012:function:missing"
    lobby.ann.associate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.app.flow(missing))

    with lobby.bob.connects() as bob:
        lobby.sends()
        failed = bob.until("FAILED_CREATE_CHANNEL_MESSAGE")[-1]

    assert missing in failed.payload["Status"]["Detail"]
    assert len(failed.payload["Status"]["Detail"]) <= 256


# No callback


def test_a_message_without_a_callback_fails_after_48_hours(believing: RunningServer, processor: Processor) -> None:
    lobby = Lobby.of(App(believing), processor.arn)
    event = lobby.hands(processor, lobby.sends)
    message_id = event["ChannelMessage"]["MessageId"]

    believing.clock.advance(hours=47.9)
    assert lobby.status(message_id) == {"Value": "PENDING"}

    with lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        believing.clock.advance(hours=0.2)
        failed = bob.next()
        assert (failed.type, failed.payload["Status"]) == ("FAILED_CREATE_CHANNEL_MESSAGE", NO_CALLBACK)
        assert lobby.heard(cid) == []
    assert lobby.status(message_id) == NO_CALLBACK
    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(lobby.app, event)
    assert processor.events.empty()  # it was reached: nobody tries again


def test_a_callback_is_good_for_nearly_48_hours(believing: RunningServer, processor: Processor) -> None:
    lobby = Lobby.of(App(believing), processor.arn)
    event = lobby.hands(processor, lobby.sends)
    message_id = event["ChannelMessage"]["MessageId"]

    believing.clock.advance(hours=47.9)
    calls_back(lobby.app, event)

    assert lobby.status(message_id) == {"Value": "SENT"}


def test_a_late_callback_is_forbidden_even_if_nobody_has_seen_yet_that_it_is_late(
    believing: RunningServer, processor: Processor
) -> None:
    lobby = Lobby.of(App(believing), (processor.arn, "CONTINUE"))
    with lobby.cid.connects() as cid:
        event = lobby.hands(processor, lobby.sends)

        believing.clock.advance(hours=48.1)
        with refused(403, "Forbidden", FORBIDDEN):
            calls_back(lobby.app, event, deny=True)

        assert cid.next().type == "CREATE_CHANNEL_MESSAGE"


def test_with_continue_the_flow_goes_on_after_48_hours(believing: RunningServer, processor: Processor) -> None:
    last = Processor()
    lobby = Lobby.of(App(believing), (processor.arn, "CONTINUE"), (last.arn, "CONTINUE"))
    first = lobby.hands(processor, lobby.sends)
    message_id = first["ChannelMessage"]["MessageId"]

    believing.clock.advance(hours=48.1)
    second = last.takes()
    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(lobby.app, first, deny=True)
    assert second["CallbackId"] != first["CallbackId"]

    believing.clock.advance(hours=47)  # the second has 48 hours of its own
    calls_back(lobby.app, second)
    assert lobby.status(message_id) == {"Value": "SENT"}
    last.close()


def test_an_edit_without_a_callback_fails_after_48_hours(believing: RunningServer, processor: Processor) -> None:
    lobby = Lobby.of(App(believing), processor.arn)
    message_id = lobby.sent(processor, "first")
    with lobby.bob.connects() as bob:
        lobby.hands(processor, lambda: lobby.edits(message_id, "second"))

        believing.clock.advance(hours=48.1)
        assert told(bob.until("FAILED_UPDATE_CHANNEL_MESSAGE"))[1:] == [
            ("FAILED_UPDATE_CHANNEL_MESSAGE", "second", "FAILED")
        ]
    assert lobby.lists() == [("first", "SENT")]
    assert lobby.status(message_id)["Value"] == "FAILED"


def test_how_long_a_callback_may_take_is_a_setting(tmp_path: Path, processor: Processor) -> None:
    with running(tmp_path, **{"flows.callback_timeout_ms": 60_000}) as server:
        lobby = Lobby.of(App(server), processor.arn)
        with lobby.bob.connects() as bob:
            lobby.hands(processor, lobby.sends)

            server.clock.advance(ms=61_000)
            assert bob.until("FAILED_CREATE_CHANNEL_MESSAGE")[-1].payload["Status"] == NO_CALLBACK


# What is kept


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_failed_message_is_kept_for_48_hours(
    believing: RunningServer, unreachable: Processor, persistence: str
) -> None:
    lobby = Lobby.of(App(believing), unreachable.arn)
    with lobby.bob.connects() as bob:
        message_id = lobby.sends(Persistence=persistence)
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")

    believing.clock.advance(hours=47.9)
    assert lobby.status(message_id)["Value"] == "FAILED"

    with Writes(believing) as writes:
        believing.clock.advance(hours=0.2)
        writes.until_ended("wake")
    with refused(403, "Forbidden", FORBIDDEN):
        lobby.status(message_id)
    with refused(404, "NotFound"):
        lobby.gets(message_id)
    assert lobby.lists() == []
    for table in ("messages", "executions"):
        assert rows(believing, table, channel_arn=lobby.channel) == 0


def test_a_failed_edit_is_remembered_for_48_hours(believing: RunningServer, processor: Processor) -> None:
    lobby = Lobby.of(App(believing), processor.arn)
    message_id = lobby.sent(processor, "first")
    with lobby.bob.connects() as bob:
        lobby.hands(processor, lambda: lobby.edits(message_id, "second"))
        believing.clock.advance(hours=48.1)
        bob.until("FAILED_UPDATE_CHANNEL_MESSAGE")

    believing.clock.advance(hours=47.9)
    assert lobby.status(message_id)["Value"] == "FAILED"
    with Writes(believing) as writes:
        believing.clock.advance(hours=0.2)
        writes.until_ended("wake")
    assert lobby.status(message_id) == {"Value": "SENT"}
    assert lobby.lists() == [("first", "SENT")]


def test_what_was_sent_is_kept_although_the_record_of_its_way_is_forgotten(
    believing: RunningServer, processor: Processor
) -> None:
    lobby = Lobby.of(App(believing), processor.arn)
    message_id = lobby.sends()
    event = processor.takes()
    calls_back(lobby.app, event)

    believing.clock.advance(hours=48.1)
    believing.settle()

    assert rows(believing, "executions", message_id=message_id) == 0
    assert lobby.status(message_id) == {"Value": "SENT"}
    with refused(403, "Forbidden", FORBIDDEN):
        calls_back(lobby.app, event)
