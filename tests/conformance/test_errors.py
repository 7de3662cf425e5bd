"""Each error that the model lists for an operation: how it is caused, or why it can't be from outside.

`TABLE` has a row for every one; a test compares it with the model, so that nothing is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance import edges, model
from tests.conformance.edges import changed
from tests.conformance.marks import choice, operation
from tests.conformance.requests import AFTER, CHANNEL_EXPIRATION, GOOD
from tests.conformance.world import Members, World, refused


@dataclass(frozen=True)
class Cause:
    """A call that is to be refused."""

    call: Callable[[World, str, str], Any]
    """(world, service, operation)"""
    choice: str | None = None
    """Why AWS's documentation doesn't promise this error here."""


Row = dict[str, Cause | str]
"""By the exception's name without `Exception`; a text says why it can't be caused."""

UNKNOWN_IS_FORBIDDEN = "what is not there is Forbidden where the model has no NotFound"


def with_members(reason: str | None = None, **members: Any) -> Cause:
    """The known-good request with these members; functions get the world."""

    def call(world: World, service: str, name: str) -> None:
        given = {key: value(world) if callable(value) else value for key, value in members.items()}
        world.api(name, {**GOOD[name][0](world), **given}, service=service)

    return Cause(call, reason)


def borne_by(user: str, reason: str | None = None) -> Cause:
    """The known-good request of somebody else."""
    return with_members(reason, ChimeBearer=lambda world: getattr(world, user).arn)


def repeated(reason: str | None = None, **members: Any) -> Cause:
    """The known-good request twice, the second time with other members."""

    def call(world: World, service: str, name: str) -> None:
        request = GOOD[name][0](world)
        answer = world.api(name, request, service=service)
        try:
            given = {key: value(world) if callable(value) else value for key, value in members.items()}
            world.api(name, {**request, **given}, service=service)
        finally:
            if name in AFTER:
                AFTER[name](world, request, answer)

    return Cause(call, reason)


def malformed() -> Cause:
    """The first value that breaks a constraint."""

    def call(world: World, service: str, name: str) -> None:
        path, value = next(
            (case.path, edge.value)
            for case in edges.cases(service, name)
            for edge in case.edges
            if not edge.accepted and not edge.choice and edge.value is not edges.ABSENT
        )
        world.api(name, changed(world, GOOD[name][0](world), path, value), service=service)

    return Cause(call)


def another_body() -> Cause:
    """A client request token that comes with another request."""
    return repeated("a token with another body is a Conflict", Name="Another name")


def no_app(world: World) -> str:
    return world.app[:-12] + "0" * 12


def no_flow(world: World) -> str:
    return f"{world.app}/channel-flow/00000000-0000-4000-8000-000000000000"


NEVER: Row = {
    "ServiceFailure": "a failure of the service itself",
    "ServiceUnavailable": "a failure of the service itself",
    "ThrottledClient": "rates are off unless they are configured, and flooding AWS would be rude",
    "UnauthorizedClient": "needs credentials of an account that is disabled",
}
RACE = "only in a race that can't be brought about from outside"
POLICY = "with credentials that may do everything there is nothing to forbid; policies deny with AccessDeniedException"
NO_LIMIT = "no limit is documented that this call could exceed"

OUTSIDER = borne_by("eve")
"""A user of the app instance who has nothing to do with the channel."""
PLAIN_MEMBER = borne_by("bob")
"""A member of the channel who doesn't moderate it."""
UNKNOWN_APP = with_members(UNKNOWN_IS_FORBIDDEN, AppInstanceArn=no_app)


# Causes that take more than one call


def _tag_51_times(world: World, service: str, name: str) -> None:
    channel = world.ann.makes_channel()
    for start in (0, 50):
        tags = [{"Key": f"key {number}", "Value": "v"} for number in range(start, min(start + 50, 51))]
        world.api(name, {"ResourceARN": channel, "Tags": tags}, service=service)


def _make_another_elastic_channel(world: World, service: str, name: str) -> None:
    assert world.elastic  # the one that there may be
    request = {**GOOD[name][1](world), "AppInstanceArn": world.app, "ChimeBearer": world.ann.arn}
    world.api(name, request)


