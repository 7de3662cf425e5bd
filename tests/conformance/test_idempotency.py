"""The same request again: with the same client request token, and for the operations that have none.

SDKs repeat a request whose answer they didn't get, with the same token and body; it must not be carried out twice.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance import model
from tests.conformance.marks import choice, operation
from tests.conformance.requests import AFTER, GOOD
from tests.conformance.world import Members, User, World, refused

TOKEN = "ClientRequestToken"
AT_ONCE = 4

WITH_TOKEN = [pytest.param(service, name, marks=operation(name), id=name) for service, name in model.having(TOKEN)]
OTHER = {"Name": "Another name", "Content": "another content"}
"""Another value of a member that each of them has one of."""


def _take_back(world: World, name: str, request: Members, answer: Members) -> None:
    if name in AFTER:
        AFTER[name](world, request, answer)


@pytest.mark.parametrize(("service_name", "name"), WITH_TOKEN)
def test_a_repetition_gets_the_first_answer(world: World, service_name: str, name: str) -> None:
    request = GOOD[name][0](world)

    first, again = (world.api(name, request, service=service_name) for _ in range(2))

    _take_back(world, name, request, first)
    assert again == first


@choice("a token that comes with another request is a Conflict")
@pytest.mark.parametrize(("service_name", "name"), WITH_TOKEN)
def test_a_token_is_for_one_request(world: World, service_name: str, name: str) -> None:
    request = GOOD[name][0](world)
    answer = world.api(name, request, service=service_name)
    (member,) = OTHER.keys() & request.keys()

    with refused("Conflict"):
        world.api(name, {**request, member: OTHER[member]}, service=service_name)

    assert world.api(name, request, service=service_name) == answer
    _take_back(world, name, request, answer)


@choice("repetitions that come at the same time get the same answer")
@pytest.mark.parametrize(("service_name", "name"), WITH_TOKEN)
def test_repetitions_at_once_are_one(world: World, service_name: str, name: str) -> None:
    request = GOOD[name][0](world)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda _: world.api(name, request, service=service_name), range(AT_ONCE)))

    _take_back(world, name, request, answers[0])
    assert answers == [answers[0]] * AT_ONCE


@operation("SendChannelMessage")
def test_a_repeated_send_is_one_message(world: World) -> None:
    channel = world.ann.makes_channel()
    request = {"ChannelArn": channel, "Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}

    sent = {world.ann.send_channel_message(**request, ClientRequestToken="once")["MessageId"] for _ in range(3)}

    listed = world.ann.list_channel_messages(ChannelArn=channel)["ChannelMessages"]
    assert [message["MessageId"] for message in listed] == list(sent)


@choice("tokens of different bearers, or different app instances, have nothing to do with each other")
@operation("SendChannelMessage", "CreateChannel", "CreateAppInstanceUser")
def test_a_token_is_the_bearers_own(world: World) -> None:
    def sends(user: User) -> str:
        return user.sends(world.square, ClientRequestToken=token)

    def makes_user(app: str) -> Any:
        request = {"AppInstanceArn": app, "AppInstanceUserId": token, "Name": "Somebody", TOKEN: token}
        return world.api("CreateAppInstanceUser", request)["AppInstanceUserArn"]

    token = world.id()
    channels = {user.makes_channel(ClientRequestToken=token) for user in (world.ann, world.bob)}
    messages = {sends(user) for user in (world.ann, world.bob)}
    users = {makes_user(app) for app in (world.app, world.other_app)}

    assert (len(channels), len(messages), len(users)) == (2, 2, 2)


@choice("a refusal is not remembered: the request may be tried again")
@operation("CreateChannel")
def test_a_token_of_a_refused_request_is_free(world: World) -> None:
    request = {**GOOD["CreateChannel"][0](world), "MemberArns": [f"{world.app}/user/late-{world.run}"]}
    with refused("BadRequest"):
        world.api("CreateChannel", request)
    world.user("late")

    channel = world.api("CreateChannel", request)["ChannelArn"]

    assert world.ann.describe_channel(ChannelArn=channel)["Channel"]["ChannelArn"] == channel


# Operations without a token

SAME = "the same answer"
DOCUMENTED = {"ChannelFlowCallback", "CreateChannelMembership", "CreateChannelModerator"}
"""What was seen of AWS; all else is a choice."""

AGAIN = {
    "AssociateChannelFlow": SAME,
    "BatchCreateChannelMembership": "told by member",
    "ChannelFlowCallback": "BadRequest",
    "CreateAppInstanceAdmin": "Conflict",
    "CreateChannelBan": "Conflict",
    "CreateChannelMembership": "Conflict",
    "CreateChannelModerator": "Conflict",
    "DeleteAppInstance": "Forbidden",
    "DeleteAppInstanceAdmin": SAME,
    "DeleteAppInstanceBot": "Forbidden",
    "DeleteAppInstanceUser": "Forbidden",
    "DeleteChannel": "Forbidden",
    "DeleteChannelBan": SAME,
    "DeleteChannelFlow": "Forbidden",
    "DeleteChannelMembership": SAME,
    "DeleteChannelMessage": SAME,
    "DeleteChannelModerator": SAME,
    "DeleteMessagingStreamingConfigurations": SAME,
    "DeregisterAppInstanceUserEndpoint": SAME,
    "DisassociateChannelFlow": "NotFound",
    "PutAppInstanceRetentionSettings": SAME,
    "PutAppInstanceUserExpirationSettings": SAME,
    "PutChannelExpirationSettings": SAME,
    "PutChannelMembershipPreferences": SAME,
    "PutMessagingStreamingConfigurations": SAME,
    "RedactChannelMessage": SAME,
    "TagResource": SAME,
    "UntagResource": SAME,
    "UpdateAppInstance": SAME,
    "UpdateAppInstanceBot": SAME,
    "UpdateAppInstanceUser": SAME,
    "UpdateAppInstanceUserEndpoint": SAME,
    "UpdateChannel": SAME,
    "UpdateChannelFlow": SAME,
    "UpdateChannelMessage": SAME,
    "UpdateChannelReadMarker": SAME,
}


def _writes(service: str, name: str) -> bool:
    return model.operation(service, name).http["method"] != "GET" and name != "SearchChannels"


def test_every_operation_that_writes_is_here() -> None:
    writing = {name for service, name in model.operations() if _writes(service, name)}

    assert writing == {name for _, name in model.having(TOKEN)} | set(AGAIN)


@pytest.mark.parametrize(("service_name", "name", "outcome"), [
    pytest.param(
        service,
        name,
        AGAIN[name],
        id=f"{service.rpartition('-')[2]}-{name}",
        marks=[operation(name), *([] if name in DOCUMENTED else [choice("what a second call without a token does")])],
    )
    for service, name in model.operations()
    if name in AGAIN
])  # fmt: skip
def test_a_second_time(world: World, service_name: str, name: str, outcome: str) -> None:
    request = GOOD[name][0](world)
    first = world.api(name, request, service=service_name)

    if outcome == SAME:
        assert world.api(name, request, service=service_name) == first
    elif outcome == "told by member":
        again = world.api(name, request, service=service_name)
        (error,) = again["Errors"]
        assert (error["MemberArn"], error["ErrorCode"]) == (request["MemberArns"][0], "Conflict")
        assert again["BatchChannelMemberships"]["Members"] == []
    else:
        with refused(outcome):
            world.api(name, request, service=service_name)
