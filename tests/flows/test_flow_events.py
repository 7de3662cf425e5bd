"""What sessions hear of a message on its way, its times, and what a repeated request does (spec/channel-flows.md §10
to §12)."""

from pathlib import Path

import pytest

from campana.api.base import iso
from tests.flows.lobby import Lobby, told
from tests.harness import App, Processor, Session, User, calls_back, running
from tests.operations.helpers import ms, rows


class Everybody:
    """A session each of the sender, another member, the moderator (a member), and the admin (none)."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby
        self.sender, self.member, self.moderator = (each.connects() for each in (lobby.bob, lobby.cid, lobby.ann))
        self.admin = lobby.root.connects()

    def __enter__(self) -> "Everybody":
        return self

    def __exit__(self, *exception: object) -> None:
        for session in (self.sender, self.member, self.moderator, self.admin):
            session.close()

    def heard(self, *, sender: list[tuple[str, str, str]], members: list[tuple[str, str, str]]) -> None:
        """Assert that this is all that was heard so far; the admin, who is no member, heard nothing."""
        lobby = self._lobby
        assert told(lobby.heard(self.sender)) == sender
        assert told(lobby.heard(self.member)) == members
        assert told(lobby.heard(self.moderator)) == members
        personal = lobby.root.makes_channel()
        assert [each.payload["ChannelArn"] for each in self.admin.until("CREATE_CHANNEL_MEMBERSHIP")] == [personal]


PENDING = ("PENDING_CREATE_CHANNEL_MESSAGE", "hello", "PENDING")
PENDING_EDIT = ("PENDING_UPDATE_CHANNEL_MESSAGE", "edited", "PENDING")


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_message_that_passes(lobby: Lobby, processor: Processor, persistence: str) -> None:
    with Everybody(lobby) as everybody:
        lobby.sends(Persistence=persistence)
        event = processor.takes()
        everybody.heard(sender=[PENDING], members=[])

        calls_back(lobby.app, event, Content="changed")

        sent = ("CREATE_CHANNEL_MESSAGE", "changed", "SENT")
        everybody.heard(sender=[sent], members=[sent])


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_message_that_is_denied(lobby: Lobby, processor: Processor, persistence: str) -> None:
    with Everybody(lobby) as everybody:
        lobby.sends(Persistence=persistence)
        calls_back(lobby.app, processor.takes(), deny=True, Content="changed")

        everybody.heard(sender=[PENDING, ("DENIED_CREATE_CHANNEL_MESSAGE", "hello", "DENIED")], members=[])


@pytest.mark.parametrize("persistence", ["PERSISTENT", "NON_PERSISTENT"])
def test_a_message_that_fails(app: App, processor: Processor, persistence: str) -> None:
    unreachable = Processor()
    unreachable.status = 500
    lobby = Lobby.of(app, processor.arn, unreachable.arn)
    with Everybody(lobby) as everybody, lobby.bob.connects() as second_session:
        lobby.sends(Persistence=persistence)
        calls_back(app, processor.takes(), Content="changed")

        failed = second_session.until("FAILED_CREATE_CHANNEL_MESSAGE")[-1].payload
        assert failed["Status"] == {"Value": "FAILED", "Detail": "The processor answered 500."}
        everybody.heard(sender=[PENDING, ("FAILED_CREATE_CHANNEL_MESSAGE", "hello", "FAILED")], members=[])
    unreachable.close()


@pytest.mark.parametrize("outcome", ["passes", "is denied", "fails"])
def test_an_edit(lobby: Lobby, processor: Processor, outcome: str) -> None:
    message_id = lobby.sent(processor)
    with Everybody(lobby) as everybody, lobby.bob.connects() as second_session:
        processor.status = 500 if outcome == "fails" else 200
        lobby.edits(message_id)
        event = processor.takes()
        match outcome:
            case "passes":
                calls_back(lobby.app, event, Content="changed")
                sent = ("UPDATE_CHANNEL_MESSAGE", "changed", "SENT")
                everybody.heard(sender=[PENDING_EDIT, sent], members=[sent])
            case "is denied":
                calls_back(lobby.app, event, deny=True)
                denied = ("DENIED_UPDATE_CHANNEL_MESSAGE", "edited", "DENIED")
                everybody.heard(sender=[PENDING_EDIT, denied], members=[])
            case "fails":
                second_session.until("FAILED_UPDATE_CHANNEL_MESSAGE")
                failed = ("FAILED_UPDATE_CHANNEL_MESSAGE", "edited", "FAILED")
                everybody.heard(sender=[PENDING_EDIT, failed], members=[])


def test_the_payload_is_the_whole_message_each_time(lobby: Lobby, processor: Processor) -> None:
    more = {
        "Metadata": "m",
        "ContentType": "text/plain",
        "MessageAttributes": {"mention": {"StringValues": ["cid"]}},
        "Target": [{"MemberArn": lobby.cid.arn}],
    }
    with lobby.bob.connects() as bob:
        message_id = lobby.sends(**more)
        calls_back(lobby.app, processor.takes())
        lobby.edits(message_id)
        calls_back(lobby.app, processor.takes(), deny=True)

        events = lobby.heard(bob)
    assert len(events) == 4
    for event in events:
        edited = {"LastEditedTimestamp"} if "UPDATE" in event.type else set()
        assert event.message_type == "STANDARD"
        assert event.payload.keys() == edited | {
            *("ChannelArn", "MessageId", "Content", "Type", "CreatedTimestamp", "LastUpdatedTimestamp", "Sender"),
            *("Redacted", "Persistence", "Status"),
            *more,
        }
        assert {name: event.payload[name] for name in more} == more
        assert event.payload["Sender"] == {"Arn": lobby.bob.arn, "Name": "Bob"}


def test_every_session_of_the_sender_hears_the_same(lobby: Lobby, processor: Processor) -> None:
    sessions = [lobby.bob.connects() for _ in range(3)]
    lobby.sends()
    calls_back(lobby.app, processor.takes(), deny=True)

    for session in sessions:
        assert [kind for kind, _, _ in told(lobby.heard(session))] == [
            "PENDING_CREATE_CHANNEL_MESSAGE",
            "DENIED_CREATE_CHANNEL_MESSAGE",
        ]
        session.close()


@pytest.mark.parametrize("outcome", ["pass", "deny"])
def test_a_targeted_message_is_released_to_sender_and_target(lobby: Lobby, processor: Processor, outcome: str) -> None:
    with lobby.bob.connects() as bob, lobby.cid.connects() as cid, lobby.ann.connects() as ann:
        lobby.sends("psst", Target=[{"MemberArn": lobby.cid.arn}])
        calls_back(lobby.app, processor.takes(), deny=outcome == "deny")

        def kinds(session: Session) -> list[str]:
            return [each.type for each in lobby.heard(session)]

        ending = {"pass": "CREATE_CHANNEL_MESSAGE", "deny": "DENIED_CREATE_CHANNEL_MESSAGE"}[outcome]
        assert kinds(bob) == ["PENDING_CREATE_CHANNEL_MESSAGE", ending]
        assert kinds(cid) == ([ending] if outcome == "pass" else [])
        assert kinds(ann) == []


# Times


def test_a_message_keeps_the_time_it_was_sent_and_is_updated_when_it_is_released(
    tmp_path: Path, processor: Processor
) -> None:
    with running(tmp_path) as server:
        lobby = Lobby.of(App(server), processor.arn)
        with lobby.cid.connects() as cid:
            message_id = lobby.sends()
            event = processor.takes()
            pending = lobby.gets(message_id)
            assert pending["CreatedTimestamp"] == pending["LastUpdatedTimestamp"]

            server.clock.advance(ms=10_000)
            calls_back(lobby.app, event)

            sent = lobby.gets(message_id)
            assert sent["CreatedTimestamp"] == pending["CreatedTimestamp"]
            assert ms(sent["LastUpdatedTimestamp"]) >= ms(sent["CreatedTimestamp"]) + 10_000
            assert "LastEditedTimestamp" not in sent
            payload = cid.next().payload
            assert payload["CreatedTimestamp"] == iso(ms(sent["CreatedTimestamp"]))
            assert payload["LastUpdatedTimestamp"] == iso(ms(sent["LastUpdatedTimestamp"]))


def test_an_edit_has_the_time_it_was_asked_for_and_is_updated_when_it_is_released(
    tmp_path: Path, processor: Processor
) -> None:
    with running(tmp_path) as server:
        lobby = Lobby.of(App(server), processor.arn)
        message_id = lobby.sent(processor)
        first = lobby.gets(message_id)
        server.clock.advance(ms=10_000)
        lobby.edits(message_id)
        event = processor.takes()
        edited_at = lobby.gets(message_id)["LastEditedTimestamp"]

        server.clock.advance(ms=10_000)
        calls_back(lobby.app, event)

        second = lobby.gets(message_id)
        assert second["CreatedTimestamp"] == first["CreatedTimestamp"]
        assert second["LastEditedTimestamp"] == edited_at
        assert ms(edited_at) >= ms(first["LastUpdatedTimestamp"]) + 10_000
        assert ms(second["LastUpdatedTimestamp"]) >= ms(edited_at) + 10_000


# Repeated requests


def test_a_repeated_send_gets_the_first_answer_and_does_not_enter_the_flow_again(
    lobby: Lobby, processor: Processor
) -> None:
    def send(user: User) -> tuple[str, str]:
        answer = user.send_channel_message(
            ChannelArn=lobby.channel,
            Content="once",
            Type="STANDARD",
            Persistence="PERSISTENT",
            ClientRequestToken="one-and-the-same",
        )
        return answer["MessageId"], answer["Status"]["Value"]

    with lobby.bob.connects() as bob:
        first = send(lobby.bob)
        assert send(lobby.bob) == first

        calls_back(lobby.app, processor.takes())
        assert send(lobby.bob) == first  # as it was: PENDING

        assert [each.type for each in lobby.heard(bob)] == ["PENDING_CREATE_CHANNEL_MESSAGE", "CREATE_CHANNEL_MESSAGE"]
    assert rows(lobby.server, "executions", channel_arn=lobby.channel) == 1
    assert first[1] == "PENDING"
    assert send(lobby.cid)[0] != first[0]  # another's token is another token


def test_a_repeated_send_after_the_denial_gets_the_first_answer_too(lobby: Lobby, processor: Processor) -> None:
    members = {
        "ChannelArn": lobby.channel,
        "Content": "once",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": "one-and-the-same",
    }
    first = lobby.bob.send_channel_message(**members)
    calls_back(lobby.app, processor.takes(), deny=True)

    again = lobby.bob.send_channel_message(**members)

    assert again["MessageId"] == first["MessageId"]
    assert lobby.lists() == []
    assert rows(lobby.server, "executions", channel_arn=lobby.channel) == 0
