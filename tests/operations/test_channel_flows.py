from pathlib import Path
from typing import Any

import pytest

from campana import limits
from tests.harness import LAMBDA, App, refused, running
from tests.operations.helpers import answered, bot, during, pages, rest_of, room_for


def processor(order: int = 1, **changes: Any) -> dict[str, Any]:
    """A processor as requests and answers have it."""
    return {
        "Name": "filter",
        "Configuration": {"Lambda": {"ResourceArn": f"{LAMBDA}filter", "InvocationType": "ASYNC"}},
        "ExecutionOrder": order,
        "FallbackAction": "ABORT",
        **changes,
    }


def of_function(arn: str) -> dict[str, Any]:
    return processor(Configuration={"Lambda": {"ResourceArn": arn, "InvocationType": "ASYNC"}})


def test_a_flow_is_created_described_updated_and_listed(app: App) -> None:
    messaging, two = app.messaging, [processor(1), processor(3, FallbackAction="CONTINUE")]
    with during(app.server) as just_now:
        created = answered(201, messaging.create_channel_flow(AppInstanceArn=app.arn, Name="f", Processors=two))
        arn = created["ChannelFlowArn"]
        found = answered(200, messaging.describe_channel_flow(ChannelFlowArn=arn))["ChannelFlow"]

        just_now(made := found["CreatedTimestamp"])
    assert created == {"ChannelFlowArn": arn}
    assert arn.startswith(f"{app.arn}/channel-flow/")
    assert found == {
        "ChannelFlowArn": arn,
        "Processors": two,
        "Name": "f",
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }

    updated = messaging.update_channel_flow(ChannelFlowArn=arn, Name="g", Processors=[processor(2)])
    changed = messaging.describe_channel_flow(ChannelFlowArn=arn)["ChannelFlow"]
    assert answered(200, updated) == {"ChannelFlowArn": arn}
    assert changed.pop("LastUpdatedTimestamp") >= made
    assert changed == {"ChannelFlowArn": arn, "Processors": [processor(2)], "Name": "g", "CreatedTimestamp": made}

    assert answered(200, messaging.list_channel_flows(AppInstanceArn=app.arn)) == {
        "ChannelFlows": [{"ChannelFlowArn": arn, "Name": "g", "Processors": [processor(2)]}]
    }


@pytest.mark.parametrize("processors", [
    [processor(order) for order in (1, 2, 3, 3)],
    [processor(1), processor(1)],
    [processor(4)],
    [processor(FallbackAction="SHRUG")],
    [processor(Name="n" * 257)],
    [processor(Configuration={"Lambda": {"ResourceArn": f"{LAMBDA}f", "InvocationType": "SYNC"}})],
    [of_function("arn:aws:lambda:nowhere")],
    [of_function("arn:aws:lambda:us-east-1:123456789012:function:f f")],
    [of_function("arn:aws:sqs:us-east-1:123456789012:queue")],
    [of_function("file:///etc/passwd")],
    [of_function(f"{LAMBDA}{'f' * 2048}")],
])  # fmt: skip
def test_processors_that_cannot_be(app: App, processors: list[dict[str, Any]]) -> None:
    flow = app.flow(f"{LAMBDA}good")

    with refused("BadRequest"):
        app.messaging.create_channel_flow(AppInstanceArn=app.arn, Name="f", Processors=processors)
    with refused("BadRequest"):
        app.messaging.update_channel_flow(ChannelFlowArn=flow, Name="f", Processors=processors)

    (found,) = app.messaging.list_channel_flows(AppInstanceArn=app.arn)["ChannelFlows"]
    assert (found["ChannelFlowArn"], found["Name"]) == (flow, "flow")


