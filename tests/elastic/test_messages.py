from collections.abc import Callable
from typing import Any

import pytest

from tests.elastic.hall import Hall, Rooms
from tests.harness import App, Processor, User, calls_back, refused

Act = Callable[..., Any]

ON_A_MESSAGE: dict[str, Act] = {
    "send": lambda who, **to: who.send_channel_message(
        ChannelArn=to.pop("ChannelArn"), Content="x", Type="STANDARD", Persistence="PERSISTENT", **_but_message(to)
    ),
    "get": lambda who, **to: who.get_channel_message(**to),
    "status": lambda who, **to: who.get_channel_message_status(**to),
    "list": lambda who, **to: who.list_channel_messages(**_but_message(to)),
    "update": lambda who, **to: who.update_channel_message(Content="edited", **to),
    "redact": lambda who, **to: who.redact_channel_message(**to),
    "delete": lambda who, **to: who.delete_channel_message(**to),
}
"""Every operation on messages, as one who may do it calls it."""


def _but_message(to: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in to.items() if name != "MessageId"}


@pytest.fixture
def rooms(hall: Hall) -> Rooms:
    return hall.two_rooms()


# Which sub-channel


@pytest.mark.parametrize("operation", ON_A_MESSAGE)
def test_every_call_says_which_sub_channel(hall: Hall, rooms: Rooms, operation: str) -> None:
    sender = rooms.in_first[0]
    hers = {"ChannelArn": hall.channel, "MessageId": sender.sends(hall.channel, "hello", SubChannelId=rooms.first)}
    who = hall.root if operation == "delete" else sender

    with refused("BadRequest"):
        ON_A_MESSAGE[operation](who, **hers)
    with refused("Forbidden"):
        ON_A_MESSAGE[operation](who, SubChannelId="nowhere", **hers)
    if operation == "delete":  # by an admin, who is at home everywhere: there is just no such message
        hall.root.delete_channel_message(SubChannelId=rooms.second, **hers)
    else:
        with refused("Forbidden"):
            ON_A_MESSAGE[operation](who, SubChannelId=rooms.second, **hers)

    answer = ON_A_MESSAGE[operation](who, SubChannelId=rooms.first, **hers)
    echoed = answer.get("ChannelMessage", answer).get("SubChannelId")
    assert echoed == (None if operation in ("status", "delete") else rooms.first)


def test_messages_are_heard_and_read_in_their_sub_channel_alone(hall: Hall, rooms: Rooms) -> None:
    here, there = rooms.in_first[0], rooms.in_second[0]
    with rooms.in_first[1].connects() as inside, there.connects() as outside:
        sent = here.sends(hall.channel, "hello", SubChannelId=rooms.first)
        here.update_channel_message(ChannelArn=hall.channel, MessageId=sent, Content="edited", SubChannelId=rooms.first)
        here.redact_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=rooms.first)
        hall.root.delete_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=rooms.first)
        there.sends(hall.channel, "the first that is heard here", SubChannelId=rooms.second)

        events = [inside.next() for _ in range(4)]
        assert [event.type.partition("_")[0] for event in events] == ["CREATE", "UPDATE", "REDACT", "DELETE"]
        assert {event.payload["SubChannelId"] for event in events} == {rooms.first}
        assert outside.next().payload["Content"] == "the first that is heard here"


def test_moderators_and_admins_read_everywhere_and_send_only_where_they_are_members(hall: Hall, rooms: Rooms) -> None:
    sent = rooms.in_first[0].sends(hall.channel, "hello", SubChannelId=rooms.first)

    for who in (hall.mod, hall.root):
        assert [each["Content"] for each in who.reads(hall.channel, SubChannelId=rooms.first)] == ["hello"]
        assert who.reads(hall.channel, SubChannelId=rooms.second) == []
        found = who.get_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=rooms.first)
        assert found["ChannelMessage"]["Content"] == "hello"
        with refused("NotFound"):
            who.get_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=rooms.second)
        with refused("Forbidden"):
            who.sends(hall.channel, "no", SubChannelId=rooms.first)
    hall.joins(hall.mod, rooms.first)
    assert hall.mod.sends(hall.channel, "now", SubChannelId=rooms.first)
    with refused("Forbidden"):
        hall.mod.sends(hall.channel, "no", SubChannelId=rooms.second)


