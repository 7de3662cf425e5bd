"""Each constraint of the service model at its edge, for every member of every request.

The cases are generated (edges.py) from known-good requests (requests.py): what is shortest and longest is accepted, one
under and one over are refused with BadRequestException, in path, query, header and body alike. Limits that are
stricter than the model are at the end.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance import edges, model
from tests.conformance.edges import Case, Edge
from tests.conformance.marks import choice, operation
from tests.conformance.requests import GOOD, send_good
from tests.conformance.world import Members, World, refused

_requests: dict[str, list[Members]] = {}
"""Known-good requests by operation, for what is to be refused: they are never accepted."""


def _known_good(world: World, name: str) -> list[Members]:
    if name not in _requests:
        _requests[name] = [good(world) for good in GOOD[name]]
    return _requests[name]


ALL = [
    pytest.param(service, name, marks=operation(name), id=f"{service.rpartition('-')[2]}-{name}")
    for service, name in model.operations()
]


@pytest.mark.parametrize(("service_name", "name"), ALL)
def test_the_known_good_requests_are_accepted(world: World, service_name: str, name: str) -> None:
    for good in GOOD[name]:
        send_good(world, service_name, name, good(world))


@pytest.mark.parametrize(("service_name", "name"), ALL)
def test_the_known_good_requests_hold_every_member(world: World, service_name: str, name: str) -> None:
    requests = _known_good(world, name)

    missing = [
        case.id
        for case in edges.cases(service_name, name)
        if not any(case.path[0] in request and edges.holds(request, case.path) for request in requests)
    ]

    assert missing == []


def _cases(*, choices: bool) -> list[Any]:
    return [
        pytest.param(case, chosen, marks=operation(case.operation), id=case.id)
        for service, name in model.operations()
        for case in edges.cases(service, name)
        if (chosen := [edge for edge in case.edges if edge.choice == choices])
    ]


@pytest.mark.parametrize(("case", "tried"), _cases(choices=False))
def test_edges(world: World, case: Case, tried: list[Edge]) -> None:
    assert _wrong(world, case, tried) == []


@choice("JSON of another type, a missing bearer: BadRequestException; lengths count characters")
@pytest.mark.parametrize(("case", "tried"), _cases(choices=True))
def test_edges_that_are_not_documented(world: World, case: Case, tried: list[Edge]) -> None:
    assert _wrong(world, case, tried) == []


def _wrong(world: World, case: Case, tried: list[Edge]) -> list[str]:
    """What was answered otherwise than it should be."""
    requests = _known_good(world, case.operation)
    number = edges.variant(case, requests)
    found = []
    for edge in tried:
        fresh = edge.accepted and not edge.vague
        request = GOOD[case.operation][number](world) if fresh else requests[number]
        value = _of_this_run(world, edge.value) if fresh and case.path[-1:] == ("ClientRequestToken",) else edge.value
        answer = _answer(world, case, edges.changed(world, request, case.path, value), taken_back=fresh)
        expected = "" if edge.accepted else "BadRequestException"
        if answer != expected and not (edge.vague and answer != "BadRequestException"):
            found.append(f"{edge.why}: {answer or 'accepted'}")
    return found


def _of_this_run(world: World, token: str) -> str:
    """One of the same length: the service remembers those of an earlier run, which came with other requests."""
    return (world.run * len(token))[: len(token)]


def _answer(world: World, case: Case, request: Members, *, taken_back: bool) -> str:
    try:
        if taken_back:
            send_good(world, case.service, case.operation, request)
        else:
            world.api(case.operation, request, service=case.service)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


# Limits that the model doesn't have, or has wider


def _send(world: World, **members: Any) -> None:
    world.api("SendChannelMessage", {**GOOD["SendChannelMessage"][0](world), **members})


def _update(world: World, **members: Any) -> None:
    world.api("UpdateChannelMessage", {**GOOD["UpdateChannelMessage"][0](world), **members})


def _call_back(world: World, **members: Any) -> None:
    request = GOOD["ChannelFlowCallback"][0](world)
    world.api("ChannelFlowCallback", {**request, "ChannelMessage": {**request["ChannelMessage"], **members}})


WAYS = [
    pytest.param(_send, marks=operation("SendChannelMessage"), id="SendChannelMessage"),
    pytest.param(_update, marks=operation("UpdateChannelMessage"), id="UpdateChannelMessage"),
    pytest.param(_call_back, marks=operation("ChannelFlowCallback"), id="ChannelFlowCallback"),
]


@pytest.mark.parametrize("way", WAYS)
def test_content_may_have_4_kb(world: World, way: Any) -> None:
    way(world, Content="a" * 4096)

    with refused("BadRequest"):
        way(world, Content="a" * 4097)


@choice("content and metadata are measured in bytes of UTF-8")
@pytest.mark.parametrize("way", WAYS)
def test_sizes_of_messages_are_in_bytes(world: World, way: Any) -> None:
    way(world, Content="é" * 2048, Metadata="é" * 512)

    with refused("BadRequest"):
        way(world, Content="é" * 2048 + "a")
    with refused("BadRequest"):
        way(world, Metadata="é" * 512 + "a")


@operation("SendChannelMessage")
def test_a_control_message_may_have_30_bytes_and_no_metadata(world: World) -> None:
    control = {"Type": "CONTROL", "ChannelArn": world.room, "Persistence": "NON_PERSISTENT"}
    world.ann.send_channel_message(**control, Content="a" * 30)

    with refused("BadRequest"):
        world.ann.send_channel_message(**control, Content="a" * 31)
    with refused("BadRequest"):
        world.ann.send_channel_message(**control, Content="a", Metadata="m")


@choice("message attributes may have 1 KB together")
@operation("SendChannelMessage")
def test_message_attributes_have_a_size_together(world: World) -> None:
    _send(world, MessageAttributes={"a" * 64: {"StringValues": ["v" * 480]}, "b" * 64: {"StringValues": ["v" * 416]}})

    with refused("BadRequest"):
        _send(
            world, MessageAttributes={"a" * 64: {"StringValues": ["v" * 512]}, "b" * 64: {"StringValues": ["v" * 512]}}
        )


@operation("CreateChannel")
@pytest.mark.parametrize("more", [{"MemberArns": ["Bob"]}, {"Mode": "UNRESTRICTED"}], ids=["MemberArns", "Mode"])
def test_an_elastic_channel_is_made_without_members_and_restricted(world: World, more: dict[str, Any]) -> None:
    elastic = GOOD["CreateChannel"][1](world)
    if "MemberArns" in more:
        more = {"MemberArns": [world.stranger.arn]}

    with refused("BadRequest"):
        world.api("CreateChannel", {**elastic, **more})


@choice("an elastic channel has room for a million members at most")
@operation("CreateChannel")
def test_an_elastic_channel_has_a_greatest_size(world: World) -> None:
    elastic = GOOD["CreateChannel"][1](world)
    configuration = {**elastic["ElasticChannelConfiguration"], "MaximumSubChannels": 1001}

    with refused("BadRequest"):
        configuration["TargetMembershipsPerSubChannel"] = 1000
        world.api("CreateChannel", {**elastic, "ElasticChannelConfiguration": configuration})


@choice("what names of resources may hold counts in characters of any plane")
@operation("CreateChannel")
def test_names_may_have_all_characters_of_xml(world: World) -> None:
    name = "\t\n\r ~\u0085\u00a0\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    channel = world.ann.makes_channel(Name=name)

    assert world.ann.describe_channel(ChannelArn=channel)["Channel"]["Name"] == name


@choice("tag keys must not begin with aws:")
@pytest.mark.parametrize("service_name", [
    pytest.param(service, marks=operation("TagResource"), id=service)
    for service, name in model.operations() if name == "TagResource"
])  # fmt: skip
def test_tag_keys_of_aws_are_refused(world: World, service_name: str) -> None:
    with refused("BadRequest"):
        tags = [{"Key": "aws:team", "Value": "blue"}]
        world.api("TagResource", {"ResourceARN": world.room, "Tags": tags}, service=service_name)
