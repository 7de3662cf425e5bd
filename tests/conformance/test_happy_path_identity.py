"""App instances and their settings, users, admins, bots, endpoints."""

from datetime import timedelta

import pytest

from tests.conformance.marks import choice, operation
from tests.conformance.requests import GOOD, TAGS, USER_EXPIRATION
from tests.conformance.world import Members, World, pages, refused


def without_times(shape: Members) -> Members:
    return {name: value for name, value in shape.items() if not name.endswith("Timestamp")}


def listed(world: World, operation: str, items: str, request: Members) -> list[Members]:
    return [item for page in pages(world.api, operation, items, request) for item in page]


# App instances


@operation("CreateAppInstance", "DescribeAppInstance", "ListAppInstances", "UpdateAppInstance", "DeleteAppInstance")
def test_an_app_instance_from_its_making_to_its_end(world: World) -> None:
    request = GOOD["CreateAppInstance"][0](world)

    arn = world.api("CreateAppInstance", request)["AppInstanceArn"]

    found = world.api("DescribeAppInstance", {"AppInstanceArn": arn})["AppInstance"]
    expected = {"AppInstanceArn": arn, "Name": request["Name"], "Metadata": "m"}
    assert without_times(found) == expected
    assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    assert expected in listed(world, "ListAppInstances", "AppInstances", {})
    tags = world.api("ListTagsForResource", {"ResourceARN": arn}, service="chime-sdk-identity")["Tags"]
    assert tags == TAGS

    change = {"AppInstanceArn": arn, "Name": "another", "Metadata": ""}
    assert world.api("UpdateAppInstance", change) == {"AppInstanceArn": arn}
    changed = world.api("DescribeAppInstance", {"AppInstanceArn": arn})["AppInstance"]
    assert changed["Name"] == "another"
    assert not changed.get("Metadata")
    assert changed["LastUpdatedTimestamp"] > found["LastUpdatedTimestamp"]

    assert world.api("DeleteAppInstance", {"AppInstanceArn": arn}) == {}
    with refused("Forbidden"):
        world.api("DescribeAppInstance", {"AppInstanceArn": arn})
    assert arn not in [each["AppInstanceArn"] for each in listed(world, "ListAppInstances", "AppInstances", {})]


@operation("DeleteAppInstance")
@choice("what was in a deleted app instance is Forbidden at once")
def test_what_was_in_a_deleted_app_instance_is_gone(world: World) -> None:
    app = world.app_instance("short-lived")
    user = world.new_admin(app=app)
    channel = user.create_channel(AppInstanceArn=app, Name="Lobby")["ChannelArn"]

    world.api("DeleteAppInstance", {"AppInstanceArn": app})

    with refused("Forbidden"):
        user.describe_channel(ChannelArn=channel)
    with refused("Forbidden"):
        world.api("DescribeAppInstanceUser", {"AppInstanceUserArn": user.arn})
    with refused("Forbidden"):
        world.api("ListAppInstanceUsers", {"AppInstanceArn": app})


@operation("PutAppInstanceRetentionSettings", "GetAppInstanceRetentionSettings")
def test_retention_can_be_set_and_taken_back(world: World) -> None:
    app = {"AppInstanceArn": world.app_instance("retention")}
    thirty = {"ChannelRetentionSettings": {"RetentionDays": 30}}

    put = world.api("PutAppInstanceRetentionSettings", {**app, "AppInstanceRetentionSettings": thirty})
    assert put["AppInstanceRetentionSettings"] == thirty
    assert world.api("GetAppInstanceRetentionSettings", app) == put

    for nothing in ({}, {"ChannelRetentionSettings": {}}):
        world.api("PutAppInstanceRetentionSettings", {**app, "AppInstanceRetentionSettings": nothing})
        got = world.api("GetAppInstanceRetentionSettings", app)["AppInstanceRetentionSettings"]
        assert "RetentionDays" not in got.get("ChannelRetentionSettings", {})


@operation("PutAppInstanceRetentionSettings", "GetAppInstanceRetentionSettings")
@choice("deletion begins 30 days after retention was set; the same value again changes nothing")
def test_retention_has_a_grace_period(world: World) -> None:
    app = {"AppInstanceArn": world.app_instance("retention")}
    created = world.api("DescribeAppInstance", app)["AppInstance"]["CreatedTimestamp"]
    request = {**app, "AppInstanceRetentionSettings": {"ChannelRetentionSettings": {"RetentionDays": 30}}}
    assert world.api("GetAppInstanceRetentionSettings", app) == {"AppInstanceRetentionSettings": {}}

    first, again = (world.api("PutAppInstanceRetentionSettings", request) for _ in range(2))

    grace = first["InitiateDeletionTimestamp"] - created
    assert timedelta(days=30) <= grace < timedelta(days=30, hours=1)
    assert again == first


# Users


