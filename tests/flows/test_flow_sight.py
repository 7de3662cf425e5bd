"""Who sees what of a message on its way, and for how long (spec/channel-flows.md §9)."""

import pytest

from tests.flows.lobby import FORBIDDEN, Lobby, refused
from tests.harness import Processor, calls_back

PENDING, SENT = {"Value": "PENDING"}, {"Value": "SENT"}
OTHERS = ("cid", "ann", "root")  # a member, the moderator, the admin


def fails(lobby: Lobby, processor: Processor) -> str:
    """A message whose processor could not be reached; its id."""
    processor.status = 503
    with lobby.bob.connects() as bob:
        message_id = lobby.sends("fails")
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")
    return message_id


def assert_hidden(lobby: Lobby, message_id: str) -> None:
    """From all but the sender, whatever they ask."""
    for name in OTHERS:
        other = getattr(lobby, name)
        with refused(403, "Forbidden", FORBIDDEN):
            lobby.gets(message_id, other)
        with refused(403, "Forbidden", FORBIDDEN):
            other.get_channel_message_status(ChannelArn=lobby.channel, MessageId=message_id)
        assert lobby.lists(other) == []


def test_a_message_on_its_way_is_its_senders_alone(lobby: Lobby) -> None:
    message_id = lobby.sends()

    assert lobby.gets(message_id)["Status"] == PENDING
    assert lobby.status(message_id) == PENDING
    assert lobby.lists() == [("hello", "PENDING")]
    assert_hidden(lobby, message_id)


def test_its_sender_sees_the_own_words_not_what_a_processor_made_of_them(lobby: Lobby) -> None:
    second = Processor()
    first = Processor()
    lobby.ann.associate_channel_flow(ChannelArn=lobby.channel, ChannelFlowArn=lobby.app.flow(first.arn, second.arn))
    message_id = lobby.sends("mine")
    calls_back(lobby.app, first.takes(), Content="changed")
    event = second.takes()

    assert (lobby.gets(message_id)["Content"], lobby.lists()) == ("mine", [("mine", "PENDING")])

    calls_back(lobby.app, event)
    assert lobby.gets(message_id)["Content"] == "changed"
    first.close()
    second.close()


def test_a_failed_message_is_its_senders_alone_and_says_why(lobby: Lobby, processor: Processor) -> None:
    message_id = fails(lobby, processor)

    failed = {"Value": "FAILED", "Detail": "The processor answered 503."}
    assert lobby.gets(message_id)["Status"] == failed
    assert lobby.status(message_id) == failed
    assert lobby.lists() == [("fails", "FAILED")]
    assert_hidden(lobby, message_id)


@pytest.mark.parametrize("who", ["bob", "ann", "root"])
def test_a_failed_message_can_be_neither_edited_nor_redacted_nor_deleted(
    lobby: Lobby, processor: Processor, who: str
) -> None:
    on_it = {"ChannelArn": lobby.channel, "MessageId": fails(lobby, processor)}
    user = getattr(lobby, who)

    with refused(403, "Forbidden", FORBIDDEN):
        user.update_channel_message(Content="edited", **on_it)
    with refused(403, "Forbidden", FORBIDDEN):
        user.redact_channel_message(**on_it)
    with refused(403, "Forbidden", FORBIDDEN):
        user.delete_channel_message(**on_it)


