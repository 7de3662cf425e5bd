"""What happens to a message on its way when something else happens meanwhile (spec/channel-flows.md §6)."""

from pathlib import Path

import pytest

from tests.flows.lobby import FORBIDDEN, Lobby, not_pending, refused, told
from tests.harness import App, Processor, calls_back, running
from tests.operations.helpers import rows

PENDING, SENT = {"Value": "PENDING"}, {"Value": "SENT"}


# Editing, redacting, deleting


@pytest.mark.parametrize("who", ["bob", "ann", "root"])
def test_a_new_message_on_its_way_can_be_neither_edited_nor_redacted_nor_deleted(
    lobby: Lobby, processor: Processor, who: str
) -> None:
    message_id = lobby.sends()
    user = getattr(lobby, who)
    on_it = {"ChannelArn": lobby.channel, "MessageId": message_id}

    with refused(403, "Forbidden", FORBIDDEN):
        user.update_channel_message(Content="edited", **on_it)
    with refused(403, "Forbidden", FORBIDDEN):
        user.redact_channel_message(**on_it)
    with refused(403, "Forbidden", FORBIDDEN):
        user.delete_channel_message(**on_it)

    calls_back(lobby.app, processor.takes())
    assert lobby.lists(lobby.cid) == [("hello", "SENT")]


def test_an_edit_on_its_way_keeps_out_another(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)
    lobby.edits(message_id, "second")

    with refused(403, "Forbidden", FORBIDDEN):
        lobby.edits(message_id, "third")

    calls_back(lobby.app, processor.takes())
    assert lobby.gets(message_id)["Content"] == "second"
    assert lobby.edits(message_id, "third")["Status"] == PENDING


def test_redacting_cancels_an_edit_on_its_way(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)
    with lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        lobby.edits(message_id)
        event = processor.takes()

        lobby.ann.redact_channel_message(ChannelArn=lobby.channel, MessageId=message_id)

        with refused(400, "BadRequest", not_pending(event)):
            calls_back(lobby.app, event)
        assert [each.type for each in lobby.heard(bob)] == ["PENDING_UPDATE_CHANNEL_MESSAGE", "REDACT_CHANNEL_MESSAGE"]
        assert [each.type for each in lobby.heard(cid)] == ["REDACT_CHANNEL_MESSAGE"]
    for reader in (lobby.bob, lobby.cid):
        seen = lobby.gets(message_id, reader)
        assert (seen["Redacted"], seen.get("Content"), seen["Status"]) == (True, None, SENT)
    assert lobby.status(message_id) == SENT


def test_deleting_takes_an_edit_on_its_way_along(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)
    with lobby.bob.connects() as bob:
        lobby.edits(message_id)
        event = processor.takes()

        lobby.root.delete_channel_message(ChannelArn=lobby.channel, MessageId=message_id)

        with refused(403, "Forbidden", FORBIDDEN):
            calls_back(lobby.app, event)
        assert [each.type for each in lobby.heard(bob)] == ["PENDING_UPDATE_CHANNEL_MESSAGE", "DELETE_CHANNEL_MESSAGE"]
    assert lobby.lists() == []
    assert rows(lobby.server, "executions", message_id=message_id) == 0


def test_a_processor_that_fails_for_an_edit_that_was_cancelled_is_not_tried_again(
    lobby: Lobby, processor: Processor
) -> None:
    redacted, deleted = lobby.sent(processor), lobby.sent(processor)
    processor.answers.clear()
    processor.status = 503
    for message_id in (redacted, deleted):
        lobby.edits(message_id)
        processor.takes()

    lobby.ann.redact_channel_message(ChannelArn=lobby.channel, MessageId=redacted)
    lobby.root.delete_channel_message(ChannelArn=lobby.channel, MessageId=deleted)

    with lobby.bob.connects() as bob:
        processor.answers.set()
        fails = lobby.sends("fails")
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")
    assert {processor.takes()["ChannelMessage"]["MessageId"] for _ in range(3)} == {fails}
    assert lobby.status(redacted) == SENT