@pytest.mark.parametrize("arn", [
    f"{LAMBDA}f",
    f"{LAMBDA}a-b_c.d:$LATEST",
    f"{LAMBDA}f:prod-1",
    "https://example.com/processor",
    "http://127.0.0.1:1/",
])  # fmt: skip
def test_resources_that_processors_may_have(app: App, arn: str) -> None:
    flow = app.flow(arn)

    found = app.messaging.describe_channel_flow(ChannelFlowArn=flow)["ChannelFlow"]
    assert found["Processors"][0]["Configuration"]["Lambda"]["ResourceArn"] == arn


def test_a_lower_number_of_processors_can_be_set(tmp_path: Path) -> None:
    with running(tmp_path, **{"flows.max_processors": 1, "flows.accept_http_resource_arns": False}) as server:
        app = App(server)
        flow = app.flow(f"{LAMBDA}one")

        with refused("ResourceLimitExceeded"):
            app.flow(f"{LAMBDA}one", f"{LAMBDA}two")
        with refused("ResourceLimitExceeded"):
            app.messaging.update_channel_flow(ChannelFlowArn=flow, Name="f", Processors=[processor(1), processor(2)])
        with refused("BadRequest"):
            app.flow("https://example.com/processor")


def test_a_repeated_token_gets_the_first_answer(app: App) -> None:
    request = {"AppInstanceArn": app.arn, "Name": "f", "Processors": [processor()], "ClientRequestToken": "again"}
    first = answered(201, app.messaging.create_channel_flow(**request))

    assert answered(201, app.messaging.create_channel_flow(**request)) == first
    with refused("Conflict"):
        app.messaging.create_channel_flow(**{**request, "Processors": [processor(2)]})
    assert len(app.messaging.list_channel_flows(AppInstanceArn=app.arn)["ChannelFlows"]) == 1


def test_a_flow_that_is_not_there_is_forbidden(app: App) -> None:
    messaging, channel = app.messaging, app.user("ann").makes_channel()

    for arn in (f"{app.arn}/channel-flow/nothing", channel, app.arn):
        for call in (
            lambda arn=arn: messaging.describe_channel_flow(ChannelFlowArn=arn),
            lambda arn=arn: messaging.update_channel_flow(ChannelFlowArn=arn, Name="f", Processors=[processor()]),
            lambda arn=arn: messaging.delete_channel_flow(ChannelFlowArn=arn),
            lambda arn=arn: messaging.list_channels_associated_with_channel_flow(ChannelFlowArn=arn),
        ):
            with refused("Forbidden"):
                call()


def test_the_quota_of_flows_is_kept_and_given_back(app: App) -> None:
    flow = app.flow(f"{LAMBDA}f")
    assert limits.QUOTAS["channel flows"].default == 100
    room_for(app.server, app.arn, "channel flows", 0)

    with refused("ResourceLimitExceeded"):
        app.flow(f"{LAMBDA}f")

    app.messaging.delete_channel_flow(ChannelFlowArn=flow)
    app.flow(f"{LAMBDA}f")


def test_flows_are_listed_to_the_end_while_they_come_and_go(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        app = App(server)
        listing, made = app.messaging.list_channel_flows, []
        for _ in range(5):
            made.append(app.flow(f"{LAMBDA}f"))
            server.clock.advance(ms=1)  # those of one millisecond are ordered by their ids

        first = listing(AppInstanceArn=app.arn, MaxResults=2)
        app.messaging.delete_channel_flow(ChannelFlowArn=made[1])
        app.messaging.delete_channel_flow(ChannelFlowArn=made[3])
        made.append(app.flow(f"{LAMBDA}f"))
        rest = rest_of(listing, "ChannelFlows", first, AppInstanceArn=app.arn, MaxResults=1)

        found = [each["ChannelFlowArn"] for each in [*first["ChannelFlows"], *rest]]
        assert found == [made[0], made[1], made[2], made[4], made[5]]
        with refused("BadRequest"):
            listing(AppInstanceArn=App(server).arn, NextToken=first["NextToken"])


# Channels and flows


def test_a_channel_is_associated_with_one_flow_at_a_time(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    one, two = app.flow(f"{LAMBDA}one"), app.flow(f"{LAMBDA}two")
    heard = bob.connects()

    def flow_of_channel() -> str | None:
        flow: str | None = ann.describe_channel(ChannelArn=channel)["Channel"].get("ChannelFlowArn")
        return flow

    before = ann.describe_channel(ChannelArn=channel)["Channel"]["LastUpdatedTimestamp"]
    for flow in (one, one, two):  # the second time changes nothing
        assert answered(200, ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)) == {}
        assert flow_of_channel() == flow
    assert ann.describe_channel(ChannelArn=channel)["Channel"]["LastUpdatedTimestamp"] >= before
    with refused("NotFound"):
        ann.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=one)
    answered(204, ann.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=two))
    assert flow_of_channel() is None
    with refused("NotFound"):
        ann.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=two)
    ann.sends(channel, "end")

    *changes, _ = heard.until("CREATE_CHANNEL_MESSAGE", Content="end")
    assert {event.type for event in changes} == {"UPDATE_CHANNEL"}
    assert [event.payload.get("ChannelFlowArn") for event in changes] == [one, two, None]