def test_a_message_on_its_way_for_somebody_else_is_not_even_there(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends("psst", Target=[{"MemberArn": lobby.cid.arn}])

    with refused(404, "NotFound"):
        lobby.gets(message_id, lobby.ann)
    with refused(403, "Forbidden", FORBIDDEN):
        lobby.gets(message_id, lobby.cid)  # it is for cid, but not yet

    calls_back(lobby.app, processor.takes())
    assert lobby.gets(message_id, lobby.cid)["Content"] == "psst"
    with refused(404, "NotFound"):
        lobby.gets(message_id, lobby.ann)


def test_a_message_that_is_not_kept_is_there_while_it_is_on_its_way(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sends(Persistence="NON_PERSISTENT")

    assert lobby.gets(message_id)["Status"] == PENDING
    assert lobby.status(message_id) == PENDING
    assert lobby.lists() == []
    assert_hidden(lobby, message_id)

    calls_back(lobby.app, processor.takes())
    with refused(404, "NotFound"):
        lobby.gets(message_id)
    with refused(403, "Forbidden", FORBIDDEN):
        lobby.status(message_id)


def test_a_message_that_is_not_kept_can_still_fail(lobby: Lobby, processor: Processor) -> None:
    processor.status = 503
    with lobby.bob.connects() as bob:
        message_id = lobby.sends(Persistence="NON_PERSISTENT")
        bob.until("FAILED_CREATE_CHANNEL_MESSAGE")

    assert lobby.status(message_id)["Value"] == "FAILED"
    assert lobby.lists() == []


def test_while_an_edit_is_on_its_way_others_see_what_was_sent(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor, "first")
    sent = lobby.gets(message_id)

    lobby.edits(message_id, "second", Metadata="m")

    seen = lobby.gets(message_id)
    assert (seen["Content"], seen["Metadata"], seen["Status"]) == ("second", "m", PENDING)
    assert "LastEditedTimestamp" in seen
    assert (lobby.status(message_id), lobby.lists()) == (PENDING, [("second", "PENDING")])
    for name in OTHERS:
        other = getattr(lobby, name)
        assert lobby.gets(message_id, other) == sent
        assert lobby.lists(other) == [("first", "SENT")]
        with refused(403, "Forbidden", FORBIDDEN):
            other.get_channel_message_status(ChannelArn=lobby.channel, MessageId=message_id)


def test_after_a_failed_edit_everybody_sees_what_was_sent_and_the_status_tells_its_sender(
    lobby: Lobby, processor: Processor
) -> None:
    message_id = lobby.sent(processor, "first")
    sent = lobby.gets(message_id)
    processor.status = 503
    with lobby.bob.connects() as bob:
        lobby.edits(message_id, "second")
        bob.until("FAILED_UPDATE_CHANNEL_MESSAGE")

    for name in ("bob", *OTHERS):
        assert lobby.gets(message_id, getattr(lobby, name)) == sent
        assert lobby.lists(getattr(lobby, name)) == [("first", "SENT")]
    assert lobby.status(message_id)["Value"] == "FAILED"

    processor.status = 200
    processor.events.queue.clear()
    lobby.edits(message_id, "third")
    calls_back(lobby.app, processor.takes())
    assert (lobby.status(message_id), lobby.lists()) == (SENT, [("third", "SENT")])


def test_nobody_is_told_the_status_of_somebody_elses_message(lobby: Lobby, processor: Processor) -> None:
    message_id = lobby.sent(processor)

    assert lobby.status(message_id) == SENT
    for name in OTHERS:
        with refused(403, "Forbidden", FORBIDDEN):
            getattr(lobby, name).get_channel_message_status(ChannelArn=lobby.channel, MessageId=message_id)


def test_a_message_counts_as_new_when_it_is_released(lobby: Lobby, processor: Processor) -> None:
    def last_message() -> object:
        channel = lobby.cid.describe_channel(ChannelArn=lobby.channel)["Channel"]
        return channel.get("LastMessageTimestamp")

    message_id = lobby.sends()
    event = processor.takes()
    assert last_message() is None

    calls_back(lobby.app, event)
    released = lobby.gets(message_id)["LastUpdatedTimestamp"]
    assert last_message() == released

    lobby.sent(processor, Persistence="NON_PERSISTENT")
    lobby.sends("denied")
    calls_back(lobby.app, processor.takes(), deny=True)
    lobby.edits(message_id)
    calls_back(lobby.app, processor.takes())
    assert last_message() == released