def test_a_clock_put_back_does_not_hide_an_edit_on_its_way(tmp_path: Path, processor: Processor) -> None:
    with running(tmp_path) as server:
        lobby = Lobby.of(App(server), processor.arn)
        message_id = lobby.sent(processor, "first")

        server.clock.advance(ms=-60_000)
        lobby.edits(message_id, "second")

        assert (lobby.gets(message_id)["Content"], lobby.status(message_id)) == ("second", PENDING)
        with refused(403, "Forbidden"):
            lobby.edits(message_id, "third")
        lobby.ann.redact_channel_message(ChannelArn=lobby.channel, MessageId=message_id)
        with refused(400, "BadRequest"):
            calls_back(lobby.app, processor.takes())


# The flow


def test_what_is_on_its_way_finishes_when_the_flow_is_taken_from_the_channel(
    lobby: Lobby, processor: Processor
) -> None:
    on_its_way = lobby.sends("waits")

    lobby.ann.disassociate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.flow)

    after = lobby.bob.send_channel_message(
        ChannelArn=lobby.channel, Content="does not", Type="STANDARD", Persistence="PERSISTENT"
    )
    assert after["Status"] == SENT
    assert lobby.status(on_its_way) == PENDING
    calls_back(lobby.app, processor.takes(), Content="seen")
    assert lobby.lists(lobby.cid) == [("does not", "SENT"), ("seen", "SENT")]


def test_what_is_on_its_way_keeps_its_flow_when_the_channel_gets_another(lobby: Lobby, processor: Processor) -> None:
    other = Processor()
    lobby.sends("first")

    lobby.ann.associate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.app.flow(other.arn))
    lobby.sends("second")

    assert other.takes()["ChannelMessage"]["Content"] == "second"
    event = processor.takes()
    assert event["ChannelMessage"]["Content"] == "first"
    calls_back(lobby.app, event)
    assert lobby.lists(lobby.cid) == [("first", "SENT")]
    other.close()


def test_what_is_on_its_way_keeps_the_processors_that_the_flow_had(app: App, processor: Processor) -> None:
    second, third = Processor(), Processor()
    third.status = 503
    lobby = Lobby.of(app, processor.arn, (second.arn, "CONTINUE"))
    lobby.sends()
    event = processor.takes()

    app.messaging.update_channel_flow(
        ChannelFlowArn=lobby.flow,
        Name="another",
        Processors=[
            {
                "Name": "another",
                "Configuration": {"Lambda": {"ResourceArn": third.arn, "InvocationType": "ASYNC"}},
                "ExecutionOrder": 1,
                "FallbackAction": "ABORT",
            }
        ],
    )

    second.status = 503  # its own fallback action counts, not that of the new one
    with lobby.cid.connects() as cid:
        calls_back(app, event)
        assert cid.next().type == "CREATE_CHANNEL_MESSAGE"
    assert third.events.empty()
    second.close()
    third.close()


def test_what_is_on_its_way_outlives_its_flow(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends()
    lobby.ann.disassociate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.flow)
    lobby.app.messaging.delete_channel_flow(ChannelFlowArn=lobby.flow)

    calls_back(lobby.app, processor.takes())

    assert lobby.status(message_id) == SENT


# The channel and the people in it


def test_a_deleted_channel_drops_what_is_on_its_way_without_a_word(lobby: Lobby, processor: Processor) -> None:
    other = lobby.ann.makes_channel(members=[lobby.bob])
    created = lobby.sent(processor)
    with lobby.bob.connects() as bob:
        lobby.sends("never")
        lobby.edits(created)
        events = [processor.takes(), processor.takes()]

        lobby.ann.delete_channel(ChannelArn=lobby.channel)
        lobby.server.settle()

        for event in events:
            with refused(403, "Forbidden", FORBIDDEN):
                calls_back(lobby.app, event)
        lobby.ann.sends(other, "end")
        assert [each.type for each in bob.until("CREATE_CHANNEL_MESSAGE")] == [
            "PENDING_CREATE_CHANNEL_MESSAGE",
            "PENDING_UPDATE_CHANNEL_MESSAGE",
            "DELETE_CHANNEL",
            "CREATE_CHANNEL_MESSAGE",
        ]
    for table in ("messages", "executions"):
        assert rows(lobby.server, table, channel_arn=lobby.channel) == 0