def test_admins_and_moderators_associate_and_nobody_else(app: App) -> None:
    ann, bob, admin, helper = app.user("ann"), app.user("bob"), app.admin("admin"), bot(app, "helper")
    channel = ann.makes_channel(members=[bob], ModeratorArns=[helper.arn], Privacy="PUBLIC")
    flow = app.flow(f"{LAMBDA}f")

    for user in (bob, app.user("outsider")):
        with refused("Forbidden"):
            user.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
    for user in (admin, ann, helper):
        user.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        with refused("Forbidden"):
            bob.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        user.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)


def test_a_flow_must_be_there_and_of_the_same_app_instance(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    foreign = App(app.server).flow(f"{LAMBDA}f")

    with refused("NotFound"):
        ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=f"{app.arn}/channel-flow/nothing")
    with refused("BadRequest"):
        ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=foreign)
    with refused("BadRequest"):
        ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn="nonsense")

    assert "ChannelFlowArn" not in ann.describe_channel(ChannelArn=channel)["Channel"]


def test_a_flow_is_deleted_only_when_no_channel_uses_it(app: App) -> None:
    ann = app.user("ann")
    flow = app.flow(f"{LAMBDA}f")
    channel = ann.makes_channel(flow=flow)

    with refused("Conflict"):
        app.messaging.delete_channel_flow(ChannelFlowArn=flow)
    ann.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
    answered(204, app.messaging.delete_channel_flow(ChannelFlowArn=flow))

    with refused("Forbidden"):
        app.messaging.delete_channel_flow(ChannelFlowArn=flow)
    with refused("NotFound"):
        ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)


def test_the_channels_of_a_flow_are_listed_private_ones_too(app: App) -> None:
    ann = app.user("ann")
    flow, other = app.flow(f"{LAMBDA}f"), app.flow(f"{LAMBDA}g")
    ann.makes_channel(flow=other)
    made = [
        ann.makes_channel(flow=flow, ChannelId=f"room{n}", Privacy=privacy, Metadata="m")
        for n, privacy in enumerate(("PUBLIC", "PRIVATE", "PUBLIC"))
    ]

    found = pages(
        app.messaging.list_channels_associated_with_channel_flow, "Channels", ChannelFlowArn=flow, MaxResults=2
    )

    assert [each["ChannelArn"] for page in found for each in page] == made
    assert [len(page) for page in found] == [2, 1]
    assert found[0][1] == {
        "Name": "Lobby", "ChannelArn": made[1], "Mode": "RESTRICTED", "Privacy": "PRIVATE", "Metadata": "m",
    }  # fmt: skip


def test_control_messages_do_not_enter_the_flow(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(flow=app.flow("http://127.0.0.1:1/"))

    answer = ann.send_channel_message(ChannelArn=channel, Content="typing", Type="CONTROL", Persistence="PERSISTENT")

    assert answer["Status"] == {"Value": "SENT"}