def test_moderators_redact_everywhere(hall: Hall, rooms: Rooms) -> None:
    sent = rooms.in_first[0].sends(hall.channel, "hello", SubChannelId=rooms.first)

    hall.mod.redact_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=rooms.first)

    assert rooms.in_first[0].reads(hall.channel, SubChannelId=rooms.first)[0]["Redacted"] is True


def test_nobody_else_reads_in_a_public_one(app: App) -> None:
    hall = Hall.of(app, Privacy="PUBLIC")
    ann, outsider = app.users("ann", "outsider")
    place = hall.joins(ann)
    sent = ann.sends(hall.channel, "hello", SubChannelId=place)

    assert outsider.describe_channel(ChannelArn=hall.channel)
    with refused("Forbidden"):
        outsider.reads(hall.channel, SubChannelId=place)
    with refused("Forbidden"):
        outsider.get_channel_message(ChannelArn=hall.channel, MessageId=sent, SubChannelId=place)


def test_after_a_transfer_a_member_reads_and_changes_nothing_in_the_old_one(hall: Hall) -> None:
    *_, moved = hall.filled(4)
    first = hall.place_of(moved)
    old = {"ChannelArn": hall.channel, "MessageId": moved.sends(hall.channel, "old", SubChannelId=first)}

    second = hall.joins(hall.app.user("new"))

    for operation in ("get", "status", "list", "update", "redact"):
        with refused("Forbidden"):
            ON_A_MESSAGE[operation](moved, SubChannelId=first, **old)
    for operation in ("status", "update", "redact"):
        with refused("Forbidden"):
            ON_A_MESSAGE[operation](moved, SubChannelId=second, **old)
    assert moved.reads(hall.channel, SubChannelId=second) == []
    assert moved.sends(hall.channel, "new", SubChannelId=second)


def test_a_targeted_message_stays_between_two_in_the_sub_channel(hall: Hall, rooms: Rooms) -> None:
    ann, bob, cid = rooms.in_second
    with bob.connects() as targets, cid.connects() as others:
        ann.sends(hall.channel, "psst", SubChannelId=rooms.second, Target=[{"MemberArn": bob.arn}])
        with refused("BadRequest"):
            ann.sends(hall.channel, "psst", SubChannelId=rooms.second, Target=[{"MemberArn": rooms.in_first[0].arn}])
        ann.sends(hall.channel, "hello", SubChannelId=rooms.second)

        assert [targets.next().payload["Content"] for _ in range(2)] == ["psst", "hello"]
        assert others.next().payload["Content"] == "hello"
    assert [each["Content"] for each in cid.reads(hall.channel, SubChannelId=rooms.second)] == ["hello"]
    assert len(bob.reads(hall.channel, SubChannelId=rooms.second)) == 2


# Times


def test_the_channel_knows_the_newest_message_of_all_and_each_member_that_of_the_own_sub_channel(app: App) -> None:
    hall = Hall.of(app, Privacy="PUBLIC")
    rooms = hall.two_rooms()
    ann, bob = rooms.in_first[0], rooms.in_second[0]
    times = {}
    for who, place in ((ann, rooms.first), (bob, rooms.second)):
        who.sends(hall.channel, "hello", SubChannelId=place)
        times[place] = who.reads(hall.channel, SubChannelId=place)[0]["CreatedTimestamp"]

    def described(who: User) -> Any:
        return who.describe_channel(ChannelArn=hall.channel)["Channel"]["LastMessageTimestamp"]

    def listed(who: User) -> Any:
        [summary] = who.list_channels(AppInstanceArn=app.arn)["Channels"]
        return summary.get("LastMessageTimestamp")

    def of_membership(who: User) -> Any:
        [one] = who.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
        return one["ChannelSummary"]["LastMessageTimestamp"]

    newest = times[rooms.second]
    assert [described(who) for who in (hall.mod, hall.root, ann, bob)] == [newest] * 4
    assert [listed(who) for who in (hall.mod, hall.root, bob)] == [newest] * 3
    assert listed(ann) == of_membership(ann) == times[rooms.first]
    assert of_membership(bob) == newest
    assert listed(app.user("outsider")) is None  # who may read none of them
    [moderated] = hall.mod.list_channels_moderated_by_app_instance_user()["Channels"]
    assert moderated["ChannelSummary"]["LastMessageTimestamp"] == newest


