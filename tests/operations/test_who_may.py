"""Who may call what: the role matrix of the API (spec/api.md §1.7), cell by cell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from campana.operations.registry import OPERATIONS
from campana.store import memberships, messages
from campana.store.database import Tx
from tests.harness import KEY, LAMBDA, SECRET, App, RunningServer, User
from tests.operations.helpers import ban, bot

# Admin and moderator are no members of the channel; the bot is a plain member; the foreign user lives in another app
# instance; the last two are a call without a bearer and one with a bearer that is no ARN.
BEARERS = [
    "admin", "moderator", "member", "hidden", "outsider", "banned", "bot", "foreign", "deleted", "nobody", "nonsense",
]  # fmt: skip

# What each gets for an answer, in a restricted channel unless the row says otherwise.
MATRIX = """
                                                     adm mod mem hid out ban bot for del nob non
CreateChannel                                        201 201 201 201 201 201 201 403 403 400 400
UpdateChannel                           PUBLIC       200 200 403 403 403 403 403 403 403 400 400
DeleteChannel                           PUBLIC       204 204 403 403 403 403 403 403 403 400 400
DescribeChannel                         PUBLIC       200 200 200 200 200 403 200 403 403 400 400
DescribeChannel                         PRIVATE      200 200 200 200 403 403 200 403 403 400 400
ListChannels                            PUBLIC       200 200 200 200 200 200 200 403 403 400 400
ListChannels                            PRIVATE      200 403 403 403 403 403 403 403 403 400 400
ListChannelMembershipsForAppInstanceUser    own      200 200 200 200 200 200 200 200 403 400 400
ListChannelMembershipsForAppInstanceUser    another  200 403 403 403 403 403 403 403 403 400 400
DescribeChannelMembershipForAppInstanceUser own      403 403 200 200 403 403 200 403 403 400 400
DescribeChannelMembershipForAppInstanceUser another  200 403 403 403 403 403 403 403 403 400 400
CreateChannelMembership                 another      201 201 403 403 403 403 403 403 403 400 400
CreateChannelMembership                 UNRESTRICTED 201 201 201 201 403 403 201 403 403 400 400
CreateChannelMembership                 HIDDEN       201 201 403 403 403 403 403 403 403 400 400
CreateChannelMembership                 self-PUBLIC  201 201 409 409 201 403 409 403 403 400 400
CreateChannelMembership                 self-PRIVATE 201 201 403 403 403 403 403 403 403 400 400
BatchCreateChannelMembership            another      200 200 403 403 403 403 403 403 403 400 400
BatchCreateChannelMembership            UNRESTRICTED 200 200 200 200 403 403 200 403 403 400 400
BatchCreateChannelMembership            HIDDEN       200 200 403 403 403 403 403 403 403 400 400
BatchCreateChannelMembership            self-PUBLIC  200 200 403 403 403 403 403 403 403 400 400
DescribeChannelMembership               PUBLIC       200 200 200 200 200 403 200 403 403 400 400
DescribeChannelMembership               PRIVATE      200 200 200 200 403 403 200 403 403 400 400
DescribeChannelMembership               HIDDEN       200 200 404 200 404 403 404 403 403 400 400
ListChannelMemberships                  PUBLIC       200 200 200 200 200 403 200 403 403 400 400
ListChannelMemberships                  PRIVATE      200 200 200 200 403 403 200 403 403 400 400
ListChannelMemberships                  HIDDEN       200 200 403 403 403 403 403 403 403 400 400
DeleteChannelMembership                 another      204 204 403 403 403 403 403 403 403 400 400
DeleteChannelMembership                 own          204 204 204 204 403 403 204 403 403 400 400
SendChannelMessage                      PUBLIC       403 403 201 403 403 403 201 403 403 400 400
SendChannelMessage                      PRIVATE      403 403 201 403 403 403 201 403 403 400 400
GetChannelMessage                       PUBLIC       200 200 200 200 200 403 200 403 403 400 400
GetChannelMessage                       PRIVATE      200 200 200 200 403 403 200 403 403 400 400
GetChannelMessage                       targeted     404 404 404 404 404 403 404 403 403 400 400
GetChannelMessageStatus                 another      403 403 403 403 403 403 403 403 403 400 400
GetChannelMessageStatus                 own          200 200 200 200 200 200 200 403 403 400 400
ListChannelMessages                     PUBLIC       200 200 200 200 200 403 200 403 403 400 400
ListChannelMessages                     PRIVATE      200 200 200 200 403 403 200 403 403 400 400
UpdateChannelMessage                    another      403 403 403 403 403 403 403 403 403 400 400
UpdateChannelMessage                    own          403 403 200 200 403 403 200 403 403 400 400
RedactChannelMessage                    another      200 200 403 403 403 403 403 403 403 400 400
RedactChannelMessage                    own          200 200 200 200 403 403 200 403 403 400 400
RedactChannelMessage                    targeted     403 403 403 403 403 403 403 403 403 400 400
DeleteChannelMessage                    another      204 403 403 403 403 403 403 403 403 400 400
DeleteChannelMessage                    own          204 403 403 403 403 403 403 403 403 400 400
DeleteChannelMessage                    targeted     204 403 403 403 403 403 403 403 403 400 400
AssociateChannelFlow                    PUBLIC       200 200 403 403 403 403 403 403 403 400 400
DisassociateChannelFlow                 PUBLIC       204 204 403 403 403 403 403 403 403 400 400
"""


@dataclass(frozen=True)
class Cast:
    """Who there is, and a client that sends whatever bearer it is given."""

    app: App
    client: Any
    author: User
    newcomer: User
    bearers: dict[str, str | None]


@pytest.fixture(scope="module")
def cast(server: RunningServer) -> Cast:
    app = App(server)
    deleted = app.user("deleted")
    app.identity.delete_app_instance_user(AppInstanceUserArn=deleted.arn)
    server.settle()
    users = dict(zip(BEARERS[1:6], app.users(*BEARERS[1:6]), strict=True))
    users |= {"admin": app.admin("admin"), "bot": bot(app, "bot"), "foreign": App(server).user("foreign")}
    arns: dict[str, str | None] = {name: user.arn for name, user in users.items()}
    return Cast(
        app,
        boto3.client(
            "chime-sdk-messaging",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        ),
        app.user("author"),
        app.user("newcomer"),
        {**arns, "deleted": deleted.arn, "nobody": None, "nonsense": "nonsense"},
    )


@dataclass(frozen=True)
class Stage:
    """A channel with everybody in their places, and messages: one of its author, one that the bearer once sent."""

    cast: Cast
    channel: str
    message: str
    own_message: str
    bearer: str


def staged(cast: Cast, bearer: str, case: str) -> Stage:
    arns = {name: arn or "nobody" for name, arn in cast.bearers.items()}
    channel = cast.author.create_channel(
        AppInstanceArn=cast.app.arn,
        Name="stage",
        MemberArns=[arns["member"], arns["bot"]],
        ModeratorArns=[arns["moderator"]],
        Privacy="PRIVATE" if case.endswith("PRIVATE") else "PUBLIC",
        Mode="UNRESTRICTED" if case == "UNRESTRICTED" else "RESTRICTED",
    )["ChannelArn"]

    def insert(tx: Tx) -> None:
        hidden = memberships.Membership(channel, arns["hidden"], "", "HIDDEN", cast.author.arn, now, now, None)
        assert memberships.insert(tx, hidden)
        for id, sender in ((f"{tag}0", cast.author.arn), (f"{tag}1", arns[bearer])):
            messages.insert(tx, _message(id, channel, sender, cast.author.arn if case == "targeted" else None, now))

    now, tag = cast.app.server.clock.now(), channel.rpartition("/")[2]
    cast.app.server.writes(insert)
    ban(channel, User(cast.app, arns["banned"]))
    return Stage(cast, channel, f"{tag}0", f"{tag}1", arns[bearer])


def _message(id: str, channel: str, sender: str, target: str | None, now: int) -> messages.Message:
    return messages.Message(
        id=id, channel_arn=channel, sub_channel_id="", sender_arn=sender, type="STANDARD", persistence="PERSISTENT",
        status="SENT", status_detail=None, content="hello", metadata=None, content_type=None, message_attributes=None,
        push_notification=None, target_arn=target, created_at=now, updated_at=now, edited_at=None, redacted_at=None,
    )  # fmt: skip


def of_app(stage: Stage, case: str) -> dict[str, Any]:
    return {"AppInstanceArn": stage.cast.app.arn}


def of_channel(stage: Stage, case: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel}


def of_message(stage: Stage, case: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel, "MessageId": stage.own_message if case == "own" else stage.message}


def of_user(stage: Stage, case: str) -> dict[str, Any]:
    return {"AppInstanceUserArn": stage.bearer if case == "own" else stage.cast.author.arn}


def of_member(stage: Stage, case: str) -> dict[str, Any]:
    arn = {"own": stage.bearer, "HIDDEN": stage.cast.bearers["hidden"]}.get(case, stage.cast.author.arn)
    return {"ChannelArn": stage.channel, "MemberArn": arn}


def joining(stage: Stage, case: str) -> dict[str, Any]:
    arn = stage.bearer if case.startswith("self") else stage.cast.newcomer.arn
    return {"ChannelArn": stage.channel, "MemberArn": arn, "Type": "HIDDEN" if case == "HIDDEN" else "DEFAULT"}


def joining_together(stage: Stage, case: str) -> dict[str, Any]:
    one = joining(stage, case)
    return {"ChannelArn": stage.channel, "MemberArns": [one["MemberArn"]], "Type": one["Type"]}


def with_flow(stage: Stage, case: str) -> dict[str, Any]:
    flow = stage.cast.app.flow(f"{LAMBDA}f")
    if case == "associated":
        stage.cast.author.associate_channel_flow(ChannelArn=stage.channel, ChannelFlowArn=flow)
    return {"ChannelArn": stage.channel, "ChannelFlowArn": flow}


Members = Callable[[Stage, str], dict[str, Any]]
CALLS: dict[str, tuple[str, Members]] = {
    "CreateChannel": ("create_channel", lambda s, c: {**of_app(s, c), "Name": "new"}),
    "UpdateChannel": ("update_channel", lambda s, c: {**of_channel(s, c), "Name": "new"}),
    "DeleteChannel": ("delete_channel", of_channel),
    "DescribeChannel": ("describe_channel", of_channel),
    "ListChannels": ("list_channels", lambda s, c: {**of_app(s, c), "Privacy": c}),
    "ListChannelMembershipsForAppInstanceUser": ("list_channel_memberships_for_app_instance_user", of_user),
    "DescribeChannelMembershipForAppInstanceUser": (
        "describe_channel_membership_for_app_instance_user",
        lambda s, c: {**of_channel(s, c), **of_user(s, c)},
    ),
    "CreateChannelMembership": ("create_channel_membership", joining),
    "BatchCreateChannelMembership": ("batch_create_channel_membership", joining_together),
    "DescribeChannelMembership": ("describe_channel_membership", of_member),
    "ListChannelMemberships": (
        "list_channel_memberships",
        lambda s, c: {**of_channel(s, c), **({"Type": c} if c == "HIDDEN" else {})},
    ),
    "DeleteChannelMembership": ("delete_channel_membership", of_member),
    "SendChannelMessage": (
        "send_channel_message",
        lambda s, c: {**of_channel(s, c), "Content": "c", "Type": "STANDARD", "Persistence": "PERSISTENT"},
    ),
    "GetChannelMessage": ("get_channel_message", of_message),
    "GetChannelMessageStatus": ("get_channel_message_status", of_message),
    "ListChannelMessages": ("list_channel_messages", of_channel),
    "UpdateChannelMessage": ("update_channel_message", lambda s, c: {**of_message(s, c), "Content": "new"}),
    "RedactChannelMessage": ("redact_channel_message", of_message),
    "DeleteChannelMessage": ("delete_channel_message", of_message),
    "AssociateChannelFlow": ("associate_channel_flow", with_flow),
    "DisassociateChannelFlow": ("disassociate_channel_flow", lambda s, c: with_flow(s, "associated")),
}
ERRORS = {400: "BadRequestException", 403: "ForbiddenException", 404: "NotFoundException", 409: "ConflictException"}
ROWS = [line.split() for line in MATRIX.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[:-11]))
def test_each_bearer_gets_the_answer_of_the_matrix(cast: Cast, row: list[str]) -> None:
    operation, case = row[0], "".join(row[1:-11])
    name, members = CALLS[operation]
    call = getattr(cast.client, name)

    found = []
    for bearer in BEARERS:
        stage = staged(cast, bearer, case)
        bearing = {} if cast.bearers[bearer] is None else {"ChimeBearer": cast.bearers[bearer]}
        found.append(_status(lambda: call(**members(stage, case), **bearing)))  # noqa: B023

    assert dict(zip(BEARERS, found, strict=True)) == dict(zip(BEARERS, map(int, row[-11:]), strict=True))


def _status(call: Callable[[], Any]) -> int:
    try:
        return int(call()["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        answer = error.response
    status = int(answer["ResponseMetadata"]["HTTPStatusCode"])
    assert answer["Error"]["Code"] == ERRORS[status]
    return status


def test_every_built_operation_that_has_a_bearer_is_in_the_matrix() -> None:
    with_bearer = {name for name, each in OPERATIONS.items() if "chime_bearer" in each.route.request.__struct_fields__}

    assert with_bearer == {row[0] for row in ROWS} == set(CALLS)
