"""Which messages pass a channel's flow, and what its processors are handed (spec/channel-flows.md §2–§4)."""

import re
from pathlib import Path
from typing import Any

import pytest

from campana.api.base import iso
from tests.flows.lobby import Lobby
from tests.harness import App, Processor, User, calls_back, running
from tests.operations.helpers import answered, bot, ms, rows

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
KEYS = {"MessageId", "ChannelArn", "Content", "Sender", "Persistence", "Type", "CreatedTimestamp"}


def executions(lobby: Lobby, message_id: str) -> int:
    """How many times the message has entered a flow."""
    return rows(lobby.server, "executions", message_id=message_id)


# Which messages enter


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_new_standard_message_waits_for_the_processor(lobby: Lobby, processor: Processor, persistence: str) -> None:
    answer = lobby.bob.send_channel_message(
        ChannelArn=lobby.channel, Content="hello", Type="STANDARD", Persistence=persistence
    )

    message_id = answer["MessageId"]
    status = {"Value": "PENDING"}
    assert answered(201, answer) == {"ChannelArn": lobby.channel, "MessageId": message_id, "Status": status}
    assert processor.takes()["ChannelMessage"]["MessageId"] == message_id


@pytest.mark.parametrize("type", ["STANDARD", "CONTROL"])
def test_without_a_flow_a_message_is_sent_at_once(app: App, type: str) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()

    answer = ann.send_channel_message(ChannelArn=channel, Content="hello", Type=type, Persistence="PERSISTENT")

    message_id = answer["MessageId"]
    assert answered(201, answer) == {"ChannelArn": channel, "MessageId": message_id, "Status": {"Value": "SENT"}}


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_control_message_passes_the_flow_by(lobby: Lobby, persistence: str) -> None:
    answer = lobby.bob.send_channel_message(
        ChannelArn=lobby.channel, Content="typing", Type="CONTROL", Persistence=persistence
    )

    assert answer["Status"] == {"Value": "SENT"}
    assert executions(lobby, answer["MessageId"]) == 0


def test_an_edit_enters_the_flow_again(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)

    answer = lobby.edits(message_id)

    status = {"Value": "PENDING"}
    assert answered(200, answer) == {"ChannelArn": lobby.channel, "MessageId": message_id, "Status": status}
    event = processor.takes()
    assert event["ChannelMessage"]["Content"] == "edited"
    calls_back(lobby.app, event)
    assert lobby.gets(message_id, lobby.cid)["Content"] == "edited"


def test_an_edit_of_a_control_message_passes_the_flow_by(lobby: Lobby) -> None:
    message_id = lobby.sends("typing", Type="CONTROL")

    assert lobby.edits(message_id)["Status"] == {"Value": "SENT"}
    assert executions(lobby, message_id) == 0


def test_redacting_and_deleting_pass_the_flow_by(lobby: Lobby, processor: Processor) -> None:
    redacted, deleted = lobby.sent(processor), lobby.sent(processor)

    lobby.bob.redact_channel_message(ChannelArn=lobby.channel, MessageId=redacted)
    lobby.root.delete_channel_message(ChannelArn=lobby.channel, MessageId=deleted)

    assert (executions(lobby, redacted), executions(lobby, deleted)) == (1, 0)  # its creation's; gone with the message
    assert [(each["MessageId"], each["Redacted"]) for each in lobby.bob.reads(lobby.channel)] == [(redacted, True)]


@pytest.mark.parametrize("sender", ["root", "ann", "bot"])
def test_nobody_is_exempt(lobby: Lobby, processor: Processor, sender: str) -> None:
    sending: User = bot(lobby.app, "helper") if sender == "bot" else getattr(lobby, sender)
    if sender != "ann":
        lobby.ann.create_channel_membership(ChannelArn=lobby.channel, MemberArn=sending.arn, Type="DEFAULT")

    sending.sends(lobby.channel, "from above")

    name = "Helper" if sender == "bot" else sender.title()
    assert processor.takes()["ChannelMessage"]["Sender"] == {"Arn": sending.arn, "Name": name}