def test_it_expires_by_the_last_message_in_any_sub_channel(app: App) -> None:
    settings = {"ExpirationDays": 2, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"}
    hall = Hall.of(app, ExpirationSettings=settings)
    rooms = hall.two_rooms()
    hall.server.clock.advance(ms=60_000)
    rooms.in_second[0].sends(hall.channel, "hello", SubChannelId=rooms.second)
    hall.server.clock.advance(ms=-60_000)

    hall.settles_after(hours=48, ms=30_000)  # since the channel was made, and a little less since the message
    assert hall.mod.describe_channel(ChannelArn=hall.channel)["Channel"]

    hall.settles_after(hours=48, ms=90_000)
    with refused("Forbidden"):
        hall.mod.describe_channel(ChannelArn=hall.channel)


def test_retention_hides_old_messages_in_sub_channels(hall: Hall, rooms: Rooms) -> None:
    ann = rooms.in_first[0]
    ann.sends(hall.channel, "old", SubChannelId=rooms.first)
    hall.app.identity.put_app_instance_retention_settings(
        AppInstanceArn=hall.app.arn,
        AppInstanceRetentionSettings={"ChannelRetentionSettings": {"RetentionDays": 1}},
    )
    hall.server.writes(
        lambda tx: tx.run(
            "UPDATE messages SET created_at = created_at - 86400001 WHERE channel_arn = :channel", channel=hall.channel
        )
    )

    ann.sends(hall.channel, "new", SubChannelId=rooms.first)

    assert [each["Content"] for each in ann.reads(hall.channel, SubChannelId=rooms.first)] == ["new"]


# Flows


def test_processors_are_told_the_sub_channel_and_cannot_change_it(
    hall: Hall, rooms: Rooms, processor: Processor
) -> None:
    hall.mod.associate_channel_flow(ChannelArn=hall.channel, ChannelFlowArn=hall.app.flow(processor.arn))
    with rooms.in_first[1].connects() as ear:
        rooms.in_first[0].sends(hall.channel, "hello", SubChannelId=rooms.first)
        event = processor.takes()

        assert event["ChannelMessage"]["SubChannelId"] == rooms.first
        with refused("BadRequest"):
            calls_back(hall.app, event, SubChannelId=rooms.second)
        calls_back(hall.app, event, SubChannelId=rooms.first, Content="hello!")
        assert (heard := ear.next()).type == "CREATE_CHANNEL_MESSAGE"
        assert (heard.payload["Content"], heard.payload["SubChannelId"]) == ("hello!", rooms.first)


@pytest.mark.parametrize("deny", [True, False])
def test_a_sender_who_was_moved_is_told_of_a_refusal_and_not_of_a_release(
    hall: Hall, processor: Processor, deny: bool
) -> None:
    stays, _, _, moved = hall.filled(4)
    first = hall.place_of(moved)
    hall.mod.associate_channel_flow(ChannelArn=hall.channel, ChannelFlowArn=hall.app.flow(processor.arn))
    sent = moved.sends(hall.channel, "hello", SubChannelId=first)
    event = processor.takes()
    hall.joins(hall.app.user("new"))
    with moved.connects() as ear, stays.connects() as other:
        calls_back(hall.app, event, deny=deny)
        hall.mod.update_channel(ChannelArn=hall.channel, Name="H")

        heard = [(event.type, event.payload.get("MessageId")) for event in ear.until("UPDATE_CHANNEL")][:-1]
        others = [(event.type, event.payload.get("MessageId")) for event in other.until("UPDATE_CHANNEL")][:-1]
        assert heard == ([("DENIED_CREATE_CHANNEL_MESSAGE", sent)] if deny else [])
        assert others == ([] if deny else [("CREATE_CHANNEL_MESSAGE", sent)])


def test_a_sender_who_has_left_is_told_nothing(hall: Hall, processor: Processor) -> None:
    stays, leaves = hall.filled(2)
    place = hall.place_of(leaves)
    hall.mod.associate_channel_flow(ChannelArn=hall.channel, ChannelFlowArn=hall.app.flow(processor.arn))
    leaves.sends(hall.channel, "hello", SubChannelId=place)
    event = processor.takes()
    hall.leaves(leaves)
    with leaves.connects() as ear:
        calls_back(hall.app, event, deny=True)
        leaves.makes_channel()

        assert ear.next().type == "CREATE_CHANNEL_MEMBERSHIP"
    assert stays.reads(hall.channel, SubChannelId=place) == []