@operation(
    "CreateAppInstanceUser",
    "DescribeAppInstanceUser",
    "ListAppInstanceUsers",
    "UpdateAppInstanceUser",
    "DeleteAppInstanceUser",
)
def test_a_user_from_making_to_end(world: World) -> None:
    request = GOOD["CreateAppInstanceUser"][0](world)

    arn = world.api("CreateAppInstanceUser", request)["AppInstanceUserArn"]

    user = {"AppInstanceUserArn": arn}
    found = world.api("DescribeAppInstanceUser", user)["AppInstanceUser"]
    assert arn == f"{world.app}/user/{request['AppInstanceUserId']}"
    assert without_times(found) == {**user, "Name": "Ann", "Metadata": "m", "ExpirationSettings": USER_EXPIRATION}
    assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    app = {"AppInstanceArn": world.app}
    users = listed(world, "ListAppInstanceUsers", "AppInstanceUsers", app)
    assert {**user, "Name": "Ann", "Metadata": "m"} in users
    assert world.api("ListAppInstanceUsers", {**app, "MaxResults": 1})["AppInstanceArn"] == world.app
    assert world.api("ListTagsForResource", {"ResourceARN": arn}, service="chime-sdk-identity")["Tags"] == TAGS

    assert world.api("UpdateAppInstanceUser", {**user, "Name": "Anna", "Metadata": "n"}) == user
    changed = world.api("DescribeAppInstanceUser", user)["AppInstanceUser"]
    assert (changed["Name"], changed["Metadata"]) == ("Anna", "n")

    assert world.api("DeleteAppInstanceUser", user) == {}
    with refused("Forbidden"):
        world.api("DescribeAppInstanceUser", user)


@operation("CreateAppInstanceUser")
@pytest.mark.parametrize("id", ["us-east-1:6c41-{}", "a@b.{}", "A_{}", "{}-.-Z"])
def test_user_ids_may_be_those_of_identity_providers(world: World, id: str) -> None:
    id = id.format(world.id())
    request = {**GOOD["CreateAppInstanceUser"][0](world), "AppInstanceUserId": id}

    arn = world.api("CreateAppInstanceUser", request)["AppInstanceUserArn"]

    assert arn == f"{world.app}/user/{id}"
    assert world.api("DescribeAppInstanceUser", {"AppInstanceUserArn": arn})["AppInstanceUser"]["Name"] == "Ann"


@operation("PutAppInstanceUserExpirationSettings")
def test_a_users_expiration_can_be_set_and_taken_back(world: World) -> None:
    user = {"AppInstanceUserArn": world.user().arn}

    answer = world.api("PutAppInstanceUserExpirationSettings", {**user, "ExpirationSettings": USER_EXPIRATION})
    assert answer == {**user, "ExpirationSettings": USER_EXPIRATION}
    found = world.api("DescribeAppInstanceUser", user)["AppInstanceUser"]
    assert found["ExpirationSettings"] == USER_EXPIRATION

    assert world.api("PutAppInstanceUserExpirationSettings", user) == user
    assert "ExpirationSettings" not in world.api("DescribeAppInstanceUser", user)["AppInstanceUser"]


@operation("DeleteAppInstanceUser")
@choice("a deleted user leaves every channel, and their messages stay with the last name")
def test_a_deleted_user_leaves_messages_behind(world: World) -> None:
    user = world.user()
    channel = world.ann.makes_channel(user)
    message_id = user.sends(channel)

    with world.ann.connects() as session:
        world.api("DeleteAppInstanceUser", {"AppInstanceUserArn": user.arn})
        while (event := session.next()).type != "DELETE_CHANNEL_MEMBERSHIP":
            assert not event.concerns(channel)

    with refused("NotFound"):
        world.ann.describe_channel_membership(ChannelArn=channel, MemberArn=user.arn)
    found = world.ann.get_channel_message(ChannelArn=channel, MessageId=message_id)["ChannelMessage"]
    assert found["Sender"] == user.identity
    with refused("Forbidden"):
        user.sends(channel)


# Admins


@operation("CreateAppInstanceAdmin", "DescribeAppInstanceAdmin", "ListAppInstanceAdmins", "DeleteAppInstanceAdmin")
@pytest.mark.parametrize("kind", ["user", "bot"])
def test_an_admin_is_made_and_unmade(world: World, kind: str) -> None:
    somebody = world.user() if kind == "user" else world.new_bot()
    admin = {"AppInstanceArn": world.app, "AppInstanceAdminArn": somebody.arn}

    answer = world.api("CreateAppInstanceAdmin", admin)

    assert answer == {"AppInstanceAdmin": somebody.identity, "AppInstanceArn": world.app}
    found = world.api("DescribeAppInstanceAdmin", admin)["AppInstanceAdmin"]
    assert without_times(found) == {"Admin": somebody.identity, "AppInstanceArn": world.app}
    app = {"AppInstanceArn": world.app}
    assert {"Admin": somebody.identity} in listed(world, "ListAppInstanceAdmins", "AppInstanceAdmins", app)
    somebody.describe_channel(ChannelArn=world.room)

    assert world.api("DeleteAppInstanceAdmin", admin) == {}
    with refused("Forbidden"):
        world.api("DescribeAppInstanceAdmin", admin)
    with refused("Forbidden"):
        somebody.describe_channel(ChannelArn=world.room)


