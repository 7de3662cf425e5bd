"""Channel flows: made, described, changed, deleted, associated; a message's way through a processor."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from tests.conformance.marks import choice, operation
from tests.conformance.processor import Processor
from tests.conformance.requests import GOOD, TAGS
from tests.conformance.world import Members, World, refused


@operation("CreateChannelFlow", "DescribeChannelFlow", "ListChannelFlows", "DeleteChannelFlow")
def test_a_flow_is_described_as_it_was_made(world: World) -> None:
    request = GOOD["CreateChannelFlow"][0](world)

    flow = world.api("CreateChannelFlow", request)["ChannelFlowArn"]

    found = world.api("DescribeChannelFlow", {"ChannelFlowArn": flow})["ChannelFlow"]
    assert flow.startswith(f"{world.app}/channel-flow/")
    assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    shown = {"ChannelFlowArn": flow, "Name": request["Name"], "Processors": request["Processors"]}
    assert {name: value for name, value in found.items() if not name.endswith("Timestamp")} == shown
    assert shown in world.api("ListChannelFlows", {"AppInstanceArn": world.app})["ChannelFlows"]
    assert world.api("ListTagsForResource", {"ResourceARN": flow})["Tags"] == TAGS
    assert world.api("DeleteChannelFlow", {"ChannelFlowArn": flow}) == {}
    with refused("Forbidden"):
        world.api("DescribeChannelFlow", {"ChannelFlowArn": flow})


@operation("UpdateChannelFlow", "DescribeChannelFlow")
def test_a_flow_is_replaced_as_a_whole(world: World) -> None:
    flow = world.new_flow()
    arn = world.target.resource("PROCESSOR_ARN")
    processors = world.processors(arn, arn, fallback="CONTINUE")

    answer = world.api("UpdateChannelFlow", {"ChannelFlowArn": flow, "Name": "other", "Processors": processors})

    found = world.api("DescribeChannelFlow", {"ChannelFlowArn": flow})["ChannelFlow"]
    world.api("DeleteChannelFlow", {"ChannelFlowArn": flow})
    assert answer == {"ChannelFlowArn": flow}
    assert (found["Name"], found["Processors"]) == ("other", processors)
    assert found["LastUpdatedTimestamp"] > found["CreatedTimestamp"]


@operation("AssociateChannelFlow", "DisassociateChannelFlow", "ListChannelsAssociatedWithChannelFlow")
def test_a_flow_is_associated_and_disassociated(world: World) -> None:
    flow = world.new_flow()
    channel = world.ann.makes_channel(Metadata="m", Privacy="PRIVATE", Mode="RESTRICTED")
    both = {"ChannelArn": channel, "ChannelFlowArn": flow}

    assert world.ann.associate_channel_flow(**both) == {}

    assert world.ann.describe_channel(ChannelArn=channel)["Channel"]["ChannelFlowArn"] == flow
    assert world.api("ListChannelsAssociatedWithChannelFlow", {"ChannelFlowArn": flow}) == {
        "Channels": [
            {"ChannelArn": channel, "Name": "Lobby", "Mode": "RESTRICTED", "Privacy": "PRIVATE", "Metadata": "m"}
        ]
    }
    assert world.ann.disassociate_channel_flow(**both) == {}
    assert "ChannelFlowArn" not in world.ann.describe_channel(ChannelArn=channel)["Channel"]
    world.api("DeleteChannelFlow", {"ChannelFlowArn": flow})


@operation("AssociateChannelFlow")
@choice("another association replaces the first")
def test_a_channel_has_one_flow(world: World) -> None:
    first, second = world.new_flow(), world.new_flow()
    channel = world.ann.makes_channel()
    for flow in (first, second):
        world.ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)

    assert world.ann.describe_channel(ChannelArn=channel)["Channel"]["ChannelFlowArn"] == second
    world.api("DeleteChannelFlow", {"ChannelFlowArn": first})


def _pending(world: World, **more: Any) -> tuple[Members, Members]:
    """A message of Ann's that waits, and what the processor was told."""
    answer = world.ann.send_channel_message(
        **{
            "ChannelArn": world.guarded,
            "Content": "hello",
            "Type": "STANDARD",
            "Persistence": "PERSISTENT",
            "Metadata": "m",
            **more,
        }
    )
    event = world.processor.takes()
    assert answer["Status"] == {"Value": "PENDING"}
    return {"ChannelArn": world.guarded, "MessageId": answer["MessageId"]}, event


