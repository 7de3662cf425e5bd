"""Messages: sent, read, listed, edited, redacted, deleted; targeted ones, and those of sub-channels."""

from datetime import timedelta
from typing import Any

from tests.conformance.marks import choice, operation
from tests.conformance.requests import GOOD
from tests.conformance.world import Members, User, World, refused


def read(user: User, channel: str, message_id: str, **more: Any) -> Members:
    found: Members = user.get_channel_message(ChannelArn=channel, MessageId=message_id, **more)["ChannelMessage"]
    return found


def without_times(shape: Members) -> Members:
    return {name: value for name, value in shape.items() if not name.endswith("Timestamp")}


def contents(user: User, channel: str, **more: Any) -> list[str]:
    listed = user.list_channel_messages(ChannelArn=channel, **more)["ChannelMessages"]
    return [message["Content"] for message in listed]


@operation("SendChannelMessage", "GetChannelMessage", "ListChannelMessages", "GetChannelMessageStatus")
def test_a_message_is_read_as_it_was_sent(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    request = {**GOOD["SendChannelMessage"][0](world), "ChannelArn": channel}

    answer = world.api("SendChannelMessage", request)

    message = {"ChannelArn": channel, "MessageId": answer["MessageId"]}
    sent = {
        name: request[name] for name in ("Content", "Metadata", "Type", "MessageAttributes", "ContentType", "Target")
    }
    expected = {
        "MessageId": answer["MessageId"],
        "Sender": world.ann.identity,
        "Redacted": False,
        "Status": {"Value": "SENT"},
        **sent,
    }
    assert answer == {**message, "Status": {"Value": "SENT"}}
    for user in (world.ann, world.bob):
        found = read(user, channel, answer["MessageId"])
        assert without_times(found) == {**expected, "ChannelArn": channel, "Persistence": "PERSISTENT"}
        assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    listed = world.bob.list_channel_messages(ChannelArn=channel)
    assert listed["ChannelArn"] == channel
    assert [without_times(each) for each in listed["ChannelMessages"]] == [expected]
    assert world.ann.get_channel_message_status(**message) == {"Status": {"Value": "SENT"}}


@operation("SendChannelMessage", "DescribeChannel")
def test_a_message_moves_the_time_of_the_last_one(world: World) -> None:
    channel = world.ann.makes_channel()
    assert "LastMessageTimestamp" not in world.ann.describe_channel(ChannelArn=channel)["Channel"]

    message_id = world.ann.sends(channel)

    last = world.ann.describe_channel(ChannelArn=channel)["Channel"]["LastMessageTimestamp"]
    assert last == read(world.ann, channel, message_id)["CreatedTimestamp"]


@operation("SendChannelMessage", "ListChannelMessages", "GetChannelMessage")
def test_what_is_not_persistent_is_not_kept(world: World) -> None:
    channel = world.ann.makes_channel()

    message_id = world.ann.sends(channel, Persistence="NON_PERSISTENT")

    assert contents(world.ann, channel) == []
    with refused("NotFound"):
        read(world.ann, channel, message_id)


@operation("SendChannelMessage", "ListChannelMessages")
def test_control_messages_are_kept_if_persistent(world: World) -> None:
    channel = world.ann.makes_channel()

    world.ann.sends(channel, "typing", Type="CONTROL")

    (message,) = world.ann.list_channel_messages(ChannelArn=channel)["ChannelMessages"]
    assert (message["Type"], message["Content"]) == ("CONTROL", "typing")


@operation("ListChannelMessages")
@choice("NotBefore and NotAfter are inclusive")
def test_messages_are_listed_between_two_times(world: World) -> None:
    channel = world.ann.makes_channel()
    ids = [world.ann.sends(channel, f"number {number}") for number in range(4)]
    times = [read(world.ann, channel, id)["CreatedTimestamp"] for id in ids]
    assert times == sorted(set(times)), "the service gave two messages one time"
    moment = timedelta(milliseconds=1)

    assert contents(world.ann, channel, NotBefore=times[1], NotAfter=times[2]) == ["number 2", "number 1"]
    assert contents(world.ann, channel, NotBefore=times[1] + moment, NotAfter=times[3] - moment) == ["number 2"]
    assert contents(world.ann, channel, NotAfter=times[0], SortOrder="ASCENDING") == ["number 0"]
    assert contents(world.ann, channel, NotBefore=times[3] + moment) == []


@operation("UpdateChannelMessage", "GetChannelMessage")
def test_a_message_can_be_edited_by_its_sender(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    message = {"ChannelArn": channel, "MessageId": world.bob.sends(channel, Metadata="m", ContentType="a/b")}
    before = read(world.bob, **_of(message))

    answer = world.bob.update_channel_message(**message, Content="hi", Metadata="n", ContentType="c/d")

    after = read(world.ann, **_of(message))
    assert answer == {**message, "Status": {"Value": "SENT"}}
    assert (after["Content"], after["Metadata"], after["ContentType"]) == ("hi", "n", "c/d")
    assert after["LastEditedTimestamp"] == after["LastUpdatedTimestamp"] > before["CreatedTimestamp"]
    assert after["CreatedTimestamp"] == before["CreatedTimestamp"]


def _of(message: Members) -> Members:
    return {"channel": message["ChannelArn"], "message_id": message["MessageId"]}


@operation("UpdateChannelMessage")
@choice("what is left out of an edit stays")
def test_what_is_left_out_of_an_edit_stays(world: World) -> None:
    more = {"Metadata": "m", "ContentType": "a/b", "MessageAttributes": {"mention": {"StringValues": ["bob"]}}}
    message = {"ChannelArn": world.room, "MessageId": world.ann.sends(world.room, **more)}

    world.ann.update_channel_message(**message, Content="hi")

    found = read(world.ann, **_of(message))
    assert {name: found[name] for name in more} == more


@operation("RedactChannelMessage", "GetChannelMessage", "ListChannelMessages")
def test_a_redacted_message_is_empty_and_stays(world: World) -> None:
    channel = world.ann.makes_channel(world.bob, ModeratorArns=[world.mod.arn])
    for redacting in (world.bob, world.mod, world.admin):
        message = {"ChannelArn": channel, "MessageId": world.bob.sends(channel, Metadata="m")}

        assert redacting.redact_channel_message(**message) == message

        found = read(world.bob, **_of(message))
        (listed, *_) = world.bob.list_channel_messages(ChannelArn=channel)["ChannelMessages"]
        for shown in (found, listed):
            assert shown["Redacted"] is True
            assert not shown.get("Content")
            assert not shown.get("Metadata")


@operation("DeleteChannelMessage", "GetChannelMessage", "ListChannelMessages")
def test_a_deleted_message_is_gone(world: World) -> None:
    channel = world.ann.makes_channel()
    message = {"ChannelArn": channel, "MessageId": world.ann.sends(channel)}

    assert world.admin.delete_channel_message(**message) == {}

    assert contents(world.ann, channel) == []
    with refused("NotFound"):
        read(world.ann, **_of(message))


@operation(
    "SendChannelMessage", "GetChannelMessage", "ListChannelMessages", "RedactChannelMessage", "DeleteChannelMessage"
)
def test_a_targeted_message_is_between_two(world: World) -> None:
    target, other = world.user(), world.user()
    channel = world.ann.makes_channel(world.bob, target, other, ModeratorArns=[world.mod.arn])
    message_id = world.bob.sends(channel, "between us", Target=[{"MemberArn": target.arn}])
    message = {"ChannelArn": channel, "MessageId": message_id}

    for user in (world.bob, target):
        assert contents(user, channel) == ["between us"]
        assert read(user, channel, message_id)["Target"] == [{"MemberArn": target.arn}]
    for user in (world.ann, other, world.mod, world.admin):
        assert contents(user, channel) == []
        with refused("NotFound", "Forbidden"):
            read(user, channel, message_id)
    with refused("Forbidden"):
        world.mod.redact_channel_message(**message)
    assert world.admin.delete_channel_message(**message) == {}  # unseen
    assert contents(target, channel) == []


@operation("SendChannelMessage")
def test_hidden_members_admins_and_moderators_cannot_send(world: World) -> None:
    hidden = world.user()
    channel = world.ann.makes_channel(ModeratorArns=[world.mod.arn], Privacy="PUBLIC")
    world.ann.create_channel_membership(ChannelArn=channel, MemberArn=hidden.arn, Type="HIDDEN")

    for user in (hidden, world.mod, world.admin, world.eve):
        with refused("Forbidden"):
            user.sends(channel)


@operation("SendChannelMessage")
def test_a_bot_can_send(world: World) -> None:
    channel = world.ann.makes_channel()
    world.ann.create_channel_membership(ChannelArn=channel, MemberArn=world.bot.arn, Type="DEFAULT")

    message_id = world.bot.sends(channel)

    assert read(world.ann, channel, message_id)["Sender"] == world.bot.identity


@operation("DescribeChannel", "ListChannelMessages", "ListChannelMemberships", "GetChannelMessage")
def test_a_public_channel_can_be_read_by_everybody_of_the_app(world: World) -> None:
    message_id = world.ann.sends(world.square)

    assert world.eve.describe_channel(ChannelArn=world.square)["Channel"]["ChannelArn"] == world.square
    assert message_id in [
        each["MessageId"] for each in world.eve.list_channel_messages(ChannelArn=world.square)["ChannelMessages"]
    ]
    assert read(world.eve, world.square, message_id)["MessageId"] == message_id
    assert world.eve.list_channel_memberships(ChannelArn=world.square)["ChannelMemberships"]
    for call in (world.stranger.describe_channel, world.stranger.list_channel_messages):
        with refused("Forbidden"):
            call(ChannelArn=world.square)


@operation("SendChannelMessage", "GetChannelMessage")
@choice("the name of a sender is the one that they have now")
def test_names_are_the_current_ones(world: World) -> None:
    user = world.user()
    channel = world.ann.makes_channel(user)
    message_id = user.sends(channel)

    world.api("UpdateAppInstanceUser", {"AppInstanceUserArn": user.arn, "Name": "Renamed", "Metadata": ""})

    assert read(world.ann, channel, message_id)["Sender"] == {"Arn": user.arn, "Name": "Renamed"}


@operation(
    "SendChannelMessage",
    "GetChannelMessage",
    "ListChannelMessages",
    "GetChannelMessageStatus",
    "UpdateChannelMessage",
    "RedactChannelMessage",
    "DeleteChannelMessage",
)
def test_messages_of_a_sub_channel(world: World) -> None:
    sub = {"ChannelArn": world.elastic, "SubChannelId": world.sub_channel}

    answer = world.bob.send_channel_message(**sub, Content="hello", Type="STANDARD", Persistence="PERSISTENT")

    message = {**sub, "MessageId": answer["MessageId"]}
    sent = {"Status": {"Value": "SENT"}}
    assert answer == {**message, **sent}
    found = world.bob.get_channel_message(**message)["ChannelMessage"]
    assert (found["Content"], found["SubChannelId"]) == ("hello", world.sub_channel)
    listed = world.ann.list_channel_messages(**sub)
    assert (listed["SubChannelId"], listed["ChannelMessages"][0]["MessageId"]) == (
        world.sub_channel,
        message["MessageId"],
    )
    assert world.bob.get_channel_message_status(**message) == sent
    assert world.bob.update_channel_message(**message, Content="hi") == {**message, **sent}
    assert world.bob.redact_channel_message(**message) == message
    assert world.admin.delete_channel_message(**message) == {}
    with refused("NotFound"):
        world.bob.get_channel_message(**message)
