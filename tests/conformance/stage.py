"""Live sessions of everybody who could hear an event, and a way to know who heard what.

That somebody hears nothing is proved by what comes after: a marker message to all of them, behind which nothing of the
event may follow.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from tests.conformance import answers, model
from tests.conformance.sessions import Event, Session
from tests.conformance.target import MESSAGING
from tests.conformance.world import User, World

PAYLOADS = {
    "CHANNEL_MESSAGE": "ChannelMessage",
    "CHANNEL": "Channel",
    "CHANNEL_MEMBERSHIP": "ChannelMembership",
}
"""Shapes of payloads, by how the event's type ends."""

ALWAYS = {
    "ChannelMessage": {
        "ChannelArn", "MessageId", "Content", "Type", "Persistence", "CreatedTimestamp", "LastUpdatedTimestamp",
        "Sender", "Redacted", "Status",
    },
    "Channel": {"Name", "ChannelArn", "Mode", "Privacy", "CreatedBy", "CreatedTimestamp", "LastUpdatedTimestamp"},
    "ChannelMembership": {
        "InvitedBy", "Type", "Member", "ChannelArn", "CreatedTimestamp", "LastUpdatedTimestamp",
    },
    "BatchChannelMemberships": {"InvitedBy", "Type", "Members", "ChannelArn"},
}  # fmt: skip
"""What clients read of a payload."""

LISTENERS = (
    "host", "sender", "member", "target", "hidden", "moderator", "admin", "outsider", "banned", "removed", "newcomer",
)  # fmt: skip
MEMBERS = frozenset({"host", "sender", "sender again", "member", "target", "hidden"})
AUDIENCE = frozenset({"sender", "sender again", "target"})
"""Of a targeted message."""
SENDER = frozenset({"sender", "sender again"})
MODERATING = frozenset({"host"})
"""Moderators who are members."""

Heard = Mapping[str, list[Event]]


class Stage:
    """An app instance with one user for each part, all of them connected, the sender twice.

    `host` makes all channels, and so is member and moderator; `moderator` moderates without being a member; `admin` is
    an admin, `outsider` nothing; `banned` and `removed` were members; `stranger` is a user of another app instance.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = world.app_instance("events")
        self.users = {name: world.user(name, app=self.app) for name in LISTENERS if name != "admin"}
        self.users["admin"] = world.new_admin("admin", app=self.app)
        self.users["stranger"] = world.stranger
        self._stack = ExitStack()
        self.sessions: dict[str, Session] = {}
        self._everybody = self._marker_channel(self.users["host"], *LISTENERS)
        self._strangers = world.stranger.create_channel(AppInstanceArn=world.other_app, Name="strangers")["ChannelArn"]
        for name, user in self.users.items():
            self.connect(name, user)
        self.connect("sender again", self.users["sender"])
        self._markers = 0
        self._mine: set[str] = set()
        self.heard("", {})

    def __getattr__(self, name: str) -> User:
        try:
            return self.users[name]
        except KeyError:
            raise AttributeError(name) from None

    def connect(self, name: str, user: User, **parameters: str) -> Session:
        """Another listener, until the end."""
        self.sessions[name] = self._stack.enter_context(user.connects(**parameters))
        return self.sessions[name]

    def close(self) -> None:
        self._stack.close()

    def _marker_channel(self, host: User, *names: str) -> str:
        arn: str = host.create_channel(AppInstanceArn=self.app, Name="everybody")["ChannelArn"]
        arns = [self.users[name].arn for name in names if name != "host"]
        host.batch_create_channel_membership(ChannelArn=arn, MemberArns=arns)
        return arn

    def channel(self, **more: Any) -> str:
        """A new channel in which everybody has the part of their name; what was heard of its making is forgotten."""
        given = {
            "AppInstanceArn": self.app,
            "Name": "stage",
            "MemberArns": [self.users[name].arn for name in ("sender", "member", "target", "banned", "removed")],
            "ModeratorArns": [self.moderator.arn],
            **more,
        }
        arn: str = self.host.create_channel(**given)["ChannelArn"]
        self.host.create_channel_membership(ChannelArn=arn, MemberArn=self.hidden.arn, Type="HIDDEN")
        self.host.create_channel_ban(ChannelArn=arn, MemberArn=self.banned.arn)
        self.host.delete_channel_membership(ChannelArn=arn, MemberArn=self.removed.arn)
        self.forget()
        self._mine.add(arn)
        return arn

    @cached_property
    def room(self) -> str:
        """Such a channel, for messages."""
        return self.channel()

    @cached_property
    def guarded(self) -> str:
        """Such a channel, whose messages the world's processor sees first."""
        channel = self.channel()
        self.guard(channel)
        return channel

    def guard(self, channel: str) -> None:
        """From now on the processor sees the channel's messages first."""
        self.host.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=self.flow)
        self.forget()

    @cached_property
    def flow(self) -> str:
        """The channel flow of the world's processor."""
        return self.world.new_flow(self.world.processor.arn, within=self.app)

    def forget(self) -> None:
        """Read away all that was heard so far."""
        mine, self._mine = self._mine, set()
        self.heard("", {})
        self._mine = mine

    def heard(self, channel: str, expected: Mapping[str, int]) -> Heard:
        """What each listener hears of a channel: at least as many events as expected, and all before a marker."""
        self._markers += 1
        marker = f"marker {self._markers}"
        everybody = {"Content": marker, "Type": "STANDARD", "Persistence": "NON_PERSISTENT"}
        self.host.send_channel_message(ChannelArn=self._everybody, **everybody)
        self.stranger.send_channel_message(ChannelArn=self._strangers, **everybody)
        return {name: self._read(name, channel, marker, expected.get(name, 0)) for name in self.sessions}

    def _read(self, name: str, channel: str, marker: str, number: int) -> list[Event]:
        events: list[Event] = []
        marked = False
        while not marked or len(events) < number:
            event = self.sessions[name].next()
            check(event)
            if event.payload.get("Content") == marker:
                marked = True
            elif event.concerns(channel):
                events.append(event)
            else:  # what was not to be heard, and came behind the marker
                assert not self._mine.intersection(_channels_of(event)), f"{name} heard, too late, {event}"
        return events


def _channels_of(event: Event) -> set[Any]:
    return {event.payload.get("ChannelArn"), event.payload.get("Channel", {}).get("ChannelArn")}


def types(heard: Heard) -> dict[str, list[str]]:
    """The events' types, by listener, without those who heard nothing."""
    return {name: [event.type for event in events] for name, events in heard.items() if events}


def shape_of(event: Event) -> str | None:
    """The name of the shape that the event's payload has."""
    if event.type == "BATCH_CREATE_CHANNEL_MEMBERSHIP":
        return "BatchChannelMemberships"
    ending = event.type.rpartition("CHANNEL")[1] + event.type.rpartition("CHANNEL")[2]
    return PAYLOADS.get(ending)


def check(event: Event) -> None:
    """That the frame is of the contract: its headers, and every member of its payload."""
    shape = shape_of(event)
    if shape is None:
        return
    found = answers.problems(event.payload, model.MODELS[MESSAGING].shape_for(shape), shape, iso=True)
    assert found == [], event
    assert ALWAYS[shape] <= set(event.payload), event
    assert event.message_type == (event.payload["Type"] if shape == "ChannelMessage" else "SYSTEM"), event