def _answers(world: World, event: Members, *, deny: bool = False, **changes: Any) -> Members:
    return world.api(
        "ChannelFlowCallback",
        {
            "CallbackId": event["CallbackId"],
            "ChannelArn": event["ChannelMessage"]["ChannelArn"],
            "DeleteResource": deny,
            "ChannelMessage": {"MessageId": event["ChannelMessage"]["MessageId"], **changes},
        },
    )


@operation("SendChannelMessage")
def test_a_processor_is_told_of_a_message(world: World, processor: Processor) -> None:
    message, event = _pending(world)

    _answers(world, event)

    told = dict(event["ChannelMessage"])
    assert event["EventType"] == "CHANNEL_MESSAGE_EVENT"
    assert 32 <= len(event["CallbackId"]) <= 64
    assert isinstance(told.pop("CreatedTimestamp"), str)
    assert told == {
        **message,
        "Content": "hello",
        "Metadata": "m",
        "Sender": world.ann.identity,
        "Persistence": "PERSISTENT",
        "Type": "STANDARD",
    }


@operation("ChannelFlowCallback", "GetChannelMessage", "ListChannelMessages", "GetChannelMessageStatus")
def test_nobody_but_the_sender_sees_a_message_that_waits(world: World) -> None:
    message, event = _pending(world)

    assert world.ann.get_channel_message_status(**message) == {"Status": {"Value": "PENDING"}}
    assert world.ann.get_channel_message(**message)["ChannelMessage"]["Status"] == {"Value": "PENDING"}
    for user in (world.bob, world.admin):
        with refused("Forbidden"):
            user.get_channel_message(**message)
        listed = user.list_channel_messages(ChannelArn=world.guarded)["ChannelMessages"]
        assert message["MessageId"] not in [each["MessageId"] for each in listed]

    answer = _answers(world, event)

    assert answer == {"ChannelArn": world.guarded, "CallbackId": event["CallbackId"]}
    assert world.ann.get_channel_message_status(**message) == {"Status": {"Value": "SENT"}}
    assert world.bob.get_channel_message(**message)["ChannelMessage"]["Content"] == "hello"


@operation("ChannelFlowCallback")
def test_a_processor_can_change_a_message(world: World) -> None:
    message, event = _pending(world)
    changes = {
        "Content": "h****",
        "Metadata": "n",
        "ContentType": "text/html",
        "MessageAttributes": {"mention": {"StringValues": ["bob"]}},
    }

    _answers(world, event, **changes)

    found = world.bob.get_channel_message(**message)["ChannelMessage"]
    assert {name: found[name] for name in changes} == changes
    assert "LastEditedTimestamp" not in found


@operation("ChannelFlowCallback", "GetChannelMessage", "GetChannelMessageStatus")
@choice("a message that was denied is not there any more: Forbidden, or NotFound where the model has it")
def test_a_denied_message_is_gone(world: World) -> None:
    message, event = _pending(world)

    _answers(world, event, deny=True)

    with refused("Forbidden"):
        world.ann.get_channel_message_status(**message)
    for user in (world.ann, world.bob):
        with refused("NotFound"):
            user.get_channel_message(**message)