def _fill_an_elastic_channel(world: World, service: str, name: str) -> None:
    request = GOOD["CreateChannel"][1](world)
    channel = world.api("CreateChannel", request)["ChannelArn"]
    try:
        for _ in range(5):
            member = world.user(app=world.other_app)
            world.stranger.create_channel_membership(ChannelArn=channel, MemberArn=member.arn, Type="DEFAULT")
    finally:
        world.stranger.delete_channel(ChannelArn=channel)


def _make_flows_without_end(world: World, service: str, name: str) -> None:
    app = world.app_instance("flows")
    for _ in range(101):
        world.api(name, {**GOOD[name][0](world), "AppInstanceArn": app})


def _make_admins_without_end(world: World, service: str, name: str) -> None:
    app = world.app_instance("admins")
    for _ in range(101):
        world.new_admin(app=app)


def _register_eleven_endpoints(world: World, service: str, name: str) -> None:
    request = GOOD[name][0](world)
    for _ in range(11):
        attributes = {"DeviceToken": world.id()}
        world.api(name, {**request, "EndpointAttributes": attributes, "ClientRequestToken": world.id()})


def _delete_a_flow_in_use(world: World, service: str, name: str) -> None:
    request = GOOD["AssociateChannelFlow"][0](world)
    world.api("AssociateChannelFlow", request)
    world.api(name, {"ChannelFlowArn": request["ChannelFlowArn"]})


def _edit_a_redacted_message(world: World, service: str, name: str) -> None:
    request = GOOD[name][0](world)
    world.ann.redact_channel_message(ChannelArn=request["ChannelArn"], MessageId=request["MessageId"])
    world.api(name, request)


def _ask_for_streaming_of_none(world: World, service: str, name: str) -> None:
    world.api("DeleteMessagingStreamingConfigurations", {"AppInstanceArn": world.other_app})
    world.api(name, {"AppInstanceArn": world.other_app})


def _answer_with_an_unknown_callback(world: World, service: str, name: str) -> None:
    message = {"MessageId": world.message}
    world.api(name, {"ChannelArn": world.room, "CallbackId": "c" * 32, "ChannelMessage": message})


def _ask_for_preferences_of_another(world: World, service: str, name: str) -> None:
    world.api(name, {**GOOD[name][0](world), "ChimeBearer": world.ann.arn})


