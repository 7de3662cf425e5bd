"""Prefetch over real sockets: which channels a new session is handed, what of them, and at whose pace."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from campana.operations import channel_details
from campana.server.websocket import Socket
from campana.store import messages
from campana.store.database import Tx
from campana.store.memberships import Place
from tests.elastic.hall import Hall
from tests.harness import PATIENCE_S, App, Processor, RunningServer, Session, User, connect_url, running
from tests.operations.helpers import ms

ON = {"prefetch-on": "connect"}
CHANNELS, MESSAGES, MEMBERSHIPS = 3, 3, 2
WAITING_MAX = 8


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that hands out little, and lets few live events wait for a slow client."""
    few = {
        "sessions.prefetch_channels": CHANNELS,
        "sessions.prefetch_messages": MESSAGES,
        "sessions.prefetch_memberships": MEMBERSHIPS,
        "sessions.queue_frames_max": WAITING_MAX,
    }
    with running(tmp_path_factory.mktemp("prefetch"), **few) as server:
        yield server


@pytest.fixture
def app(small: RunningServer) -> App:
    return App(small)


def handed(user: User, **parameters: str) -> list[dict[str, Any]]:
    """The payloads of all CHANNEL_DETAILS of a new session of the user."""
    with user.connects(**parameters) as session:
        user.app.server.run(prefetched(user.app.server))
        marker = user.makes_channel()
        heard = session.until("CREATE_CHANNEL_MEMBERSHIP", ChannelArn=marker)[:-1]
        user.delete_channel(ChannelArn=marker)
    assert {(event.type, event.message_type) for event in heard} <= {("CHANNEL_DETAILS", "SYSTEM")}
    return [event.payload for event in heard]


async def prefetched(server: RunningServer) -> None:
    """No session of the server has something to be handed any more."""
    for connecting in [*server.server._sockets._connecting]:
        await asyncio.wait([connecting])


def channels_of(details: list[dict[str, Any]]) -> set[str]:
    found = [each["Channel"]["ChannelArn"] for each in details]
    assert len(found) == len(set(found))
    return set(found)


# Which channels


def test_of_sixty_channels_the_fifty_with_the_latest_messages(server: RunningServer) -> None:
    ann = App(server).user("ann")
    channels = [ann.makes_channel() for _ in range(60)]
    spoken = channels[::-1][:55]
    for channel in spoken:
        ann.sends(channel, "hello")

    details = handed(ann, **ON, **{"prefetch-sort-by": "last-message-timestamp"})

    assert channels_of(details) == set(spoken[-50:])
    assert {each["ChannelMessages"][0]["Content"] for each in details} == {"hello"}


@pytest.fixture
def read_and_unread(app: App) -> tuple[User, list[str]]:
    """Ann, and her channels: read and never spoken in; unread, three of them; read, with the latest messages."""
    ann = app.user("ann")
    silent, marked_too_early, never_marked, unread, read, read_last = channels = [ann.makes_channel() for _ in range(6)]
    ann.update_channel_read_marker(ChannelArn=silent)
    ann.update_channel_read_marker(ChannelArn=marked_too_early)
    for channel in (unread, never_marked, marked_too_early, read, read_last):
        app.server.clock.advance(ms=2)
        ann.sends(channel, "hello")
    app.server.clock.advance(ms=2)
    for channel in (read, read_last):
        ann.update_channel_read_marker(ChannelArn=channel)
    return ann, channels


@pytest.mark.parametrize("order", [{}, {"prefetch-sort-by": "unread"}, {"prefetch-sort-by": "by-whatever"}])
def test_channels_with_unread_messages_come_first(
    read_and_unread: tuple[User, list[str]], order: dict[str, str]
) -> None:
    ann, [_, marked_too_early, never_marked, unread, _, _] = read_and_unread

    assert channels_of(handed(ann, **ON, **order)) == {marked_too_early, never_marked, unread}


def test_or_those_with_the_latest_messages(read_and_unread: tuple[User, list[str]]) -> None:
    ann, [_, marked_too_early, _, _, read, read_last] = read_and_unread

    found = handed(ann, **ON, **{"prefetch-sort-by": "last-message-timestamp"})

    assert channels_of(found) == {marked_too_early, read, read_last}


@pytest.mark.parametrize("parameters", [{}, {"prefetch-on": "CONNECT"}, {"prefetch-sort-by": "unread"}])
def test_who_does_not_ask_gets_nothing(app: App, parameters: dict[str, str]) -> None:
    ann = app.user("ann")
    ann.makes_channel()

    assert handed(ann, **parameters) == []


