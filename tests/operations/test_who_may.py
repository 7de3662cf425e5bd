"""Who may call what: the role matrix of the API (spec/api.md §1.7 with its footnotes), cell by cell.

The table is written from the specification, not from what the operations declare.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from campana.operations.registry import OPERATIONS
from campana.store import messages
from campana.store.database import Tx
from tests.harness import LAMBDA, App, RunningServer, User, client, refused
from tests.operations.helpers import bot, set_limit

# The admin and the first moderator are no members of the channel; the bots are a member and no member; the foreign user
# lives in another app instance.
BEARERS = [
    "admin", "moderator", "moderating member", "member", "hidden member", "outsider", "banned", "bot", "outside bot",
    "foreign",
]  # fmt: skip

# What each gets for an answer, in a PUBLIC and RESTRICTED channel unless the case says otherwise. `another` is the
# author, who made the channel: a member and moderator; in CreateChannelMembership and the like it is a newcomer.
MATRIX = """
                                                           adm mod mmo mem hid out ban bot obo for
CreateChannel                                              201 201 201 201 201 201 201 201 201 403
UpdateChannel                                              200 200 200 403 403 403 403 403 403 403
DeleteChannel                                              204 204 204 403 403 403 403 403 403 403
DescribeChannel                             PUBLIC         200 200 200 200 200 200 403 200 200 403
DescribeChannel                             PRIVATE        200 200 200 200 200 403 403 200 403 403
ListChannels                                PUBLIC         200 200 200 200 200 200 200 200 200 403
ListChannels                                PRIVATE        200 403 403 403 403 403 403 403 403 403
SearchChannels                                             200 200 200 200 200 200 200 200 200 403
PutChannelExpirationSettings                               200 200 200 403 403 403 403 403 403 403
UpdateChannelReadMarker                                    403 403 200 200 200 403 403 200 403 403
UpdateChannelReadMarker                     ELASTIC        403 403 400 400 403 403 403 400 403 403
ListSubChannels                                            400 400 400 403 403 403 403 403 403 403
ListSubChannels                             ELASTIC        200 200 200 403 403 403 403 403 403 403
ListChannelMembershipsForAppInstanceUser    own            200 200 200 200 200 200 200 200 200 200
ListChannelMembershipsForAppInstanceUser    another        200 403 403 403 403 403 403 403 403 403
DescribeChannelMembershipForAppInstanceUser own            403 403 200 200 200 403 403 200 403 403
DescribeChannelMembershipForAppInstanceUser another        200 403 403 403 403 403 403 403 403 403
ListChannelsModeratedByAppInstanceUser      own            200 200 200 200 200 200 200 200 200 200
ListChannelsModeratedByAppInstanceUser      another        200 403 403 403 403 403 403 403 403 403
DescribeChannelModeratedByAppInstanceUser   own            403 200 200 403 403 403 403 403 403 403
DescribeChannelModeratedByAppInstanceUser   another        200 403 403 403 403 403 403 403 403 403
DescribeChannelModeratedByAppInstanceUser   own ELASTIC    403 400 400 403 403 403 403 403 403 403
DescribeChannelModeratedByAppInstanceUser   another ELASTIC
                                                           400 403 403 403 403 403 403 403 403 403
CreateChannelMembership                     newcomer       201 201 201 403 403 403 403 403 403 403
CreateChannelMembership                     newcomer UNRESTRICTED
                                                           201 201 201 201 201 403 403 201 403 403
CreateChannelMembership                     newcomer UNRESTRICTED PRIVATE
                                                           201 201 201 201 201 403 403 201 403 403
CreateChannelMembership                     newcomer HIDDEN
                                                           201 201 201 403 403 403 403 403 403 403
CreateChannelMembership                     newcomer HIDDEN UNRESTRICTED
                                                           201 201 201 403 403 403 403 403 403 403
