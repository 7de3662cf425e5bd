"""Who hears of what: every live event, and everybody who must hear it or must not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.marks import choice, operation
from tests.conformance.stage import AUDIENCE, MEMBERS, MODERATING, SENDER, Heard, Stage, types
from tests.conformance.world import User, World


@pytest.fixture(scope="module")
def stage(world: World) -> Iterator[Stage]:
    stage = Stage(world)
    yield stage
    stage.close()


Act = Callable[[Stage], tuple[str, Callable[[], Any]]]
"""Prepares, and gives the channel that it is about and what is to be done there."""


@dataclass(frozen=True)
class Scene:
    """Something is done; these events are heard, by these listeners and by nobody else."""

    act: Act
    events: dict[str, frozenset[str]]
    operations: tuple[str, ...]
    choice: str | None = None


def scene(*operations: str, reason: str | None = None, **events: frozenset[str]) -> Callable[[Act], Act]:
    """Registers a scene."""

    def register(act: Act) -> Act:
        SCENES.append(Scene(act, events, operations, reason))
        return act

    return register


SCENES: list[Scene] = []


# Messages


def _sent(stage: Stage, **more: Any) -> dict[str, Any]:
    return {"ChannelArn": stage.room, "MessageId": stage.sender.sends(stage.room, **more)}


def _to_target(stage: Stage) -> dict[str, Any]:
    return {"Target": [{"MemberArn": stage.target.arn}]}


@scene("SendChannelMessage", CREATE_CHANNEL_MESSAGE=MEMBERS)
def a_message(stage: Stage) -> Any:
    return stage.room, lambda: stage.sender.sends(stage.room)


@scene("SendChannelMessage", CREATE_CHANNEL_MESSAGE=MEMBERS)
def a_message_that_is_not_kept(stage: Stage) -> Any:
    return stage.room, lambda: stage.sender.sends(stage.room, Persistence="NON_PERSISTENT")


@scene("SendChannelMessage", CREATE_CHANNEL_MESSAGE=MEMBERS)
def a_control_message(stage: Stage) -> Any:
    return stage.room, lambda: stage.sender.sends(stage.room, "typing", Type="CONTROL")


@scene("SendChannelMessage", CREATE_CHANNEL_MESSAGE=AUDIENCE)
def a_targeted_message(stage: Stage) -> Any:
    return stage.room, lambda: stage.sender.sends(stage.room, **_to_target(stage))


@scene("UpdateChannelMessage", UPDATE_CHANNEL_MESSAGE=MEMBERS)
def an_edit(stage: Stage) -> Any:
    message = _sent(stage)
    return stage.room, lambda: stage.sender.update_channel_message(**message, Content="hi")


@scene("UpdateChannelMessage", UPDATE_CHANNEL_MESSAGE=AUDIENCE)
def an_edit_of_a_targeted_message(stage: Stage) -> Any:
    message = _sent(stage, **_to_target(stage))
    return stage.room, lambda: stage.sender.update_channel_message(**message, Content="hi")


@scene("RedactChannelMessage", REDACT_CHANNEL_MESSAGE=MEMBERS)
def a_redaction(stage: Stage) -> Any:
    message = _sent(stage)
    return stage.room, lambda: stage.sender.redact_channel_message(**message)


@scene("RedactChannelMessage", REDACT_CHANNEL_MESSAGE=MEMBERS)
def a_redaction_by_a_moderator(stage: Stage) -> Any:
    message = _sent(stage)
    return stage.room, lambda: stage.moderator.redact_channel_message(**message)


@scene("RedactChannelMessage", REDACT_CHANNEL_MESSAGE=AUDIENCE)
def a_redaction_of_a_targeted_message(stage: Stage) -> Any:
    message = _sent(stage, **_to_target(stage))
    return stage.room, lambda: stage.sender.redact_channel_message(**message)


@scene("RedactChannelMessage", reason="a second redaction is no event")
def a_second_redaction(stage: Stage) -> Any:
    message = _sent(stage)
    stage.sender.redact_channel_message(**message)
    return stage.room, lambda: stage.sender.redact_channel_message(**message)


@scene("DeleteChannelMessage", DELETE_CHANNEL_MESSAGE=MEMBERS)
def a_deletion_of_a_message(stage: Stage) -> Any:
    message = _sent(stage)
    return stage.room, lambda: stage.admin.delete_channel_message(**message)


@scene("DeleteChannelMessage", DELETE_CHANNEL_MESSAGE=AUDIENCE)
def a_deletion_of_a_targeted_message(stage: Stage) -> Any:
    message = _sent(stage, **_to_target(stage))
    return stage.room, lambda: stage.admin.delete_channel_message(**message)


# Messages that a processor sees first


def _verdict(stage: Stage, **more: Any) -> None:
    event = stage.world.processor.takes()
    message = event["ChannelMessage"]
    stage.world.api(
        "ChannelFlowCallback",
        {
            "CallbackId": event["CallbackId"],
            "ChannelArn": message["ChannelArn"],
            "ChannelMessage": {"MessageId": message["MessageId"]},
            **more,
        },
    )


def _held(stage: Stage, **more: Any) -> None:
    stage.sender.sends(stage.guarded, **more)
    stage.forget()


def _held_edit(stage: Stage) -> str:
    """A channel with a message in it, and a processor that has just heard of an edit."""
    channel = stage.channel()
    message = stage.sender.sends(channel)
    stage.guard(channel)
    stage.sender.update_channel_message(ChannelArn=channel, MessageId=message, Content="hi")
    stage.forget()
    return channel


@scene("SendChannelMessage", PENDING_CREATE_CHANNEL_MESSAGE=SENDER)
def a_message_on_its_way(stage: Stage) -> Any:
    def act() -> None:
        stage.sender.sends(stage.guarded)
        stage.world.processor.takes()

    return stage.guarded, act


@scene("ChannelFlowCallback", CREATE_CHANNEL_MESSAGE=MEMBERS)
def a_message_let_through(stage: Stage) -> Any:
    _held(stage)
    return stage.guarded, lambda: _verdict(stage)


@scene("ChannelFlowCallback", CREATE_CHANNEL_MESSAGE=AUDIENCE)
def a_targeted_message_let_through(stage: Stage) -> Any:
    _held(stage, **_to_target(stage))
    return stage.guarded, lambda: _verdict(stage)


@scene("ChannelFlowCallback", DENIED_CREATE_CHANNEL_MESSAGE=SENDER)
def a_message_denied(stage: Stage) -> Any:
    _held(stage)
    return stage.guarded, lambda: _verdict(stage, DeleteResource=True)


@scene("UpdateChannelMessage", PENDING_UPDATE_CHANNEL_MESSAGE=SENDER)
def an_edit_on_its_way(stage: Stage) -> Any:
    channel = stage.channel()
    message = stage.sender.sends(channel)
    stage.guard(channel)

    def act() -> None:
        stage.sender.update_channel_message(ChannelArn=channel, MessageId=message, Content="hi")
        stage.world.processor.takes()

    return channel, act


@scene("ChannelFlowCallback", UPDATE_CHANNEL_MESSAGE=MEMBERS)
def an_edit_let_through(stage: Stage) -> Any:
    return _held_edit(stage), lambda: _verdict(stage)


@scene("ChannelFlowCallback", DENIED_UPDATE_CHANNEL_MESSAGE=SENDER)
def an_edit_denied(stage: Stage) -> Any:
    return _held_edit(stage), lambda: _verdict(stage, DeleteResource=True)


@scene(
    "SendChannelMessage",
    "UpdateChannelMessage",
    PENDING_CREATE_CHANNEL_MESSAGE=SENDER,
    PENDING_UPDATE_CHANNEL_MESSAGE=SENDER,
    FAILED_CREATE_CHANNEL_MESSAGE=SENDER,
    FAILED_UPDATE_CHANNEL_MESSAGE=SENDER,
)
def messages_whose_processor_fails(stage: Stage) -> Any:
    channel = stage.channel()
    message = stage.sender.sends(channel)
    assert stage.world.processor  # or skip: only who calls this machine accepts such an ARN
    flow = stage.world.new_flow("http://127.0.0.1:1/nobody", within=stage.app)
    stage.host.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
    stage.forget()

    def act() -> None:
        stage.sender.sends(channel)
        stage.sender.update_channel_message(ChannelArn=channel, MessageId=message, Content="hi")

    return channel, act


# Channels


@scene("UpdateChannel", UPDATE_CHANNEL=MEMBERS)
def a_channel_changed(stage: Stage) -> Any:
    return stage.room, lambda: stage.moderator.update_channel(ChannelArn=stage.room, Name="hall")


@scene("AssociateChannelFlow", UPDATE_CHANNEL=MEMBERS, reason="a channel's flow is a detail of it")
def a_flow_associated(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=stage.flow)


@scene("DisassociateChannelFlow", UPDATE_CHANNEL=MEMBERS, reason="a channel's flow is a detail of it")
def a_flow_disassociated(stage: Stage) -> Any:
    channel = stage.channel()
    stage.guard(channel)
    return channel, lambda: stage.host.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=stage.flow)


@scene("DeleteChannel", DELETE_CHANNEL=MEMBERS)
def a_channel_deleted(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.delete_channel(ChannelArn=channel)


# Memberships


@scene("CreateChannelMembership", CREATE_CHANNEL_MEMBERSHIP=MEMBERS | {"newcomer"})
def a_member_added(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.create_channel_membership(
        ChannelArn=channel, MemberArn=stage.newcomer.arn, Type="DEFAULT"
    )


@scene("CreateChannelMembership", CREATE_CHANNEL_MEMBERSHIP=MEMBERS | {"newcomer"})
def a_member_who_joins(stage: Stage) -> Any:
    channel = stage.channel(Privacy="PUBLIC")
    return channel, lambda: stage.newcomer.create_channel_membership(
        ChannelArn=channel, MemberArn=stage.newcomer.arn, Type="DEFAULT"
    )


@scene(
    "CreateChannelMembership",
    CREATE_CHANNEL_MEMBERSHIP=MODERATING | {"newcomer"},
    reason="of HIDDEN members, they themselves hear and moderators who are members",
)
def a_hidden_member_added(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.create_channel_membership(
        ChannelArn=channel, MemberArn=stage.newcomer.arn, Type="HIDDEN"
    )


@scene("BatchCreateChannelMembership", BATCH_CREATE_CHANNEL_MEMBERSHIP=MEMBERS | {"newcomer", "outsider"})
def members_added_together(stage: Stage) -> Any:
    channel = stage.channel()
    arns = [stage.newcomer.arn, stage.outsider.arn]
    return channel, lambda: stage.host.batch_create_channel_membership(ChannelArn=channel, MemberArns=arns)


@scene("DeleteChannelMembership", DELETE_CHANNEL_MEMBERSHIP=MEMBERS)
def a_member_who_leaves(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.member.delete_channel_membership(ChannelArn=channel, MemberArn=stage.member.arn)


@scene("DeleteChannelMembership", DELETE_CHANNEL_MEMBERSHIP=MEMBERS)
def a_member_removed(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.moderator.delete_channel_membership(ChannelArn=channel, MemberArn=stage.member.arn)


@scene(
    "DeleteChannelMembership",
    DELETE_CHANNEL_MEMBERSHIP=MODERATING | {"hidden"},
    reason="of HIDDEN members, they themselves hear and moderators who are members",
)
def a_hidden_member_removed(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.delete_channel_membership(ChannelArn=channel, MemberArn=stage.hidden.arn)


@scene("CreateChannelBan", DELETE_CHANNEL_MEMBERSHIP=MEMBERS)
def a_member_banned(stage: Stage) -> Any:
    channel = stage.channel()
    return channel, lambda: stage.host.create_channel_ban(ChannelArn=channel, MemberArn=stage.member.arn)


@scene(
    "DeleteAppInstanceUser",
    DELETE_CHANNEL_MEMBERSHIP=MEMBERS,
    reason="a user who is deleted leaves all channels",
)
def a_member_deleted(stage: Stage) -> Any:
    channel = stage.channel()
    user = stage.world.user(app=stage.app)
    stage.host.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT")
    stage.forget()
    return channel, lambda: stage.world.api("DeleteAppInstanceUser", {"AppInstanceUserArn": user.arn})


# What nobody hears


@scene("CreateChannelModerator", "DeleteChannelModerator")
def a_moderator_who_comes_and_goes(stage: Stage) -> Any:
    def act() -> None:
        someone = {"ChannelArn": stage.room, "ChannelModeratorArn": stage.member.arn}
        stage.host.create_channel_moderator(**someone)
        stage.host.delete_channel_moderator(**someone)

    return stage.room, act


@scene("CreateChannelBan", "DeleteChannelBan")
def a_ban_of_somebody_outside(stage: Stage) -> Any:
    def act() -> None:
        someone = {"ChannelArn": stage.room, "MemberArn": stage.outsider.arn}
        stage.host.create_channel_ban(**someone)
        stage.host.delete_channel_ban(**someone)

    return stage.room, act


@scene("UpdateChannelReadMarker", "PutChannelMembershipPreferences")
def what_a_member_keeps_for_themselves(stage: Stage) -> Any:
    def act() -> None:
        stage.member.update_channel_read_marker(ChannelArn=stage.room)
        preferences = {"PushNotifications": {"AllowNotifications": "NONE"}}
        stage.member.put_channel_membership_preferences(
            ChannelArn=stage.room, MemberArn=stage.member.arn, Preferences=preferences
        )

    return stage.room, act


@scene("PutChannelExpirationSettings", "TagResource", "UntagResource", "UpdateAppInstanceUser")
def what_concerns_nobody_in_the_channel(stage: Stage) -> Any:
    def act() -> None:
        stage.host.put_channel_expiration_settings(ChannelArn=stage.room)
        stage.world.api("TagResource", {"ResourceARN": stage.room, "Tags": [{"Key": "team", "Value": "blue"}]})
        stage.world.api("UntagResource", {"ResourceARN": stage.room, "TagKeys": ["team"]})
        member = {"AppInstanceUserArn": stage.member.arn, "Name": "Member", "Metadata": ""}
        stage.world.api("UpdateAppInstanceUser", member)

    return stage.room, act


@scene("UpdateChannelFlow")
def a_flow_changed(stage: Stage) -> Any:
    request = {
        "ChannelFlowArn": stage.flow,
        "Name": "flow",
        "Processors": stage.world.processors(stage.world.processor.arn),
    }
    return stage.guarded, lambda: stage.world.api("UpdateChannelFlow", request)


@pytest.mark.parametrize("played", [
    pytest.param(
        each,
        id=each.act.__name__,
        marks=[operation(*each.operations), *([choice(each.choice)] if each.choice else [])],
    )
    for each in SCENES
])  # fmt: skip
def test_who_hears_it(stage: Stage, played: Scene) -> None:
    channel, act = played.act(stage)
    stage.forget()

    act()

    expected = {
        name: [event for event, hearing in played.events.items() if name in hearing]
        for name in stage.sessions
        if any(name in hearing for hearing in played.events.values())
    }
    heard = stage.heard(channel, {name: len(events) for name, events in expected.items()})
    found = {name: sorted(events) for name, events in types(heard).items()}
    assert found == {name: sorted(events) for name, events in expected.items()}
    payloads = {event.type: event.payload for events in heard.values() for event in events}
    for events in heard.values():
        for event in events:  # the same for all who hear it
            assert event.payload == payloads[event.type]


# What events say


def _payload(heard: Heard, name: str) -> dict[str, Any]:
    (event,) = heard[name]
    return event.payload


@operation("SendChannelMessage")
def test_a_message_event_is_the_message(stage: Stage) -> None:
    stage.forget()
    more = {
        "Metadata": "m",
        "MessageAttributes": {"mention": {"StringValues": ["bob"]}},
        "ContentType": "text/plain",
        "Target": [{"MemberArn": stage.target.arn}],
    }

    message_id = stage.sender.sends(stage.room, "hello", **more)

    payload = _payload(stage.heard(stage.room, {"target": 1}), "target")
    times = {name: payload.pop(name) for name in ("CreatedTimestamp", "LastUpdatedTimestamp")}
    assert times["CreatedTimestamp"] == times["LastUpdatedTimestamp"]
    assert payload == {
        "ChannelArn": stage.room,
        "MessageId": message_id,
        "Content": "hello",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "Sender": stage.sender.identity,
        "Redacted": False,
        "Status": {"Value": "SENT"},
        **more,
    }


@operation("UpdateChannelMessage", "RedactChannelMessage", "DeleteChannelMessage")
def test_events_of_later_changes_say_what_became_of_the_message(stage: Stage) -> None:
    message = {"ChannelArn": stage.room, "MessageId": stage.sender.sends(stage.room, "hello", Metadata="m")}
    stage.forget()

    stage.sender.update_channel_message(**message, Content="hi")
    stage.sender.redact_channel_message(**message)
    stage.admin.delete_channel_message(**message)

    edited, redacted, deleted = (event.payload for event in stage.heard(stage.room, {"member": 3})["member"])
    assert (edited["Content"], edited["Metadata"], edited["LastEditedTimestamp"]) == (
        "hi",
        "m",
        edited["LastUpdatedTimestamp"],
    )
    assert (redacted["Content"], redacted["Redacted"], "Metadata" in redacted) == ("", True, False)
    assert (deleted["MessageId"], deleted["Content"], "Metadata" in deleted) == (message["MessageId"], "", False)


@operation("SendChannelMessage", "ChannelFlowCallback")
def test_events_of_a_message_in_a_flow_say_how_it_stands(stage: Stage) -> None:
    channel = stage.guarded
    stage.forget()

    stage.sender.sends(channel, "let me through")
    _verdict(stage)
    stage.sender.sends(channel, "deny me")
    _verdict(stage, DeleteResource=True)

    events = stage.heard(channel, {"sender": 4})["sender"]
    assert [(event.type.partition("_")[0], event.payload["Content"], event.payload["Status"]) for event in events] == [
        ("PENDING", "let me through", {"Value": "PENDING"}),
        ("CREATE", "let me through", {"Value": "SENT"}),
        ("PENDING", "deny me", {"Value": "PENDING"}),
        ("DENIED", "deny me", {"Value": "DENIED"}),
    ]


@operation("UpdateChannel", "DeleteChannel")
def test_a_channel_event_is_the_channel(stage: Stage) -> None:
    channel = stage.channel(Metadata="m", Mode="RESTRICTED", Privacy="PRIVATE")
    stage.forget()

    stage.host.update_channel(ChannelArn=channel, Name="hall")
    stage.host.delete_channel(ChannelArn=channel)

    changed, deleted = (event.payload for event in stage.heard(channel, {"member": 2})["member"])
    for payload in (changed, deleted):
        assert {name: value for name, value in payload.items() if not name.endswith("Timestamp")} == {
            "ChannelArn": channel,
            "Name": "hall",
            "Mode": "RESTRICTED",
            "Privacy": "PRIVATE",
            "Metadata": "m",
            "CreatedBy": stage.host.identity,
        }


@operation("CreateChannelMembership", "DeleteChannelMembership", "BatchCreateChannelMembership")
def test_a_membership_event_says_who_and_by_whom(stage: Stage) -> None:
    channel = stage.channel()
    stage.forget()
    concerned = {"ChannelArn": channel, "MemberArn": stage.newcomer.arn}

    stage.moderator.create_channel_membership(**concerned, Type="DEFAULT")
    stage.host.delete_channel_membership(**concerned)
    stage.host.batch_create_channel_membership(ChannelArn=channel, MemberArns=[stage.newcomer.arn])

    joined, left, batch = (event.payload for event in stage.heard(channel, {"member": 3})["member"])
    for payload in (joined, left):
        assert {name: value for name, value in payload.items() if not name.endswith("Timestamp")} == {
            "ChannelArn": channel,
            "Member": stage.newcomer.identity,
            "InvitedBy": stage.moderator.identity,
            "Type": "DEFAULT",
        }
    assert batch == {
        "ChannelArn": channel,
        "Members": [stage.newcomer.identity],
        "InvitedBy": stage.host.identity,
        "Type": "DEFAULT",
    }


@choice("the first members of a channel are told, each with an event of its own")
@operation("CreateChannel")
def test_the_first_members_are_told(stage: Stage) -> None:
    stage.forget()

    first = ("sender", "member")
    arns = [stage.users[name].arn for name in first]
    channel = stage.host.create_channel(AppInstanceArn=stage.app, Name="new", MemberArns=arns)["ChannelArn"]

    heard = stage.heard(channel, {"host": 3, **dict.fromkeys(("sender", "sender again", "member"), 1)})
    assert [event.payload["Member"] for event in heard["host"]] == [
        stage.host.identity,
        *(stage.users[name].identity for name in first),
    ]
    for name in first:
        assert stage.users[name].identity in [event.payload["Member"] for event in heard[name]]
    assert {name for name, events in heard.items() if events} == {"host", "sender", "sender again", "member"}
    assert {event.type for events in heard.values() for event in events} == {"CREATE_CHANNEL_MEMBERSHIP"}


@operation("CreateChannelMembership", "DeleteChannelMembership", "SendChannelMessage")
def test_members_hear_what_is_sent_while_they_are_members(stage: Stage) -> None:
    channel = stage.channel()
    someone = {"ChannelArn": channel, "MemberArn": stage.newcomer.arn}
    stage.forget()

    stage.sender.sends(channel, "before")
    stage.host.create_channel_membership(**someone, Type="DEFAULT")
    stage.sender.sends(channel, "meanwhile")
    stage.host.delete_channel_membership(**someone)
    stage.sender.sends(channel, "after")

    events = stage.heard(channel, {"newcomer": 3, "member": 5})["newcomer"]
    assert [event.payload.get("Content", event.type) for event in events] == [
        "CREATE_CHANNEL_MEMBERSHIP",
        "meanwhile",
        "DELETE_CHANNEL_MEMBERSHIP",
    ]


@operation("SendChannelMessage")
def test_a_session_hears_each_channel_in_order(stage: Stage) -> None:
    stage.forget()

    sent = [stage.sender.sends(stage.room, f"number {number}") for number in range(20)]

    heard = stage.heard(stage.room, {"member": len(sent)})["member"]
    assert [event.payload["MessageId"] for event in heard] == sent


# Prefetch


@operation("GetMessagingSessionEndpoint")
def test_a_session_that_prefetches_gets_the_details_of_its_channels(stage: Stage) -> None:
    user = stage.world.user(app=stage.app)
    channel = stage.host.create_channel(AppInstanceArn=stage.app, Name="one", MemberArns=[user.arn])["ChannelArn"]
    sent = [stage.host.sends(channel, f"number {number}") for number in range(3)]

    with user.connects(**{"prefetch-on": "connect"}) as session:
        event = session.next()

    assert (event.type, event.message_type) == ("CHANNEL_DETAILS", "SYSTEM")
    assert event.payload["Channel"]["ChannelArn"] == channel
    assert [message["MessageId"] for message in event.payload["ChannelMessages"]] == sent[::-1]
    assert {each["Member"]["Arn"] for each in event.payload["ChannelMemberships"]} == {stage.host.arn, user.arn}
    assert event.payload["ChannelMessagesHasMore"] is False


# Elastic channels


@dataclass(frozen=True)
class Crowd:
    """An elastic channel, and its members by sub-channel."""

    channel: str
    members: list[User]
    subs: list[str]
    """The sub-channel of each member, where they joined."""


@contextmanager
def crowd(stage: Stage, number: int, *, target: int = 3) -> Iterator[Crowd]:
    """An elastic channel of `number` connected members ("m0", "m1" …); gone afterwards."""
    configuration = {
        "MaximumSubChannels": 3,
        "TargetMembershipsPerSubChannel": target,
        "MinimumMembershipPercentage": 40,
    }
    channel = stage.host.create_channel(
        AppInstanceArn=stage.app,
        Name="crowd",
        ElasticChannelConfiguration=configuration,
        ModeratorArns=[stage.moderator.arn],
    )["ChannelArn"]
    members = [stage.world.user(app=stage.app) for _ in range(number)]
    names = [f"m{place}" for place in range(number)]
    try:
        for name, user in zip(names, members, strict=True):
            stage.connect(name, user)
            stage.host.create_channel_membership(ChannelArn=stage._everybody, MemberArn=user.arn, Type="DEFAULT")
        subs = [_joins(stage, channel, user) for user in members]
        stage.forget()
        yield Crowd(channel, members, subs)
    finally:
        with suppress(ClientError):  # the test may have deleted it
            stage.admin.delete_channel(ChannelArn=channel)
        for name in names:
            stage.sessions.pop(name).close()


def _joins(stage: Stage, channel: str, user: User, **more: Any) -> str:
    answer = stage.host.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT", **more)
    return str(answer["SubChannelId"])


@operation("CreateChannelMembership", "BatchCreateChannelMembership")
def test_joining_a_sub_channel_is_heard_in_it(stage: Stage) -> None:
    with crowd(stage, 1) as made:
        newcomer = stage.newcomer
        (added,) = stage.host.batch_create_channel_membership(ChannelArn=made.channel, MemberArns=[newcomer.arn])[
            "BatchChannelMemberships"
        ]["Members"]
        _joins(stage, made.channel, stage.moderator, SubChannelId=made.subs[0])

        heard = stage.heard(made.channel, {"m0": 2, "newcomer": 2, "moderator": 1})

        assert added == newcomer.identity
        joined = ["CREATE_CHANNEL_MEMBERSHIP"]
        assert types(heard) == {"m0": joined * 2, "newcomer": joined * 2, "moderator": joined}
        assert {event.payload["SubChannelId"] for events in heard.values() for event in events} == {made.subs[0]}


@operation("SendChannelMessage", "UpdateChannelMessage", "RedactChannelMessage", "DeleteChannelMessage")
def test_messages_of_a_sub_channel_are_heard_in_it(stage: Stage) -> None:
    with crowd(stage, 4) as made:  # two and two
        first, last = made.members[0], made.members[3]
        here, there = _sub_of(stage, made, first), _sub_of(stage, made, last)
        assert here != there
        _joins(stage, made.channel, stage.host, SubChannelId=here)
        stage.forget()

        for user, sub in ((first, here), (last, there)):
            message = {"ChannelArn": made.channel, "SubChannelId": sub}
            message["MessageId"] = user.sends(made.channel, SubChannelId=sub)
            user.update_channel_message(**message, Content="hi")
            user.redact_channel_message(**message)
            stage.admin.delete_channel_message(**message)

        members = [f"m{number}" for number in range(4)]
        heard = stage.heard(made.channel, dict.fromkeys([*members, "host"], 4))
        four = [f"{what}_CHANNEL_MESSAGE" for what in ("CREATE", "UPDATE", "REDACT", "DELETE")]
        assert types(heard).keys() == {*members, "host"}
        assert all(each == four for each in types(heard).values())
        told = {name: {event.payload["SubChannelId"] for event in events} for name, events in heard.items() if events}
        assert told["m0"] == told["host"] == {here}
        assert told["m3"] == {there}
        assert sorted(sub for subs in told.values() for sub in subs).count(here) == 3  # two members and the host


def _sub_of(stage: Stage, made: Crowd, user: User) -> str:
    answer = user.describe_channel_membership_for_app_instance_user(
        ChannelArn=made.channel, AppInstanceUserArn=user.arn
    )
    return str(answer["ChannelMembership"]["AppInstanceUserMembershipSummary"]["SubChannelId"])


@operation("UpdateChannel", "DeleteChannel")
def test_what_concerns_an_elastic_channel_is_heard_in_all_of_it(stage: Stage) -> None:
    with crowd(stage, 4) as made:
        members = [f"m{number}" for number in range(4)]
        stage.host.update_channel(ChannelArn=made.channel, Name="multitude")
        stage.host.delete_channel(ChannelArn=made.channel)

        heard = types(stage.heard(made.channel, dict.fromkeys(members, 2)))

        assert heard.keys() == set(members)
        assert all(each == ["UPDATE_CHANNEL", "DELETE_CHANNEL"] for each in heard.values())


@choice("a sub-channel that is full gives its newest members to the new one")
@operation("CreateChannelMembership")
def test_a_member_who_is_moved_hears_of_it_and_nobody_else(stage: Stage) -> None:
    with crowd(stage, 3) as made:
        new = _joins(stage, made.channel, stage.newcomer)

        heard = stage.heard(made.channel, {"m2": 2, "newcomer": 1})

        assert new not in made.subs
        assert types(heard) == {
            "m2": ["UPDATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MEMBERSHIP"],
            "newcomer": ["CREATE_CHANNEL_MEMBERSHIP"],
        }
        moved = heard["m2"][0].payload
        assert (moved["SubChannelId"], moved["Member"]["Arn"]) == (new, made.members[2].arn)


@choice("a sub-channel that is too small is joined with another that has room")
@operation("DeleteChannelMembership")
def test_the_end_of_a_sub_channel_is_told_to_those_in_it(stage: Stage) -> None:
    with crowd(stage, 4) as made:
        ending, staying = _sub_of(stage, made, made.members[3]), _sub_of(stage, made, made.members[0])
        (left_over,) = [number for number in range(3) if _sub_of(stage, made, made.members[number]) == ending]
        _joins(stage, made.channel, stage.moderator, SubChannelId=ending)
        stage.forget()

        stage.host.delete_channel_membership(ChannelArn=made.channel, MemberArn=made.members[3].arn)

        heard = stage.heard(made.channel, {"m3": 1, f"m{left_over}": 2, "moderator": 2})
        left, ended, moved = (f"{what}_CHANNEL_MEMBERSHIP" for what in ("DELETE", "DELETE", "UPDATE"))
        assert types(heard) == {"m3": [left], f"m{left_over}": [left, moved], "moderator": [left, ended]}
        assert heard[f"m{left_over}"][1].payload["SubChannelId"] == staying
        assert heard["moderator"][1].headers["x-amz-chime-event-reason"] == "subchannel_DELETED"
