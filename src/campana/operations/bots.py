"""App instance bots: create, describe, update, delete, list."""

import msgspec

from campana import arn
from campana.api.base import Timestamp, encode_rest
from campana.api.identity import (
    AppInstanceBot,
    AppInstanceBotSummary,
    Configuration,
    CreateAppInstanceBotRequest,
    CreateAppInstanceBotResponse,
    DeleteAppInstanceBotRequest,
    DescribeAppInstanceBotRequest,
    DescribeAppInstanceBotResponse,
    InvokedBy,
    ListAppInstanceBotsRequest,
    ListAppInstanceBotsResponse,
    StandardMessages,
    TargetedMessages,
    UpdateAppInstanceBotRequest,
    UpdateAppInstanceBotResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Forbidden, NotFound
from campana.operations import app_instances, tagging
from campana.operations.admins import resign
from campana.operations.registry import Inside, operation
from campana.store import deletions, identities, tags
from campana.unit_of_work import Call

_configurations = msgspec.json.Decoder(Configuration)


def _existing(call: Call, bot_arn: str) -> identities.Identity:
    found = identities.find(call.tx, bot_arn)
    if found is None or found.kind != arn.Kind.BOT:
        raise Forbidden
    app_instances.existing(call, found.app_instance_arn)
    return found


def _with_defaults(configuration: Configuration) -> str:
    """JSON for the row; what invokes the bot is always said (spec/api.md §9)."""
    lex = configuration.lex
    if lex.invoked_by is None:
        invoked_by = (
            InvokedBy(standard_messages=StandardMessages.ALL, targeted_messages=TargetedMessages.NONE)
            if lex.responds_to is not None
            else InvokedBy(standard_messages=StandardMessages.AUTO, targeted_messages=TargetedMessages.ALL)
        )
        lex = msgspec.structs.replace(lex, invoked_by=invoked_by)
    return encode_rest(Configuration(lex=lex)).decode()


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=(Inside(arn.Kind.BOT),))
def create_app_instance_bot(call: Call, request: CreateAppInstanceBotRequest) -> CreateAppInstanceBotResponse:
    """Make a bot; its id is a UUID."""
    instance = app_instances.existing(call, request.app_instance_arn)
    tagging.check(request.tags)
    bot_arn = arn.within(instance.arn, arn.Kind.BOT, call.ids.uuid())
    identities.insert(
        call.tx,
        identities.Identity(
            arn=bot_arn,
            app_instance_arn=instance.arn,
            kind=arn.Kind.BOT.value,
            name=request.name,
            metadata=request.metadata or None,
            created_at=call.now,
            updated_at=call.now,
            deleted_at=None,
            configuration=_with_defaults(request.configuration),
        ),
    )
    tagging.put(call, bot_arn, request.tags)
    return CreateAppInstanceBotResponse(app_instance_bot_arn=bot_arn)


@operation(on="app_instance_bot_arn", allow=POLICY_ONLY)
def describe_app_instance_bot(call: Call, request: DescribeAppInstanceBotRequest) -> DescribeAppInstanceBotResponse:
    """All about a bot; NotFound if there is none."""
    try:
        row = _existing(call, request.app_instance_bot_arn)
    except Forbidden:
        raise NotFound("There is no such bot.") from None
    assert row.configuration is not None
    return DescribeAppInstanceBotResponse(
        app_instance_bot=AppInstanceBot(
            app_instance_bot_arn=row.arn,
            name=row.name,
            configuration=_configurations.decode(row.configuration),
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
            metadata=row.metadata,
        )
    )


@operation(on="app_instance_bot_arn", allow=POLICY_ONLY)
def update_app_instance_bot(call: Call, request: UpdateAppInstanceBotRequest) -> UpdateAppInstanceBotResponse:
    """Replace name and metadata, and the configuration if one is given."""
    row = _existing(call, request.app_instance_bot_arn)
    identities.update(call.tx, row.arn, name=request.name, metadata=request.metadata or None, at=call.now)
    if request.configuration is not None:
        identities.set_configuration(call.tx, row.arn, _with_defaults(request.configuration))
    return UpdateAppInstanceBotResponse(app_instance_bot_arn=row.arn)


@operation(on="app_instance_bot_arn", allow=POLICY_ONLY)
def delete_app_instance_bot(call: Call, request: DeleteAppInstanceBotRequest) -> None:
    """The bot can do nothing from now on; memberships and roles go in the background."""
    row = _existing(call, request.app_instance_bot_arn)
    identities.delete(call.tx, row.arn, call.now)
    tags.delete_all(call.tx, row.arn)
    resign(call, row.app_instance_arn, row.arn)
    deletions.add(call.tx, row.arn, call.now)


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=(Inside(arn.Kind.BOT),))
def list_app_instance_bots(call: Call, request: ListAppInstanceBotsRequest) -> ListAppInstanceBotsResponse:
    """The bots of an app instance, oldest first."""
    app_instances.existing(call, request.app_instance_arn)
    page = identities.page(call.tx, request.app_instance_arn, arn.Kind.BOT, call.after, call.limit)
    return ListAppInstanceBotsResponse(
        app_instance_arn=request.app_instance_arn,
        app_instance_bots=[
            AppInstanceBotSummary(app_instance_bot_arn=row.arn, name=row.name, metadata=row.metadata)
            for row in page.rows
        ],
        next_token=call.token(page),
    )