MESSAGING: dict[str, Row] = {
    "AssociateChannelFlow": {
        "Forbidden": PLAIN_MEMBER,
        "NotFound": with_members(ChannelFlowArn=no_flow),
        "Conflict": RACE,
    },
    "BatchCreateChannelMembership": {
        "Forbidden": OUTSIDER,
        "NotFound": "what is missing is told by member, in Errors",
        "ResourceLimitExceeded": "told by member, in Errors",
    },
    "ChannelFlowCallback": {
        "Forbidden": Cause(_answer_with_an_unknown_callback, UNKNOWN_IS_FORBIDDEN),
        "Conflict": RACE,
    },
    "CreateChannel": {
        "Forbidden": with_members("a bearer who is not there", ChimeBearer=lambda world: world.nobody),
        "Conflict": repeated(ClientRequestToken=lambda world: world.id()),
        "ResourceLimitExceeded": Cause(_make_another_elastic_channel),
    },
    "CreateChannelBan": {
        "Forbidden": PLAIN_MEMBER,
        "Conflict": repeated("a second ban is a Conflict"),
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "CreateChannelFlow": {
        "Forbidden": UNKNOWN_APP,
        "Conflict": another_body(),
        "ResourceLimitExceeded": Cause(_make_flows_without_end, "the quota of 100 flows can be raised"),
    },
    "CreateChannelMembership": {
        "Forbidden": OUTSIDER,
        "Conflict": repeated(),
        "NotFound": Cause(
            lambda world, service, name: world.api(name, {**GOOD[name][1](world), "SubChannelId": "nothing"}),
            "a sub-channel that is not there",
        ),
        "ResourceLimitExceeded": Cause(_fill_an_elastic_channel, "an elastic channel that is full"),
    },
    "CreateChannelModerator": {
        "Forbidden": PLAIN_MEMBER,
        "Conflict": repeated(),
        "ResourceLimitExceeded": "a thousand moderators would take two thousand calls",
    },
    "DeleteChannel": {"Forbidden": PLAIN_MEMBER, "Conflict": RACE},
    "DeleteChannelBan": {"Forbidden": PLAIN_MEMBER},
    "DeleteChannelFlow": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ChannelFlowArn=no_flow),
        "Conflict": Cause(_delete_a_flow_in_use),
    },
    "DeleteChannelMembership": {"Forbidden": OUTSIDER, "Conflict": RACE},
    "DeleteChannelMessage": {"Forbidden": borne_by("ann")},
    "DeleteChannelModerator": {"Forbidden": PLAIN_MEMBER},
    "DeleteMessagingStreamingConfigurations": {"Forbidden": UNKNOWN_APP},
    "DescribeChannel": {"Forbidden": OUTSIDER},
    "DescribeChannelBan": {
        "Forbidden": PLAIN_MEMBER,
        "NotFound": with_members(MemberArn=lambda world: world.bob.arn),
    },
    "DescribeChannelFlow": {"Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ChannelFlowArn=no_flow)},
    "DescribeChannelMembership": {
        "Forbidden": OUTSIDER,
        "NotFound": with_members(MemberArn=lambda world: world.eve.arn),
    },
    "DescribeChannelMembershipForAppInstanceUser": {"Forbidden": OUTSIDER},
    "DescribeChannelModeratedByAppInstanceUser": {"Forbidden": OUTSIDER},
    "DescribeChannelModerator": {
        "Forbidden": PLAIN_MEMBER,
        "NotFound": with_members(ChannelModeratorArn=lambda world: world.bob.arn),
    },
    "DisassociateChannelFlow": {
        "Forbidden": PLAIN_MEMBER,
        "NotFound": with_members(ChannelFlowArn=no_flow),
        "Conflict": RACE,
    },
    "GetChannelMembershipPreferences": {"Forbidden": Cause(_ask_for_preferences_of_another)},
    "GetChannelMessage": {"Forbidden": OUTSIDER, "NotFound": with_members(MessageId="nothing")},
    "GetChannelMessageStatus": {"Forbidden": PLAIN_MEMBER},
    "GetMessagingSessionEndpoint": {"Forbidden": POLICY},
    "GetMessagingStreamingConfigurations": {
        "Forbidden": UNKNOWN_APP,
        "NotFound": Cause(_ask_for_streaming_of_none, "none configured is NotFound"),
    },
    "ListChannelBans": {"Forbidden": PLAIN_MEMBER},
    "ListChannelFlows": {"Forbidden": UNKNOWN_APP},
    "ListChannelMemberships": {"Forbidden": OUTSIDER},
    "ListChannelMembershipsForAppInstanceUser": {"Forbidden": OUTSIDER},
    "ListChannelMessages": {"Forbidden": OUTSIDER},
    "ListChannelModerators": {"Forbidden": PLAIN_MEMBER},
    "ListChannels": {"Forbidden": with_members(Privacy="PRIVATE", ChimeBearer=lambda world: world.bob.arn)},
    "ListChannelsAssociatedWithChannelFlow": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ChannelFlowArn=no_flow),
    },
    "ListChannelsModeratedByAppInstanceUser": {"Forbidden": OUTSIDER},
    "ListSubChannels": {"Forbidden": PLAIN_MEMBER},
    "ListTagsForResource": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ResourceARN=lambda world: f"{world.app}/channel/nothing"),
    },
    "PutChannelExpirationSettings": {"Forbidden": PLAIN_MEMBER, "Conflict": RACE},
    "PutChannelMembershipPreferences": {"Forbidden": Cause(_ask_for_preferences_of_another), "Conflict": RACE},
    "PutMessagingStreamingConfigurations": {
        "NotFound": with_members("an app instance that is not there", AppInstanceArn=no_app),
        "Forbidden": POLICY,
        "Conflict": RACE,
    },
    "RedactChannelMessage": {"Forbidden": PLAIN_MEMBER, "Conflict": RACE},
    "SearchChannels": {
        "Forbidden": with_members("a bearer who is not there", ChimeBearer=lambda world: world.nobody),
    },
    "SendChannelMessage": {
        "Forbidden": borne_by("mod"),
        "Conflict": repeated("a token with another body is a Conflict", Content="another"),
    },
    "TagResource": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ResourceARN=lambda world: f"{world.app}/channel/nothing"),
        "ResourceLimitExceeded": Cause(_tag_51_times),
    },
    "UntagResource": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ResourceARN=lambda world: f"{world.app}/channel/nothing"),
    },
    "UpdateChannel": {"Forbidden": PLAIN_MEMBER, "Conflict": RACE},
    "UpdateChannelFlow": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, ChannelFlowArn=no_flow),
        "Conflict": RACE,
    },
    "UpdateChannelMessage": {
        "Forbidden": PLAIN_MEMBER,
        "Conflict": Cause(_edit_a_redacted_message, "a redacted message can't be edited"),
    },
    "UpdateChannelReadMarker": {"Forbidden": borne_by("mod"), "Conflict": RACE},
}