def test_a_processor_that_fails_after_the_channel_is_gone_changes_nothing(lobby: Lobby, processor: Processor) -> None:
    other = lobby.ann.makes_channel(members=[lobby.bob], flow=lobby.flow)
    processor.answers.clear()
    processor.status = 503
    with lobby.bob.connects() as bob:
        lobby.sends()
        processor.takes()
        lobby.ann.delete_channel(ChannelArn=lobby.channel)

        processor.answers.set()
        lobby.bob.sends(other, "next")

        types = [each.type for each in bob.until("FAILED_CREATE_CHANNEL_MESSAGE")]
    assert types == [
        "PENDING_CREATE_CHANNEL_MESSAGE",
        "DELETE_CHANNEL",
        "PENDING_CREATE_CHANNEL_MESSAGE",
        "FAILED_CREATE_CHANNEL_MESSAGE",
    ]


@pytest.mark.parametrize("how", ["leaves", "is removed", "is banned", "is deleted"])
def test_a_message_is_released_although_its_sender_is_gone(lobby: Lobby, processor: Processor, how: str) -> None:
    membership = {"ChannelArn": lobby.channel, "MemberArn": lobby.bob.arn}
    elsewhere = lobby.ann.makes_channel(members=[lobby.bob])
    bob = lobby.bob.connects()
    message_id = lobby.sends()
    event = processor.takes()
    match how:
        case "leaves":
            lobby.bob.delete_channel_membership(**membership)
        case "is removed":
            lobby.ann.delete_channel_membership(**membership)
        case "is banned":
            lobby.ann.create_channel_ban(ChannelArn=lobby.channel, MemberArn=lobby.bob.arn)
            lobby.ann.delete_channel_membership(**membership)
        case "is deleted":
            lobby.app.identity.delete_app_instance_user(AppInstanceUserArn=lobby.bob.arn)
            lobby.server.settle()

    with lobby.cid.connects() as cid:
        calls_back(lobby.app, event)

        heard = cid.next()
    assert (heard.type, heard.payload["MessageId"]) == ("CREATE_CHANNEL_MESSAGE", message_id)
    assert heard.payload["Sender"] == {"Arn": lobby.bob.arn, "Name": "Bob"}
    if how == "is deleted":
        assert bob.closed() == 4003
    else:
        lobby.ann.sends(elsewhere, "end")
        types = [each.type for each in bob.until("CREATE_CHANNEL_MESSAGE", Content="end")]
        assert types == ["PENDING_CREATE_CHANNEL_MESSAGE", "DELETE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE"]
        assert lobby.status(message_id) == SENT  # still the bearer's own
    bob.close()


def test_who_joins_meanwhile_hears_the_message_when_it_is_released(lobby: Lobby, processor: Processor) -> None:
    dan = lobby.app.user("dan")
    message_id = lobby.sends()
    with dan.connects() as session:
        lobby.ann.create_channel_membership(ChannelArn=lobby.channel, MemberArn=dan.arn, Type="DEFAULT")

        calls_back(lobby.app, processor.takes())

        assert [each.type for each in lobby.heard(session)] == ["CREATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE"]
    assert lobby.gets(message_id, dan)["Status"] == SENT


def test_a_message_does_not_wait_for_those_sent_before_it(lobby: Lobby, processor: Processor) -> None:
    lobby.sends("first")
    first = processor.takes()
    lobby.sends("second")
    second = processor.takes()
    with lobby.cid.connects() as cid:
        calls_back(lobby.app, second)
        calls_back(lobby.app, first)

        assert [content for _, content, _ in told(lobby.heard(cid))] == ["second", "first"]
    assert lobby.lists(lobby.cid) == [("second", "SENT"), ("first", "SENT")]  # by the time they were sent
