"""The second gate from outside: which resources and actions policies are asked about, for every operation."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from campana.api.base import wire_names
from campana.operations.registry import OPERATIONS
from tests.auth.principals import Principal, allow, answered, deny, policy
from tests.harness import App, RunningServer

# What spec/api.md says behind "IAM:", operations by resources.
SPEC = {
    "user|bot": """
        CreateChannel ListChannels SearchChannels ListChannelMembershipsForAppInstanceUser
        ListChannelsModeratedByAppInstanceUser
    """,
    "user|bot + channel": """
        DescribeChannel UpdateChannel DeleteChannel UpdateChannelReadMarker
        DescribeChannelMembershipForAppInstanceUser DescribeChannelModeratedByAppInstanceUser ListSubChannels
        CreateChannelMembership BatchCreateChannelMembership DescribeChannelMembership ListChannelMemberships
        DeleteChannelMembership CreateChannelModerator DescribeChannelModerator ListChannelModerators
        DeleteChannelModerator CreateChannelBan DescribeChannelBan ListChannelBans DeleteChannelBan
        PutChannelMembershipPreferences GetChannelMembershipPreferences SendChannelMessage GetChannelMessage
        ListChannelMessages UpdateChannelMessage RedactChannelMessage DeleteChannelMessage GetChannelMessageStatus
    """,
    "user + channel": """
        PutChannelExpirationSettings
    """,
    "app-instance": """
        CreateChannelFlow PutMessagingStreamingConfigurations GetMessagingStreamingConfigurations
        DeleteMessagingStreamingConfigurations DescribeAppInstance UpdateAppInstance DeleteAppInstance
        ListAppInstances PutAppInstanceRetentionSettings GetAppInstanceRetentionSettings
    """,
    "channel-flow": """
        DescribeChannelFlow UpdateChannelFlow ListChannelFlows ListChannelsAssociatedWithChannelFlow
    """,
    "channel": """
        DeleteChannelFlow ChannelFlowCallback
    """,
    "user|bot + channel + channel-flow": """
        AssociateChannelFlow DisassociateChannelFlow
    """,
    "*": """
        GetMessagingSessionEndpoint CreateAppInstance CreateAppInstanceUser CreateAppInstanceBot
    """,
    "app-instance + bot + user + channel + channel-flow": """
        TagResource UntagResource ListTagsForResource
    """,
    "user": """
        DescribeAppInstanceUser UpdateAppInstanceUser DeleteAppInstanceUser ListAppInstanceUsers
        PutAppInstanceUserExpirationSettings RegisterAppInstanceUserEndpoint DescribeAppInstanceUserEndpoint
        UpdateAppInstanceUserEndpoint DeregisterAppInstanceUserEndpoint ListAppInstanceUserEndpoints
    """,
    "user|bot + app-instance": """
        CreateAppInstanceAdmin DescribeAppInstanceAdmin ListAppInstanceAdmins DeleteAppInstanceAdmin
    """,
    "bot": """
        DescribeAppInstanceBot UpdateAppInstanceBot DeleteAppInstanceBot ListAppInstanceBots
    """,
}

USER_TO_BE, ALL_USERS, ALL_BOTS, ALL_FLOWS = "user-to-be", "user/*", "bot/*", "channel-flow/*"

# Where the specification names a resource that the request does not have, and what is asked about instead.
DIFFERENT = {
    # A slip of the reference (spec/api.md says so itself).
    "DeleteChannelFlow": ["channel-flow"],
    # The request has an app instance only. Policies in the field grant these on everything of the kind in it
    # (AWS's own demo: ListAppInstanceUsers on …/user/*).
    "ListAppInstanceUsers": [ALL_USERS],
    "ListAppInstanceBots": [ALL_BOTS],
    "ListChannelFlows": [ALL_FLOWS],
    "ListAppInstanceAdmins": ["app-instance"],
    "ListAppInstances": ["*"],  # spec/identity-auth.md §4
    # Policies with * allow these as well, and those in the field with …/user/* (AWS's own demo).
    "CreateAppInstanceUser": [USER_TO_BE],
    "CreateAppInstanceBot": [ALL_BOTS],
}


def expected(operation: str) -> list[str]:
    if operation in DIFFERENT:
        return DIFFERENT[operation]
    words = next(words for words, names in SPEC.items() if operation in names.split())
    if "bot + user" in words:
        return ["resource"]  # any of those
    if words.startswith("user|bot + app"):
        return ["admin", "app-instance"]
    bearer = "chime_bearer" in OPERATIONS[operation].route.request.__struct_fields__
    parts = words.split(" + ")
    return ["bearer" if bearer and part.startswith("user") else part for part in parts]


class Resources:
    """ARNs to ask with; of things that are not there, since policies are asked before."""

    def __init__(self, app: str) -> None:
        self.arns = {
            "*": "*",
            "app-instance": app,
            "bearer": f"{app}/user/bearer",
            "admin": f"{app}/user/admin",
            "user": f"{app}/user/user",
            "bot": f"{app}/bot/bot",
            "channel": f"{app}/channel/channel",
            "channel-flow": f"{app}/channel-flow/flow",
            "resource": f"{app}/channel/tagged",
            USER_TO_BE: f"{app}/user/new",
            ALL_USERS: f"{app}/user/*",
            ALL_BOTS: f"{app}/bot/*",
            ALL_FLOWS: f"{app}/channel-flow/*",
        }

    def members(self, operation: str) -> dict[str, Any]:
        given = {
            "ChimeBearer": "bearer", "AppInstanceArn": "app-instance", "AppInstanceUserArn": "user",
            "AppInstanceBotArn": "bot", "AppInstanceAdminArn": "admin", "ChannelArn": "channel",
            "ChannelFlowArn": "channel-flow", "ResourceARN": "resource", "MemberArn": "user",
            "ChannelModeratorArn": "user",
        }  # fmt: skip
        names = wire_names(OPERATIONS[operation].route.request).values()
        members: dict[str, Any] = {name: self.arns[given[name]] for name in names if name in given}
        in_paths = {"AppInstanceUserId": "new", "MessageId": "m1", "SubChannelId": "s1", "EndpointId": "e1"}
        return members | {name: value for name, value in in_paths.items() if name in names}


def test_the_table_has_every_operation() -> None:
    assert sorted(name for names in SPEC.values() for name in names.split()) == sorted(OPERATIONS)


def ask(principal: Principal, operation: str, **members: Any) -> str:
    """ "" or the message of the refusal by policies. Whatever comes after that gate does not count."""
    service = "messaging" if OPERATIONS[operation].route.service != "identity" else "identity"
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
    try:
        getattr(principal.client(f"chime-sdk-{service}", validates=False), method)(**members)
    except ClientError as error:
        answer = error.response
        if (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDeniedException", 403):
            return str(answer["Error"]["Message"])
    return ""


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_policies_are_asked_about_the_resources_of_the_specification(server: RunningServer, operation: str) -> None:
    resources = Resources("arn:aws:chime:us-east-1:123456789012:app-instance/5e35a8f5-0000-4000-8000-000000000000")
    action, members = f"chime:{operation}", resources.members(operation)
    needed = [resources.arns[word] for word in expected(operation)]
    as_patterns = [arn if arn == "*" else arn.replace("*", "${*}") for arn in needed]

    allowed = Principal.with_key(server, policy(allow(action, on=as_patterns)))
    assert ask(allowed, operation, **members) == ""
    for missing, pattern in zip(needed, as_patterns, strict=True):
        others = [each for each in as_patterns if each != pattern]
        refused = Principal.with_key(
            server, policy(allow(action, on=others or "arn:aws:chime:other:1:x"), allow("x:y"))
        )
        assert ask(refused, operation, **members) == (
            f"User: arn:aws:iam::123456789012:user/somebody is not authorized to perform: {action} on resource: "
            f"{missing} because no identity-based policy allows the {action} action"
        )


def test_a_denial_is_said_to_be_one(server: RunningServer, app: App) -> None:
    ann = app.user("ann")
    principal = Principal.with_key(server, policy(allow("*"), deny("chime:CreateChannel")))
    with answered("AccessDeniedException", f"on resource: {ann.arn} with an explicit deny in an identity-based policy"):
        principal.messaging.create_channel(AppInstanceArn=app.arn, Name="Lobby", ChimeBearer=ann.arn)


def test_the_bearer_is_pinned_by_the_policy(server: RunningServer, app: App) -> None:
    ann, bob = app.users("ann", "bob")
    lobby = ann.makes_channel(members=[bob])
    only_ann = Principal.with_key(server, policy(allow("chime:*", on=[ann.arn, f"{app.arn}/channel/*"])))
    backend = Principal.with_key(server, policy(allow("chime:*", on=[f"{app.arn}/user/*", f"{app.arn}/channel/*"])))

    said = {"ChannelArn": lobby, "Content": "hi", "Type": "STANDARD", "Persistence": "PERSISTENT"}
    only_ann.messaging.send_channel_message(ChimeBearer=ann.arn, **said)
    with answered("AccessDeniedException", f"chime:SendChannelMessage on resource: {bob.arn} because no"):
        only_ann.messaging.send_channel_message(ChimeBearer=bob.arn, **said)
    backend.messaging.send_channel_message(ChimeBearer=bob.arn, **said)
    assert only_ann.refused_with(bob.arn) == 4003
    only_ann.connects(ann.arn).close()


def test_refusals_come_in_the_order_of_the_gates(server: RunningServer, app: App) -> None:
    ann = app.user("ann")
    nobody = Principal.with_key(server, policy(deny("*")))
    forger = Principal(server, nobody.key, "not the secret")
    unknown = Principal(server, "CAMPAKIANOBODY", "x")
    bad = {"AppInstanceArn": app.arn, "Name": "x" * 1_000, "ChimeBearer": ann.arn}
    for principal, code in (
        (unknown, "UnrecognizedClientException"),
        (forger, "InvalidSignatureException"),
        (nobody, "AccessDeniedException"),
    ):
        with answered(code):
            principal.client("chime-sdk-messaging", validates=False).create_channel(**bad)
    everything = Principal.with_key(server, policy(allow("*")))
    with answered("BadRequestException", status=400):
        everything.client("chime-sdk-messaging", validates=False).create_channel(**bad)


# What creation asks for beyond its own action.


@pytest.mark.parametrize(
    ("further", "members"),
    [
        ("chime:TagResource", {"Tags": [{"Key": "team", "Value": "blue"}]}),
        (
            "chime:PutChannelExpirationSettings",
            {"ExpirationSettings": {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}},
        ),
    ],
)
def test_further_actions_of_creating_a_channel(server: RunningServer, app: App, further: str, members: Any) -> None:
    ann = app.user("ann")
    given = {"AppInstanceArn": app.arn, "Name": "Lobby", "ChimeBearer": ann.arn}
    plain = Principal.with_key(server, policy(allow("chime:CreateChannel")))
    plain.messaging.create_channel(**given)
    with answered("AccessDeniedException", f"{further} on resource: {ann.arn} because no"):
        plain.messaging.create_channel(**given, **members)
    Principal.with_key(server, policy(allow("chime:CreateChannel", further))).messaging.create_channel(
        **given, **members
    )


@pytest.mark.parametrize(
    ("further", "members"),
    [
        ("chime:TagResource", {"Tags": [{"Key": "team", "Value": "blue"}]}),
        (
            "chime:PutAppInstanceUserExpirationSettings",
            {"ExpirationSettings": {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}},
        ),
    ],
)
def test_further_actions_of_creating_a_user(server: RunningServer, app: App, further: str, members: Any) -> None:
    given = {"AppInstanceArn": app.arn, "Name": "Ann", "AppInstanceUserId": "ann"}
    plain = Principal.with_key(server, policy(allow("chime:CreateAppInstanceUser", on=f"{app.arn}/user/*")))
    with answered("AccessDeniedException", f"{further} on resource: {app.arn}/user/ann because no"):
        plain.identity.create_app_instance_user(**given, **members)
    plain.identity.create_app_instance_user(**given)


# Conditions on tags.


def tagged(team: str) -> list[dict[str, str]]:
    return [{"Key": "team", "Value": team}]


def test_conditions_on_the_tags_of_resources(server: RunningServer, app: App) -> None:
    ann = app.user("ann")
    blue, red = (ann.makes_channel(Tags=tagged(team)) for team in ("blue", "red"))
    app.identity.tag_resource(ResourceARN=ann.arn, Tags=tagged("blue"))
    of_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    member = Principal.with_key(server, policy(allow("chime:DescribeChannel", Condition=of_team)), team="blue")

    member.messaging.describe_channel(ChannelArn=blue, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", f"on resource: {red} because no"):
        member.messaging.describe_channel(ChannelArn=red, ChimeBearer=ann.arn)
    app.messaging.tag_resource(ResourceARN=red, Tags=tagged("blue"))
    member.messaging.describe_channel(ChannelArn=red, ChimeBearer=ann.arn)  # at once
    app.identity.tag_resource(ResourceARN=ann.arn, Tags=tagged("red"))
    with answered("AccessDeniedException", f"on resource: {ann.arn} because no"):
        member.messaging.describe_channel(ChannelArn=blue, ChimeBearer=ann.arn)


def test_a_second_tag_that_differs_in_case_opens_nothing(server: RunningServer, app: App) -> None:
    ann = app.user("ann")
    red = ann.makes_channel(Tags=tagged("red"))
    of_blue = {"StringEqualsIfExists": {"aws:ResourceTag/team": "blue"}}
    member = Principal.with_key(server, policy(allow("chime:DescribeChannel", Condition=of_blue)))
    app.messaging.tag_resource(
        ResourceARN=red, Tags=[{"Key": "Team", "Value": "blue"}, {"Key": "TEAM", "Value": "blue"}]
    )
    with answered("AccessDeniedException", f"on resource: {red}"):
        member.messaging.describe_channel(ChannelArn=red, ChimeBearer=ann.arn)


@pytest.mark.parametrize(
    ("tags", "allowed"),
    [
        (tagged("blue"), True),
        (tagged("red"), False),
        ([], False),
        ([{"Key": "Team", "Value": "blue"}], True),
        ([*tagged("blue"), {"Key": "size", "Value": "9"}], True),
        ([*tagged("blue"), {"Key": "admin", "Value": "yes"}], False),
        ([*tagged("red"), {"Key": "Team", "Value": "blue"}], False),
    ],
)
def test_conditions_on_the_tags_of_requests(
    server: RunningServer, app: App, tags: list[dict[str, str]], allowed: bool
) -> None:
    ann = app.user("ann")
    demanded = {
        "StringEquals": {"aws:RequestTag/team": "blue"},
        "ForAllValues:StringEqualsIgnoreCase": {"aws:TagKeys": ["team", "size"]},
    }
    principal = Principal.with_key(
        server, policy(allow("chime:CreateChannel", "chime:TagResource", Condition=demanded))
    )
    given = {"AppInstanceArn": app.arn, "Name": "Lobby", "ChimeBearer": ann.arn, **({"Tags": tags} if tags else {})}
    if allowed:
        principal.messaging.create_channel(**given)
    else:
        with answered("AccessDeniedException", "chime:CreateChannel"):
            principal.messaging.create_channel(**given)


def test_conditions_on_the_keys_of_tags_to_remove(server: RunningServer, app: App) -> None:
    ann = app.user("ann")
    lobby = ann.makes_channel(Tags=[*tagged("blue"), {"Key": "note", "Value": "x"}])
    guarded = {"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}}
    principal = Principal.with_key(server, policy(allow("chime:*"), deny("chime:UntagResource", Condition=guarded)))
    principal.messaging.untag_resource(ResourceARN=lobby, TagKeys=["note"])
    with answered("AccessDeniedException", "with an explicit deny"):
        principal.messaging.untag_resource(ResourceARN=lobby, TagKeys=["note", "team"])


# Other keys, on real requests.


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"NumericGreaterThan": {"aws:EpochTime": "1577836800"}}, True),
        ({"StringEquals": {"aws:username": "somebody"}}, True),
        ({"StringEquals": {"aws:PrincipalTag/TEAM": "blue"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/some*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/*"}}, False),
        ({"StringEquals": {"aws:PrincipalAccount": "123456789012", "aws:PrincipalType": "User"}}, True),
        ({"StringLike": {"aws:userid": "CAMPAKIA*"}}, True),
        ({"Null": {"aws:TokenIssueTime": "true"}}, True),
        ({"Null": {"aws:MultiFactorAuthPresent": "false"}}, False),
    ],
)
def test_keys_of_every_request(server: RunningServer, condition: dict[str, Any], allowed: bool) -> None:
    principal = Principal.with_key(
        server, policy(allow("chime:GetMessagingSessionEndpoint", Condition=condition)), team="blue"
    )
    if allowed:
        principal.messaging.get_messaging_session_endpoint()
    else:
        with answered("AccessDeniedException"):
            principal.messaging.get_messaging_session_endpoint()


def test_the_policy_of_the_specification(server: RunningServer, app: App) -> None:
    """spec/identity-auth.md §4, the end user's."""
    ann, bob = app.users("ann", "bob")
    lobby = bob.makes_channel(members=[ann])
    document = policy(
        allow("chime:GetMessagingSessionEndpoint"),
        allow(
            "chime:Connect", "chime:SendChannelMessage", "chime:ListChannels", "chime:ListChannelMemberships",
            on=[f"{app.arn}/user/${{aws:PrincipalTag/AppUserId}}", f"{app.arn}/channel/*"],
        ),
    )  # fmt: skip
    principal = Principal.with_key(server, document, AppUserId="ann")
    principal.messaging.get_messaging_session_endpoint()
    principal.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=ann.arn)
    principal.messaging.list_channel_memberships(ChannelArn=lobby, ChimeBearer=ann.arn)
    with answered("AccessDeniedException", bob.arn):
        principal.messaging.list_channels(AppInstanceArn=app.arn, ChimeBearer=bob.arn)
    with answered("AccessDeniedException", "chime:DeleteChannel"):
        principal.messaging.delete_channel(ChannelArn=lobby, ChimeBearer=ann.arn)