CreateChannelMembership                     own PUBLIC     201 201 409 409 409 201 403 409 201 403
CreateChannelMembership                     own PUBLIC HIDDEN
                                                           201 201 409 403 403 403 403 403 403 403
CreateChannelMembership                     own PRIVATE    201 201 409 403 403 403 403 403 403 403
CreateChannelMembership                     own PRIVATE UNRESTRICTED
                                                           201 201 409 409 409 403 403 409 403 403
CreateChannelMembership                     own PUBLIC ELASTIC
                                                           201 400 400 409 201 201 403 409 201 403
BatchCreateChannelMembership                newcomer       200 200 200 403 403 403 403 403 403 403
BatchCreateChannelMembership                newcomer UNRESTRICTED
                                                           200 200 200 200 200 403 403 200 403 403
BatchCreateChannelMembership                newcomer HIDDEN
                                                           200 200 200 403 403 403 403 403 403 403
BatchCreateChannelMembership                own PUBLIC     200 200 200 403 403 403 403 403 403 403
DescribeChannelMembership                   another PUBLIC
                                                           200 200 200 200 200 200 403 200 200 403
DescribeChannelMembership                   another PRIVATE
                                                           200 200 200 200 200 403 403 200 403 403
DescribeChannelMembership                   ghost          200 200 200 404 200 404 403 404 404 403
ListChannelMemberships                      PUBLIC         200 200 200 200 200 200 403 200 200 403
ListChannelMemberships                      PRIVATE        200 200 200 200 200 403 403 200 403 403
ListChannelMemberships                      HIDDEN         200 200 200 403 403 403 403 403 403 403
DeleteChannelMembership                     another        204 204 204 403 403 403 403 403 403 403
DeleteChannelMembership                     own            204 204 204 204 204 403 403 204 403 403
GetChannelMembershipPreferences             own            403 403 200 200 200 403 403 200 403 403
GetChannelMembershipPreferences             another        403 403 403 403 403 403 403 403 403 403
GetChannelMembershipPreferences             own ELASTIC    403 403 400 400 403 403 403 400 403 403
PutChannelMembershipPreferences             own            403 403 200 200 200 403 403 200 403 403
PutChannelMembershipPreferences             another        403 403 403 403 403 403 403 403 403 403
PutChannelMembershipPreferences             own ELASTIC    403 403 400 400 403 403 403 400 403 403
SendChannelMessage                          PUBLIC         403 403 201 201 403 403 403 201 403 403
SendChannelMessage                          PRIVATE        403 403 201 201 403 403 403 201 403 403
GetChannelMessage                           another PUBLIC
                                                           200 200 200 200 200 200 403 200 200 403
GetChannelMessage                           another PRIVATE
                                                           200 200 200 200 200 403 403 200 403 403
GetChannelMessage                           targeted       404 404 404 404 404 404 403 404 404 403
GetChannelMessage                           another pending
                                                           403 403 403 403 403 403 403 403 403 403
GetChannelMessage                           own pending    200 200 200 200 200 200 403 200 200 403
GetChannelMessageStatus                     another        403 403 403 403 403 403 403 403 403 403
GetChannelMessageStatus                     own            200 200 200 200 200 200 200 200 200 403
GetChannelMessageStatus                     own pending    200 200 200 200 200 200 200 200 200 403
ListChannelMessages                         PUBLIC         200 200 200 200 200 200 403 200 200 403
ListChannelMessages                         PRIVATE        200 200 200 200 200 403 403 200 403 403
UpdateChannelMessage                        another        403 403 403 403 403 403 403 403 403 403
UpdateChannelMessage                        own            403 403 200 200 200 403 403 200 403 403
UpdateChannelMessage                        own pending    403 403 403 403 403 403 403 403 403 403
RedactChannelMessage                        another        200 200 200 403 403 403 403 403 403 403
RedactChannelMessage                        own            200 200 200 200 200 403 403 200 403 403
RedactChannelMessage                        targeted       403 403 403 403 403 403 403 403 403 403
RedactChannelMessage                        another pending
                                                           403 403 403 403 403 403 403 403 403 403