def test_a_channel_left_in_between_is_skipped(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = app.users("ann", "bob")
    left, kept = bob.makes_channel(), ann.makes_channel()
    chosen = channel_details.places
    monkeypatch.setattr(
        channel_details, "places", lambda *arguments: [Place(left, ""), *chosen(*arguments), Place(left + "x", "")]
    )

    assert channels_of(handed(ann, **ON)) == {kept}


# What of them


def test_the_newest_messages_and_the_first_members_of_a_channel(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid], Metadata="about", Privacy="PUBLIC")
    ids = [ann.sends(channel, f"number {n}", Metadata="m", ContentType="text/plain") for n in range(4)]
    bob.update_channel_read_marker(ChannelArn=channel)

    [details] = handed(bob, **ON)

    [newest, *_] = shown = details.pop("ChannelMessages")
    assert [each["MessageId"] for each in shown] == ids[:0:-1]
    at = newest["CreatedTimestamp"]
    assert newest == {
        "MessageId": ids[3],
        "Content": "number 3",
        "Metadata": "m",
        "Type": "STANDARD",
        "CreatedTimestamp": at,
        "LastUpdatedTimestamp": at,
        "Sender": {"Arn": ann.arn, "Name": "Ann"},
        "Redacted": False,
        "Status": {"Value": "SENT"},
        "ContentType": "text/plain",
    }
    [listed] = bob.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
    read_until = listed["AppInstanceUserMembershipSummary"]["ReadMarkerTimestamp"]
    assert details.pop("ReadMarkerTimestamp").endswith(f"{ms(read_until) % 60_000 / 1000:06.3f}Z")
    assert details == {
        "Channel": {
            "Name": "Lobby",
            "ChannelArn": channel,
            "Mode": "RESTRICTED",
            "Privacy": "PUBLIC",
            "Metadata": "about",
            "LastMessageTimestamp": at,
        },
        "ChannelMemberships": [
            {"Member": {"Arn": ann.arn, "Name": "Ann"}},
            {"Member": {"Arn": bob.arn, "Name": "Bob"}},
        ],
        "ChannelMessagesHasMore": True,
    }


def test_an_empty_channel_is_handed_too(app: App) -> None:
    ann = app.user("ann")
    ann.makes_channel()

    [details] = handed(ann, **ON)

    assert (details["ChannelMessages"], details["ChannelMessagesHasMore"]) == ([], False)
    assert "ReadMarkerTimestamp" not in details


def test_only_what_the_user_would_be_listed(app: App, processor: Processor) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid])
    ann.sends(channel, "for bob", Target=[{"MemberArn": bob.arn}])
    ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=app.flow(processor.arn))
    ann.sends(channel, "pending")
    processor.takes()

    def contents(user: User) -> list[str]:
        [details] = handed(user, **ON)
        return [each["Content"] for each in details["ChannelMessages"]]

    assert contents(ann) == ["pending", "for bob"]
    assert contents(bob) == ["for bob"]
    assert contents(cid) == []