def _unknown(**member: str) -> Cause:
    """Somebody or something that is not in the app instance."""
    ((name, path),) = member.items()
    return with_members(UNKNOWN_IS_FORBIDDEN, **{name: lambda world: f"{world.app}/{path}"})


IDENTITY: dict[str, Row] = {
    "CreateAppInstance": {
        "Forbidden": POLICY,
        "Conflict": another_body(),
        "ResourceLimitExceeded": "would fill the account with app instances",
    },
    "CreateAppInstanceAdmin": {
        "Forbidden": UNKNOWN_APP,
        "Conflict": repeated("a second appointment is a Conflict"),
        "ResourceLimitExceeded": Cause(_make_admins_without_end, "the quota of 100 admins can be raised"),
    },
    "CreateAppInstanceBot": {
        "Forbidden": UNKNOWN_APP,
        "Conflict": another_body(),
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "CreateAppInstanceUser": {
        "Forbidden": UNKNOWN_APP,
        "Conflict": repeated(ClientRequestToken=lambda world: world.id()),
        "ResourceLimitExceeded": "a hundred thousand users would take as many calls",
    },
    "DeleteAppInstance": {"Forbidden": UNKNOWN_APP, "ResourceLimitExceeded": NO_LIMIT},
    "DeleteAppInstanceAdmin": {"Forbidden": UNKNOWN_APP, "Conflict": RACE, "ResourceLimitExceeded": NO_LIMIT},
    "DeleteAppInstanceBot": {
        "Forbidden": _unknown(AppInstanceBotArn="bot/nobody"),
        "Conflict": RACE,
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "DeleteAppInstanceUser": {
        "Forbidden": _unknown(AppInstanceUserArn="user/nobody"),
        "Conflict": RACE,
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "DeregisterAppInstanceUserEndpoint": {"Forbidden": _unknown(AppInstanceUserArn="user/nobody")},
    "DescribeAppInstance": {"Forbidden": UNKNOWN_APP},
    "DescribeAppInstanceAdmin": {
        "Forbidden": with_members("not an admin", AppInstanceAdminArn=lambda world: world.eve.arn),
    },
    "DescribeAppInstanceBot": {
        "NotFound": with_members(AppInstanceBotArn=lambda world: f"{world.app}/bot/nobody"),
        "Forbidden": POLICY,
    },
    "DescribeAppInstanceUser": {"Forbidden": _unknown(AppInstanceUserArn="user/nobody")},
    "DescribeAppInstanceUserEndpoint": {"Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, EndpointId="nothing")},
    "GetAppInstanceRetentionSettings": {"Forbidden": UNKNOWN_APP},
    "ListAppInstanceAdmins": {"Forbidden": UNKNOWN_APP, "ResourceLimitExceeded": NO_LIMIT},
    "ListAppInstanceBots": {"Forbidden": UNKNOWN_APP, "ResourceLimitExceeded": NO_LIMIT},
    "ListAppInstanceUserEndpoints": {"Forbidden": _unknown(AppInstanceUserArn="user/nobody")},
    "ListAppInstanceUsers": {"Forbidden": UNKNOWN_APP},
    "ListAppInstances": {"Forbidden": POLICY},
    "ListTagsForResource": MESSAGING["ListTagsForResource"],
    "PutAppInstanceRetentionSettings": {"Forbidden": UNKNOWN_APP},
    "PutAppInstanceUserExpirationSettings": {
        "Forbidden": _unknown(AppInstanceUserArn="user/nobody"),
        "Conflict": RACE,
    },
    "RegisterAppInstanceUserEndpoint": {
        "Forbidden": _unknown(AppInstanceUserArn="user/nobody"),
        "Conflict": another_body(),
        "ResourceLimitExceeded": Cause(_register_eleven_endpoints, "the quota of 10 endpoints can be raised"),
    },
    "TagResource": MESSAGING["TagResource"],
    "UntagResource": MESSAGING["UntagResource"],
    "UpdateAppInstance": {"Forbidden": UNKNOWN_APP, "Conflict": RACE},
    "UpdateAppInstanceBot": {
        "Forbidden": _unknown(AppInstanceBotArn="bot/nobody"),
        "Conflict": RACE,
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "UpdateAppInstanceUser": {
        "Forbidden": _unknown(AppInstanceUserArn="user/nobody"),
        "Conflict": RACE,
        "ResourceLimitExceeded": NO_LIMIT,
    },
    "UpdateAppInstanceUserEndpoint": {
        "Forbidden": with_members(UNKNOWN_IS_FORBIDDEN, EndpointId="nothing"),
        "Conflict": RACE,
    },
}

TABLE = {"chime-sdk-messaging": MESSAGING, "chime-sdk-identity": IDENTITY}


def row_of(service: str, name: str) -> Row:
    """All errors of an operation: its own, and those that all have."""
    listed = {error.removesuffix("Exception") for error in model.errors(service, name)}
    bad_request: Row = {"BadRequest": malformed()} if "BadRequest" in listed else {}
    return {**NEVER, **bad_request, **TABLE[service][name]}


def _causes() -> list[Any]:
    return [
        pytest.param(
            service,
            name,
            error,
            cause,
            id=f"{service.rpartition('-')[2]}-{name}-{error}",
            marks=[operation(name), *([choice(cause.choice)] if cause.choice else [])],
        )
        for service, name in model.operations()
        for error, cause in row_of(service, name).items()
        if isinstance(cause, Cause)
    ]


@pytest.mark.parametrize(("service_name", "name", "error", "cause"), _causes())
def test_errors(world: World, service_name: str, name: str, error: str, cause: Cause) -> None:
    with refused(error):
        cause.call(world, service_name, name)


def test_every_error_of_the_model_has_its_row() -> None:
    listed = {
        (service, name): {error.removesuffix("Exception") for error in model.errors(service, name)}
        for service, name in model.operations()
    }

    assert {(service, name): set(row_of(service, name)) for service, name in model.operations()} == listed


# What a bad request can be beside a broken constraint


@dataclass(frozen=True)
class Senseless:
    """A well-formed request that makes no sense."""

    name: str
    change: Callable[[World], Members]
    good: int = 0


SENSELESS = {
    "a member who is not there": Senseless("CreateChannelMembership", lambda world: {"MemberArn": world.nobody}),
    "a member of another app instance": Senseless(
        "CreateChannelMembership", lambda world: {"MemberArn": world.stranger.arn}
    ),
    "a moderator who is not there": Senseless(
        "CreateChannelModerator", lambda world: {"ChannelModeratorArn": world.nobody}
    ),
    "an admin who is not there": Senseless(
        "CreateAppInstanceAdmin", lambda world: {"AppInstanceAdminArn": world.nobody}
    ),
    "an admin of another app instance": Senseless(
        "CreateAppInstanceAdmin", lambda world: {"AppInstanceAdminArn": world.stranger.arn}
    ),
    "a banned one who is not there": Senseless("CreateChannelBan", lambda world: {"MemberArn": world.nobody}),
    "a first member who is not there": Senseless("CreateChannel", lambda world: {"MemberArns": [world.nobody]}),
    "a first moderator who is not there": Senseless("CreateChannel", lambda world: {"ModeratorArns": [world.nobody]}),
    "a target who is no member": Senseless(
        "SendChannelMessage", lambda world: {"Target": [{"MemberArn": world.eve.arn}]}
    ),
    "a sub-channel of a plain channel": Senseless("SendChannelMessage", lambda world: {"SubChannelId": "nothing"}),
    "no sub-channel in an elastic channel": Senseless("SendChannelMessage", lambda world: {"SubChannelId": None}, 2),
    "a regular member with a sub-channel": Senseless(
        "CreateChannelMembership", lambda world: {"MemberArn": world.user().arn}, 1
    ),
    "a moderator without a sub-channel": Senseless("CreateChannelMembership", lambda world: {"SubChannelId": None}, 1),
    "a HIDDEN member of an elastic channel": Senseless("CreateChannelMembership", lambda world: {"Type": "HIDDEN"}, 1),
    "a read marker in an elastic channel": Senseless(
        "UpdateChannelReadMarker", lambda world: {"ChannelArn": world.elastic}
    ),
    "preferences in an elastic channel": Senseless(
        "PutChannelMembershipPreferences", lambda world: {"ChannelArn": world.elastic}
    ),
    "sub-channels of a plain channel": Senseless("ListSubChannels", lambda world: {"ChannelArn": world.room}),
    "an elastic channel that somebody moderates": Senseless(
        "DescribeChannelModeratedByAppInstanceUser", lambda world: {"ChannelArn": world.elastic}
    ),
    "FILTERED without a rule": Senseless(
        "PutChannelMembershipPreferences",
        lambda world: {"Preferences": {"PushNotifications": {"AllowNotifications": "FILTERED"}}},
    ),
    "a rule that is none": Senseless(
        "PutChannelMembershipPreferences",
        lambda world: {"Preferences": {"PushNotifications": {"AllowNotifications": "ALL", "FilterRule": "no rule"}}},
    ),
    "an execution order twice": Senseless("CreateChannelFlow", lambda world: {"Processors": world.processors() * 2}),
    "a data type twice": Senseless(
        "PutMessagingStreamingConfigurations",
        lambda world: {
            "StreamingConfigurations": [
                {"DataType": "Channel", "ResourceArn": world.target.resource("KINESIS_STREAM_ARN")}
            ]
            * 2
        },
    ),
    "a flow of another app instance": Senseless(
        "AssociateChannelFlow",
        lambda world: {
            "ChannelFlowArn": world.api(
                "CreateChannelFlow",
                {**GOOD["CreateChannelFlow"][0](world), "AppInstanceArn": world.other_app},
            )["ChannelFlowArn"]
        },
    ),
    "a callback for another message": Senseless(
        "ChannelFlowCallback", lambda world: {"ChannelMessage": {"MessageId": world.message}}
    ),
}


@choice("a member, moderator, target or flow that can't be meant is a BadRequest")
@pytest.mark.parametrize(
    "senseless", [pytest.param(each, id=name, marks=operation(each.name)) for name, each in SENSELESS.items()]
)
def test_what_makes_no_sense_is_a_bad_request(world: World, senseless: Senseless) -> None:
    request = {**GOOD[senseless.name][senseless.good](world), **senseless.change(world)}

    with refused("BadRequest"):
        world.api(senseless.name, {name: value for name, value in request.items() if value is not None})


@operation("PutChannelExpirationSettings")
@choice("a user who is not there can't bear a call")
def test_a_bearer_of_another_app_instance_is_forbidden(world: World) -> None:
    with refused("Forbidden"):
        world.stranger.put_channel_expiration_settings(ChannelArn=world.room, ExpirationSettings=CHANNEL_EXPIRATION)