DeleteChannelMessage                        another        204 403 403 403 403 403 403 403 403 403
DeleteChannelMessage                        own            204 403 403 403 403 403 403 403 403 403
DeleteChannelMessage                        targeted       204 403 403 403 403 403 403 403 403 403
DeleteChannelMessage                        another pending
                                                           403 403 403 403 403 403 403 403 403 403
CreateChannelModerator                      newcomer       201 403 201 403 403 403 403 403 403 403
CreateChannelModerator                      newcomer ELASTIC
                                                           201 201 201 403 403 403 403 403 403 403
DescribeChannelModerator                    another        200 200 200 403 403 403 403 403 403 403
ListChannelModerators                                      200 200 200 403 403 403 403 403 403 403
DeleteChannelModerator                      another        204 204 204 403 403 403 403 403 403 403
CreateChannelBan                            newcomer       201 201 201 403 403 403 403 403 403 403
CreateChannelBan                            admin          403 403 403 403 403 403 403 403 403 403
CreateChannelBan                            another        403 403 403 403 403 403 403 403 403 403
DescribeChannelBan                          banned         200 200 200 403 403 403 403 403 403 403
ListChannelBans                                            200 200 200 403 403 403 403 403 403 403
DeleteChannelBan                            banned         204 204 204 403 403 403 403 403 403 403
AssociateChannelFlow                                       200 200 200 403 403 403 403 403 403 403
DisassociateChannelFlow                     flow           204 204 204 403 403 403 403 403 403 403
"""


@dataclass(frozen=True)
class Row:
    operation: str
    case: frozenset[str]
    expected: list[int]

    def __str__(self) -> str:
        return "-".join((self.operation, *sorted(self.case)))


def _rows(text: str) -> Iterator[Row]:
    """A row whose case is long goes on in the next line."""
    words: list[str] = []
    for word in text.split()[len(BEARERS) :]:
        words.append(word)
        if len(words) > len(BEARERS) and words[-len(BEARERS)].isdigit():
            yield Row(words[0], frozenset(words[1 : -len(BEARERS)]), list(map(int, words[-len(BEARERS) :])))
            words = []


ROWS = list(_rows(MATRIX))


@dataclass
class Cast:
    """Who there is, a client that sends whatever bearer it is given, and the stages that nobody has changed yet."""

    app: App
    client: Any
    author: User
    newcomer: User
    flow: str
    bearers: dict[str, str]
    stages: dict[frozenset[str], "Stage"] = field(default_factory=dict)

    def user(self, name: str) -> User:
        return User(self.app, self.bearers[name])


@pytest.fixture(scope="module")
def cast(server: RunningServer) -> Cast:
    app = App(server)
    users = dict(zip(BEARERS[1:7], app.users(*(name.replace(" ", "-") for name in BEARERS[1:7])), strict=True))
    users |= {"admin": app.admin("admin"), "bot": bot(app, "bot"), "outside bot": bot(app, "outside bot")}
    users |= {"foreign": App(server).user("foreign")}
    author, newcomer = app.users("author", "newcomer")
    sends_anything = client("chime-sdk-messaging", server.url, validates=False)
    set_limit(server, app.arn, "elastic-channels-per-app-instance", 1000)
    bearers = {name: user.arn for name, user in users.items()}
    return Cast(app, sends_anything, author, newcomer, app.flow(f"{LAMBDA}f"), bearers)


@dataclass(frozen=True)
class Stage:
    """A channel with everybody in their places, and messages: of its author, and of everybody else."""

    cast: Cast
    channel: str
    sub_channel: str | None

    def message(self, sender: str, status: str = "SENT", targeted: bool = False) -> str:
        tag = self.channel.rpartition("/")[2].replace(":", "-")
        return f"{tag}-{sender.rpartition('/')[2]}-{status}{'-targeted' if targeted else ''}"


SETTINGS = frozenset({"PRIVATE", "UNRESTRICTED", "ELASTIC", "flow"})


def staged(cast: Cast, case: frozenset[str]) -> Stage:
    """A stage of this kind, as it was when it was made."""
    kind = case & SETTINGS
    if kind not in cast.stages:
        cast.stages[kind] = _made(cast, kind)
    return cast.stages[kind]


def _made(cast: Cast, kind: frozenset[str]) -> Stage:
    elastic = "ELASTIC" in kind
    members = [cast.bearers[name] for name in ("moderating member", "member", "bot")]
    channel = cast.author.makes_channel(
        ModeratorArns=[cast.bearers["moderator"], cast.bearers["moderating member"]],
        Privacy="PRIVATE" if "PRIVATE" in kind else "PUBLIC",
        Mode="UNRESTRICTED" if "UNRESTRICTED" in kind else "RESTRICTED",
        flow=cast.flow if "flow" in kind else None,
        **({"ElasticChannelConfiguration": ELASTIC} if elastic else {"MemberArns": members}),
    )
    sub_channel = None
    if elastic:
        for member in members[1:]:
            joined = cast.author.create_channel_membership(ChannelArn=channel, MemberArn=member, Type="DEFAULT")
        sub_channel = joined["SubChannelId"]
        cast.author.create_channel_membership(
            ChannelArn=channel, MemberArn=members[0], Type="DEFAULT", SubChannelId=sub_channel
        )
    else:
        cast.author.create_channel_membership(
            ChannelArn=channel, MemberArn=cast.bearers["hidden member"], Type="HIDDEN"
        )
    cast.author.create_channel_ban(ChannelArn=channel, MemberArn=cast.bearers["banned"])
    stage = Stage(cast, channel, sub_channel)
    cast.app.server.writes(_write_messages, stage)
    return stage


ELASTIC = {"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 100, "MinimumMembershipPercentage": 1}


def _write_messages(tx: Tx, stage: Stage) -> None:
    """Everybody has sent once, and once more what is still in processing: members they were once."""
    now = stage.cast.app.server.clock.now()
    author = stage.cast.author.arn
    sent = [(sender, status, None) for sender in (author, *stage.cast.bearers.values()) for status in STATUSES]
    for sender, status, target in (*sent, (author, "SENT", author)):
        messages.insert(
            tx,
            messages.Message(
                id=stage.message(sender, status, target is not None),
                channel_arn=stage.channel,
                sub_channel_id=stage.sub_channel or "",
                sender_arn=sender,
                type="STANDARD",
                persistence="PERSISTENT",
                status=status,
                status_detail=None,
                content="hello",
                metadata=None,
                content_type=None,
                message_attributes=None,
                push_notification=None,
                target_arn=target,
                created_at=now,
                updated_at=now,
                edited_at=None,
                redacted_at=None,
            ),
        )


STATUSES = ("SENT", "PENDING")

# What a call is given besides its bearer, from the stage, the case and the bearer's ARN.


def of_app(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"AppInstanceArn": stage.cast.app.arn}


def of_channel(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel}


def of_message(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    sender = bearer if "own" in case else stage.cast.author.arn
    status = "PENDING" if "pending" in case else "SENT"
    return {"ChannelArn": stage.channel, "MessageId": stage.message(sender, status, "targeted" in case)}


def _whom(stage: Stage, case: frozenset[str], bearer: str) -> str:
    cast = stage.cast
    whom = {
        "own": bearer,
        "another": cast.author.arn,
        "newcomer": cast.newcomer.arn,
        "ghost": cast.bearers["hidden member"],
        "banned": cast.bearers["banned"],
        "admin": cast.bearers["admin"],
    }
    (named,) = case & whom.keys()
    return whom[named]


def of_user(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"AppInstanceUserArn": _whom(stage, case, bearer)}


def of_member(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel, "MemberArn": _whom(stage, case, bearer)}


def of_moderator(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel, "ChannelModeratorArn": _whom(stage, case, bearer)}


def joining(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {**of_member(stage, case, bearer), "Type": "HIDDEN" if "HIDDEN" in case else "DEFAULT"}


def joining_together(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    one = joining(stage, case, bearer)
    return {"ChannelArn": stage.channel, "MemberArns": [one["MemberArn"]], "Type": one["Type"]}


def with_flow(stage: Stage, case: frozenset[str], bearer: str) -> dict[str, Any]:
    return {"ChannelArn": stage.channel, "ChannelFlowArn": stage.cast.flow}


Members = Callable[[Stage, frozenset[str], str], dict[str, Any]]
CALLS: dict[str, tuple[str, Members]] = {
    "CreateChannel": ("create_channel", lambda *of: {**of_app(*of), "Name": "new"}),
    "UpdateChannel": ("update_channel", lambda *of: {**of_channel(*of), "Name": "new"}),
    "DeleteChannel": ("delete_channel", of_channel),
    "DescribeChannel": ("describe_channel", of_channel),
    "ListChannels": (
        "list_channels",
        lambda stage, case, bearer: {
            **of_app(stage, case, bearer),
            "Privacy": "PRIVATE" if "PRIVATE" in case else "PUBLIC",
        },
    ),
    "SearchChannels": (
        "search_channels",
        lambda stage, case, bearer: {
            "Fields": [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [stage.cast.author.arn]}]
        },
    ),
    "PutChannelExpirationSettings": ("put_channel_expiration_settings", of_channel),
    "UpdateChannelReadMarker": ("update_channel_read_marker", of_channel),
    "ListSubChannels": ("list_sub_channels", of_channel),
    "ListChannelMembershipsForAppInstanceUser": ("list_channel_memberships_for_app_instance_user", of_user),
    "DescribeChannelMembershipForAppInstanceUser": (
        "describe_channel_membership_for_app_instance_user",
        lambda *of: {**of_channel(*of), **of_user(*of)},
    ),
    "ListChannelsModeratedByAppInstanceUser": ("list_channels_moderated_by_app_instance_user", of_user),
    "DescribeChannelModeratedByAppInstanceUser": (
        "describe_channel_moderated_by_app_instance_user",
        lambda *of: {**of_channel(*of), **of_user(*of)},
    ),
    "CreateChannelMembership": ("create_channel_membership", joining),
    "BatchCreateChannelMembership": ("batch_create_channel_membership", joining_together),
    "DescribeChannelMembership": ("describe_channel_membership", of_member),
    "ListChannelMemberships": (
        "list_channel_memberships",
        lambda stage, case, bearer: {
            **of_channel(stage, case, bearer),
            "Type": "HIDDEN" if "HIDDEN" in case else "DEFAULT",
        },
    ),
    "DeleteChannelMembership": ("delete_channel_membership", of_member),
    "GetChannelMembershipPreferences": ("get_channel_membership_preferences", of_member),
    "PutChannelMembershipPreferences": (
        "put_channel_membership_preferences",
        lambda *of: {**of_member(*of), "Preferences": {}},
    ),
    "SendChannelMessage": (
        "send_channel_message",
        lambda *of: {**of_channel(*of), "Content": "c", "Type": "STANDARD", "Persistence": "PERSISTENT"},
    ),
    "GetChannelMessage": ("get_channel_message", of_message),
    "GetChannelMessageStatus": ("get_channel_message_status", of_message),
    "ListChannelMessages": ("list_channel_messages", of_channel),
    "UpdateChannelMessage": ("update_channel_message", lambda *of: {**of_message(*of), "Content": "new"}),
    "RedactChannelMessage": ("redact_channel_message", of_message),
    "DeleteChannelMessage": ("delete_channel_message", of_message),
    "CreateChannelModerator": ("create_channel_moderator", of_moderator),
    "DescribeChannelModerator": ("describe_channel_moderator", of_moderator),
    "ListChannelModerators": ("list_channel_moderators", of_channel),
    "DeleteChannelModerator": ("delete_channel_moderator", of_moderator),
    "CreateChannelBan": ("create_channel_ban", of_member),
    "DescribeChannelBan": ("describe_channel_ban", of_member),
    "ListChannelBans": ("list_channel_bans", of_channel),
    "DeleteChannelBan": ("delete_channel_ban", of_member),
    "AssociateChannelFlow": ("associate_channel_flow", with_flow),
    "DisassociateChannelFlow": ("disassociate_channel_flow", with_flow),
}
ERRORS = {400: "BadRequestException", 403: "ForbiddenException", 404: "NotFoundException", 409: "ConflictException"}


def answered(cast: Cast, row: Row, bearer: str, bearing: dict[str, str]) -> int:
    """The status that this bearer gets. A stage that was changed is taken down; a refusal changes none."""
    name, members = CALLS[row.operation]
    stage = staged(cast, row.case)
    try:
        answer = getattr(cast.client, name)(**members(stage, row.case, bearer), **bearing)
    except ClientError as error:
        answer = error.response
    status = int(answer["ResponseMetadata"]["HTTPStatusCode"])
    assert answer.get("Error", {}).get("Code") == ERRORS.get(status)
    if status < 300 and not row.operation.startswith(("Describe", "Get", "List", "Search")):
        del cast.stages[row.case & SETTINGS]
    return status


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_bearer_gets_the_answer_of_the_matrix(cast: Cast, row: Row) -> None:
    found = {}
    for name in BEARERS:
        arn = cast.bearers[name]
        found[name] = answered(cast, row, arn, {"ChimeBearer": arn})

    assert found == dict(zip(BEARERS, row.expected, strict=True))


def test_nobody_else_calls_anything(cast: Cast) -> None:
    deleted = cast.app.user("deleted")
    cast.app.identity.delete_app_instance_user(AppInstanceUserArn=deleted.arn)
    rows = {row.operation: row for row in ROWS if "ELASTIC" not in row.case}.values()

    for bearing, expected in (
        ({}, 400),
        ({"ChimeBearer": "nonsense"}, 400),
        ({"ChimeBearer": deleted.arn}, 403),
        ({"ChimeBearer": f"{cast.app.arn}/user/unknown"}, 403),
        ({"ChimeBearer": cast.app.arn}, 403),
    ):
        found = {row.operation: answered(cast, row, deleted.arn, bearing) for row in rows}
        assert found == dict.fromkeys(CALLS, expected), bearing


def test_a_channel_that_is_not_there_is_forbidden_even_to_admins(cast: Cast) -> None:
    admin = cast.bearers["admin"]
    there = staged(cast, frozenset())
    in_another = App(cast.app.server).admin("maker").makes_channel(Privacy="PUBLIC")

    for missing in (f"{cast.app.arn}/channel/unknown", in_another, cast.app.arn, admin):
        found = {}
        for row in {row.operation: row for row in ROWS if "ELASTIC" not in row.case}.values():
            name, members = CALLS[row.operation]
            call = members(there, row.case, admin)
            if "ChannelArn" in call:
                with refused("Forbidden"):
                    getattr(cast.client, name)(**{**call, "ChannelArn": missing, "ChimeBearer": admin})
                found[row.operation] = call
        assert len(found) == len(CALLS) - 5, "all but those of no channel"


def test_every_operation_that_has_a_bearer_is_in_the_matrix() -> None:
    with_bearer = {name for name, each in OPERATIONS.items() if "chime_bearer" in each.route.request.__struct_fields__}

    assert with_bearer == {row.operation for row in ROWS} == set(CALLS)