# Bots


@operation(
    "CreateAppInstanceBot",
    "DescribeAppInstanceBot",
    "ListAppInstanceBots",
    "UpdateAppInstanceBot",
    "DeleteAppInstanceBot",
)
def test_a_bot_from_making_to_end(world: World) -> None:
    request = GOOD["CreateAppInstanceBot"][0](world)

    arn = world.api("CreateAppInstanceBot", request)["AppInstanceBotArn"]

    bot = {"AppInstanceBotArn": arn}
    found = world.api("DescribeAppInstanceBot", bot)["AppInstanceBot"]
    assert arn.startswith(f"{world.app}/bot/")
    assert without_times(found) == {**bot, "Name": "Bot", "Metadata": "m", "Configuration": request["Configuration"]}
    app = {"AppInstanceArn": world.app}
    assert {**bot, "Name": "Bot", "Metadata": "m"} in listed(world, "ListAppInstanceBots", "AppInstanceBots", app)

    assert world.api("UpdateAppInstanceBot", {**bot, "Name": "Robot", "Metadata": "n"}) == bot
    changed = world.api("DescribeAppInstanceBot", bot)["AppInstanceBot"]
    assert (changed["Name"], changed["Metadata"]) == ("Robot", "n")
    assert changed["Configuration"] == request["Configuration"]

    assert world.api("DeleteAppInstanceBot", bot) == {}
    with refused("NotFound"):
        world.api("DescribeAppInstanceBot", bot)


@operation("CreateAppInstanceBot", "DescribeAppInstanceBot")
@choice("what invokes a bot is AUTO and ALL unless it is said; RespondsTo stands for ALL and NONE")
@pytest.mark.parametrize(("given", "expected"), [
    ({}, {"StandardMessages": "AUTO", "TargetedMessages": "ALL"}),
    ({"RespondsTo": "STANDARD_MESSAGES"}, {"StandardMessages": "ALL", "TargetedMessages": "NONE"}),
])  # fmt: skip
def test_what_invokes_a_bot_by_default(world: World, given: Members, expected: Members) -> None:
    lex = world.lex()["Lex"]
    del lex["InvokedBy"]
    request = {**GOOD["CreateAppInstanceBot"][0](world), "Configuration": {"Lex": {**lex, **given}}}

    arn = world.api("CreateAppInstanceBot", request)["AppInstanceBotArn"]

    found = world.api("DescribeAppInstanceBot", {"AppInstanceBotArn": arn})["AppInstanceBot"]
    assert found["Configuration"]["Lex"]["InvokedBy"] == expected


# Endpoints


@operation(
    "RegisterAppInstanceUserEndpoint",
    "DescribeAppInstanceUserEndpoint",
    "ListAppInstanceUserEndpoints",
    "UpdateAppInstanceUserEndpoint",
    "DeregisterAppInstanceUserEndpoint",
)
def test_an_endpoint_from_making_to_end(world: World) -> None:
    request = GOOD["RegisterAppInstanceUserEndpoint"][0](world)

    answer = world.api("RegisterAppInstanceUserEndpoint", request)

    user = {"AppInstanceUserArn": request["AppInstanceUserArn"]}
    endpoint = {**user, "EndpointId": answer["EndpointId"]}
    assert answer == endpoint
    found = world.api("DescribeAppInstanceUserEndpoint", endpoint)["AppInstanceUserEndpoint"]
    shown = {
        **endpoint,
        "Name": "phone",
        "Type": "APNS",
        "AllowMessages": "ALL",
        "EndpointState": {"Status": "ACTIVE"},
    }
    details = {name: request[name] for name in ("ResourceArn", "EndpointAttributes")}
    assert without_times(found) == {**shown, **details}
    assert world.api("ListAppInstanceUserEndpoints", user) == {"AppInstanceUserEndpoints": [shown]}

    assert world.api("UpdateAppInstanceUserEndpoint", {**endpoint, "AllowMessages": "NONE"}) == endpoint
    changed = world.api("DescribeAppInstanceUserEndpoint", endpoint)["AppInstanceUserEndpoint"]
    assert (changed["Name"], changed["AllowMessages"]) == ("phone", "NONE")

    assert world.api("DeregisterAppInstanceUserEndpoint", endpoint) == {}
    assert world.api("ListAppInstanceUserEndpoints", user) == {"AppInstanceUserEndpoints": []}
    with refused("Forbidden"):
        world.api("DescribeAppInstanceUserEndpoint", endpoint)


@operation("RegisterAppInstanceUserEndpoint")
@choice("the same device again is the endpoint that it has")
def test_a_device_is_registered_once(world: World) -> None:
    request = GOOD["RegisterAppInstanceUserEndpoint"][0](world)

    first, again = (
        world.api("RegisterAppInstanceUserEndpoint", {**request, "ClientRequestToken": world.id()}) for _ in range(2)
    )

    assert again == first