def test_what_retention_hides_is_not_handed_out(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    ann.sends(channel, "old")
    app.identity.put_app_instance_retention_settings(
        AppInstanceArn=app.arn, AppInstanceRetentionSettings={"ChannelRetentionSettings": {"RetentionDays": 1}}
    )
    app.server.writes(
        lambda tx: tx.run(
            "UPDATE messages SET created_at = created_at - 86400001 WHERE channel_arn = :channel", channel=channel
        )
    )

    [details] = handed(ann, **ON)

    assert (details["ChannelMessages"], details["ChannelMessagesHasMore"]) == ([], False)


def test_hidden_members_are_handed_their_channels_and_are_not_listed_in_them(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="HIDDEN")
    ann.sends(channel, "hello")

    [details] = handed(bob, **ON)

    assert [each["Content"] for each in details["ChannelMessages"]] == ["hello"]
    assert [each["Member"]["Name"] for each in details["ChannelMemberships"]] == ["Ann"]


def test_of_an_elastic_channel_the_users_sub_channel(app: App) -> None:
    hall = Hall.of(app)
    rooms = hall.two_rooms()
    rooms.in_first[0].sends(hall.channel, "in the first", SubChannelId=rooms.first)
    rooms.in_second[0].sends(hall.channel, "in the second", SubChannelId=rooms.second)
    for sub_channel in (rooms.first, rooms.second):
        hall.joins(hall.mod, sub_channel)

    [details] = handed(rooms.in_first[1], **ON)
    of_moderator = handed(hall.mod, **ON)

    assert details["SubChannelId"] == rooms.first
    assert [each["Content"] for each in details["ChannelMessages"]] == ["in the first"]
    assert details["Channel"]["LastMessageTimestamp"] == details["ChannelMessages"][0]["CreatedTimestamp"]
    assert [each["Member"]["Name"] for each in details["ChannelMemberships"]] == ["U00", "U01"]
    assert "ReadMarkerTimestamp" not in details
    assert {each["SubChannelId"] for each in of_moderator} == {rooms.first, rooms.second}


# At whose pace


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a client's socket takes no more."""
    event = threading.Event()
    pause = Socket.pause_writing

    def paused(self: Socket) -> None:
        pause(self)
        event.set()

    monkeypatch.setattr(Socket, "pause_writing", paused)
    return event


class SlowClient:
    """A session that has asked for prefetch and does not read until it is told to."""

    def __init__(self, user: User) -> None:
        url = connect_url(user.app.server.url, user.arn, **ON)
        host, port = url.removeprefix("ws://").partition("/")[0].split(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        opening = websocket(url, sock=connection, compression=None, max_size=None, max_queue=1)
        self.socket: ClientConnection = opening.__enter__()

    def types(self, number: int) -> list[str]:
        frames = [json.loads(self.socket.recv(timeout=PATIENCE_S)) for _ in range(number)]
        return [frame["Headers"]["x-amz-chime-event-type"] for frame in frames]


@pytest.fixture
def loud(app: App) -> User:
    """A user whose channels hold so much that no buffer takes it, were it sent at once."""
    ann = app.user("ann")
    channels = [ann.makes_channel() for _ in range(40)]

    def fill(tx: Tx) -> None:
        for channel in channels:
            sent = messages.page(
                tx, channel, "", not_before=0, not_after=2**53, descending=True, after=None, limit=1
            ).rows[0]
            huge = "\u0001" * 4_096  # seven bytes each in JSON within JSON
            for n in range(20):
                tx.run(
                    "INSERT INTO messages SELECT :id || substr(id, 4), channel_arn, sub_channel_id, sender_arn, type,"
                    " persistence, status, status_detail, :huge, metadata, content_type, message_attributes,"
                    " push_notification, target_arn, created_at, updated_at, edited_at, redacted_at"
                    " FROM messages WHERE id = :sent",
                    id=f"x{n:02}",
                    sent=sent.id,
                    huge=huge,
                )

    for channel in channels:
        ann.sends(channel, "hello")
    app.server.writes(fill)
    return ann


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch, small: RunningServer) -> int:
    """The server hands out 40 channels with 20 messages each: 23 MB."""
    prefetch = small.server._sessions._prefetch
    monkeypatch.setattr(prefetch, "_sizes", channel_details.Sizes(channels=40, messages=20, memberships=30))
    return 40


def test_a_slow_client_gets_all_of_it_and_what_happens_meanwhile(
    loud: User, much: int, stalled: threading.Event
) -> None:
    client = SlowClient(loud)
    assert stalled.wait(PATIENCE_S)
    loud.makes_channel()

    heard = client.types(1 + much + 1)

    assert heard[0] == "SESSION_ESTABLISHED"
    assert sorted(heard[1:]) == ["CHANNEL_DETAILS"] * much + ["CREATE_CHANNEL_MEMBERSHIP"]
    assert heard[-1] == "CHANNEL_DETAILS"  # what happened did not wait for the rest
    client.socket.close()


def test_one_that_is_too_slow_for_what_happens_is_closed_all_the_same(
    loud: User, much: int, stalled: threading.Event
) -> None:
    client = SlowClient(loud)
    assert stalled.wait(PATIENCE_S)
    for _ in range(WAITING_MAX + 1):
        loud.makes_channel()

    assert Session.closed(client) == 1013  # type: ignore[arg-type]


def test_nothing_waits_for_a_client_that_has_gone(loud: User, much: int, stalled: threading.Event) -> None:
    client = SlowClient(loud)
    assert stalled.wait(PATIENCE_S)
    server = loud.app.server
    assert len(server.server._sockets._connecting) == 1

    client.socket.socket.close()

    server.run(prefetched(server))
    assert len(server.server._sessions) == 0