@operation("ChannelFlowCallback", "UpdateChannelMessage")
def test_an_edit_waits_while_others_see_the_last_revision(world: World) -> None:
    message, event = _pending(world)
    _answers(world, event)

    answer = world.ann.update_channel_message(**message, Content="hi")
    event = world.processor.takes()

    assert answer == {**message, "Status": {"Value": "PENDING"}}
    assert "LastEditedTimestamp" in event["ChannelMessage"]
    assert world.bob.get_channel_message(**message)["ChannelMessage"]["Content"] == "hello"
    _answers(world, event)
    assert world.bob.get_channel_message(**message)["ChannelMessage"]["Content"] == "hi"


@operation("ChannelFlowCallback", "UpdateChannelMessage")
def test_a_denied_edit_leaves_the_last_revision(world: World) -> None:
    message, event = _pending(world)
    _answers(world, event)
    world.ann.update_channel_message(**message, Content="hi")

    _answers(world, world.processor.takes(), deny=True)

    for user in (world.ann, world.bob):
        found = user.get_channel_message(**message)["ChannelMessage"]
        assert (found["Content"], found["Status"]) == ("hello", {"Value": "SENT"})


@operation("SendChannelMessage")
def test_control_messages_pass_by_the_processor(world: World) -> None:
    answer = world.ann.send_channel_message(
        ChannelArn=world.guarded, Content="typing", Type="CONTROL", Persistence="PERSISTENT"
    )

    assert answer["Status"] == {"Value": "SENT"}


@operation("ChannelFlowCallback")
def test_a_callback_counts_once(world: World) -> None:
    _, event = _pending(world)
    _answers(world, event)

    with refused("BadRequest"):
        _answers(world, event)

    _, event = _pending(world)
    _answers(world, event, deny=True)

    with refused("Forbidden"):
        _answers(world, event)


@operation("ChannelFlowCallback")
def test_of_callbacks_at_once_one_counts(world: World) -> None:
    _, event = _pending(world)

    def answer(number: int) -> str:
        try:
            _answers(world, event, Content=f"number {number}")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "accepted"

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(answer, range(4)))

    assert outcomes.count("accepted") == 1
    assert set(outcomes) <= {"accepted", "ConflictException", "BadRequestException"}


@operation("ChannelFlowCallback", "CreateChannelFlow")
def test_processors_see_a_message_one_after_the_other(world: World, processor: Processor) -> None:
    flow = world.new_flow(world.processor.arn, processor.arn)
    channel = world.ann.makes_channel()
    world.ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
    message = {"ChannelArn": channel, "MessageId": world.ann.sends(channel, "one")}

    _answers(world, world.processor.takes(), Content="two")
    event = processor.takes()
    assert event["ChannelMessage"]["Content"] == "two"
    assert world.ann.get_channel_message_status(**message) == {"Status": {"Value": "PENDING"}}
    _answers(world, event, Content="three")

    assert world.ann.get_channel_message(**message)["ChannelMessage"]["Content"] == "three"


@operation("SendChannelMessage", "CreateChannelFlow")
def test_a_processor_that_cannot_be_reached_may_be_passed_over(world: World, processor: Processor) -> None:
    flow = world.new_flow("http://127.0.0.1:1/nobody", processor.arn, fallback="CONTINUE")
    channel = world.ann.makes_channel()
    world.ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
    message = {"ChannelArn": channel, "MessageId": world.ann.sends(channel)}

    event = processor.takes()  # the second one is asked
    _answers(world, event)

    assert world.ann.get_channel_message_status(**message) == {"Status": {"Value": "SENT"}}


@operation("SendChannelMessage", "ChannelFlowCallback")
def test_a_message_of_a_sub_channel_passes_the_flow_of_its_channel(world: World) -> None:
    event = world.held_event(elastic=True)
    told = event["ChannelMessage"]
    message = {name: told[name] for name in ("ChannelArn", "MessageId", "SubChannelId")}

    _answers(world, event, SubChannelId=told["SubChannelId"])

    assert told["SubChannelId"] == world.sub_channel
    assert world.bob.get_channel_message_status(**message) == {"Status": {"Value": "SENT"}}