def test_a_targeted_message_enters_and_its_processor_is_not_told_for_whom_it_is(
    lobby: Lobby, processor: Processor
) -> None:
    with lobby.ann.connects() as ann, lobby.bob.connects() as bob, lobby.cid.connects() as cid:
        lobby.sends("psst", Target=[{"MemberArn": lobby.cid.arn}])
        event = processor.takes()
        calls_back(lobby.app, event)

        assert event["ChannelMessage"].keys() == KEYS
        assert [each.type for each in lobby.heard(ann)] == []
        assert [each.type for each in lobby.heard(cid)][:1] == ["CREATE_CHANNEL_MESSAGE"]
        assert [each.type for each in lobby.heard(bob)][:2] == [
            "PENDING_CREATE_CHANNEL_MESSAGE",
            "CREATE_CHANNEL_MESSAGE",
        ]


def test_the_answer_does_not_wait_for_the_processor(lobby: Lobby, processor: Processor) -> None:
    processor.answers.clear()

    message_id = lobby.sends()

    processor.takes()
    assert lobby.status(message_id) == {"Value": "PENDING"}


# What processors are handed


def test_the_event_of_a_message_with_nothing_optional(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends("grüß dich")

    event = processor.takes()

    created = ms(lobby.gets(message_id)["CreatedTimestamp"])
    assert event == {
        "EventType": "CHANNEL_MESSAGE_EVENT",
        "CallbackId": event["CallbackId"],
        "ChannelMessage": {
            "MessageId": message_id,
            "ChannelArn": lobby.channel,
            "Content": "grüß dich",
            "Sender": {"Arn": lobby.bob.arn, "Name": "Bob"},
            "Persistence": "PERSISTENT",
            "Type": "STANDARD",
            "CreatedTimestamp": iso(created),
        },
    }
    assert re.fullmatch("[0-9a-f]{64}", event["CallbackId"])
    assert ISO.fullmatch(event["ChannelMessage"]["CreatedTimestamp"])


FULL: dict[str, Any] = {
    "Metadata": '{"k":1}',
    "PushNotification": {"Title": "Lobby", "Body": "Bob wrote", "Type": "DEFAULT"},
    "MessageAttributes": {"mention": {"StringValues": ["cid"]}},
    "ContentType": "text/plain",
}


def test_metadata_and_push_notification_are_handed_over_if_there_are_any_and_no_more(
    lobby: Lobby, processor: Processor
) -> None:
    lobby.sends("hello", **FULL)

    message = processor.takes()["ChannelMessage"]

    assert message.keys() == KEYS | {"Metadata", "PushNotification"}
    assert (message["Metadata"], message["PushNotification"]) == (FULL["Metadata"], FULL["PushNotification"])


def test_the_setting_for_it_adds_what_the_original_leaves_out(tmp_path: Path, processor: Processor) -> None:
    with running(tmp_path, **{"flows.extended_payload": True}) as server:
        lobby = Lobby.of(App(server), processor.arn)

        lobby.sends("hello", Target=[{"MemberArn": lobby.cid.arn}], **FULL)

        message = processor.takes()["ChannelMessage"]
        assert message["Target"] == [{"MemberArn": lobby.cid.arn}]
        assert {name: message[name] for name in FULL} == FULL


def test_an_edit_is_told_from_a_new_message_by_its_edited_timestamp_alone(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor, Metadata="m")
    created = ms(lobby.gets(message_id)["CreatedTimestamp"])

    lobby.edits(message_id)

    event = processor.takes()
    message = event["ChannelMessage"]
    assert event["EventType"] == "CHANNEL_MESSAGE_EVENT"
    assert message.keys() == KEYS | {"Metadata", "LastEditedTimestamp"}
    assert (message["Content"], message["Metadata"]) == ("edited", "m")
    assert message["CreatedTimestamp"] == iso(created)
    assert ISO.fullmatch(message["LastEditedTimestamp"])
    assert message["LastEditedTimestamp"] == iso(ms(lobby.gets(message_id)["LastEditedTimestamp"]))


def test_the_event_has_the_senders_name_at_that_time(lobby: Lobby, processor: Processor) -> None:
    lobby.app.identity.update_app_instance_user(AppInstanceUserArn=lobby.bob.arn, Name="Robert", Metadata="")

    lobby.sends()

    assert processor.takes()["ChannelMessage"]["Sender"]["Name"] == "Robert"


def test_every_execution_has_a_callback_id_of_its_own(lobby: Lobby, processor: Processor) -> None:
    for number in range(5):
        lobby.sends(f"message {number}")

    assert len({processor.takes()["CallbackId"] for _ in range(5)}) == 5
