"""Channel flows and the processors' way to answer (spec/channel-flows.md)."""

import re
from urllib.parse import urlsplit

import msgspec

from campana import arn, events, views
from campana.api.base import Timestamp, encode_rest
from campana.api.messaging import (
    AssociateChannelFlowRequest,
    ChannelFlow,
    ChannelFlowCallbackRequest,
    ChannelFlowCallbackResponse,
    ChannelFlowSummary,
    CreateChannelFlowRequest,
    CreateChannelFlowResponse,
    DeleteChannelFlowRequest,
    DescribeChannelFlowRequest,
    DescribeChannelFlowResponse,
    DisassociateChannelFlowRequest,
    ListChannelFlowsRequest,
    ListChannelFlowsResponse,
    ListChannelsAssociatedWithChannelFlowRequest,
    ListChannelsAssociatedWithChannelFlowResponse,
    Processor,
    UpdateChannelFlowRequest,
    UpdateChannelFlowResponse,
)
from campana.auth.roles import ADMIN, MODERATOR, POLICY_ONLY
from campana.errors import BadRequest, Conflict, Forbidden, NotFound, ResourceLimitExceeded
from campana.flows import execution
from campana.limits import MESSAGE_WRITES
from campana.operations import app_instances, tagging
from campana.operations.quotas import give_back, in_force, take
from campana.operations.registry import Inside, operation
from campana.store import channel_flows, channels, executions, tags
from campana.store.database import Tx
from campana.unit_of_work import Call, parsed

_LAMBDA_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z]{2}-[a-z-]+-\d:\d{12}:function:[a-zA-Z0-9\-_.]+(:(\$LATEST|[a-zA-Z0-9\-_]+))?"
)
_processors = msgspec.json.Decoder(list[Processor])


def _checked(call: Call, app_instance_arn: str, processors: list[Processor]) -> str:
    """The JSON for the row; raises BadRequest or ResourceLimitExceeded."""
    quota = in_force(call.tx, call.settings, app_instance_arn, "processors")
    if len(processors) > quota:
        raise ResourceLimitExceeded(f"A channel flow may have at most {quota} processors.")
    if len({each.execution_order for each in processors}) < len(processors):
        raise BadRequest("Two processors have the same ExecutionOrder.")
    for each in processors:
        resource_arn = each.configuration.lambda_.resource_arn
        is_url = call.settings.flows.accept_http_resource_arns and urlsplit(resource_arn).scheme in ("http", "https")
        if not is_url and not _LAMBDA_ARN.fullmatch(resource_arn):
            raise BadRequest("A processor's ResourceArn must be the ARN of a Lambda function.")
    return encode_rest(processors).decode()


def _existing(call: Call, channel_flow_arn: str) -> channel_flows.ChannelFlow:
    found = channel_flows.find(call.tx, channel_flow_arn)
    if found is None:
        raise Forbidden
    app_instances.existing(call, found.app_instance_arn)
    return found


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def create_channel_flow(call: Call, request: CreateChannelFlowRequest) -> CreateChannelFlowResponse:
    """Make a flow of one to three processors; channels use it once they are associated with it."""
    instance = app_instances.existing(call, request.app_instance_arn)
    tagging.check(request.tags)
    processors = _checked(call, instance.arn, request.processors)
    take(call, instance.arn, "channel flows")
    flow_arn = arn.within(instance.arn, arn.Kind.CHANNEL_FLOW, call.ids.uuid())
    channel_flows.insert(
        call.tx,
        channel_flows.ChannelFlow(flow_arn, instance.arn, request.name, processors, call.now, call.now),
    )
    tagging.put(call, flow_arn, request.tags)
    return CreateChannelFlowResponse(channel_flow_arn=flow_arn)


@operation(on="channel_flow_arn", allow=POLICY_ONLY)
def describe_channel_flow(call: Call, request: DescribeChannelFlowRequest) -> DescribeChannelFlowResponse:
    """All about a flow."""
    row = _existing(call, request.channel_flow_arn)
    return DescribeChannelFlowResponse(
        channel_flow=ChannelFlow(
            channel_flow_arn=row.arn,
            processors=_processors.decode(row.processors),
            name=row.name,
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
        )
    )


@operation(on="channel_flow_arn", allow=POLICY_ONLY)
def update_channel_flow(call: Call, request: UpdateChannelFlowRequest) -> UpdateChannelFlowResponse:
    """Replace name and processors. Messages on their way keep the flow as it was when they were sent."""
    row = _existing(call, request.channel_flow_arn)
    processors = _checked(call, row.app_instance_arn, request.processors)
    channel_flows.update(call.tx, row.arn, name=request.name, processors=processors, at=call.now)
    return UpdateChannelFlowResponse(channel_flow_arn=row.arn)


@operation(on="channel_flow_arn", allow=POLICY_ONLY)
def delete_channel_flow(call: Call, request: DeleteChannelFlowRequest) -> None:
    """Only while no channel is associated with it; messages on their way still finish."""
    row = _existing(call, request.channel_flow_arn)
    if channels.page_by_flow(call.tx, row.arn, None, 1).rows:
        raise Conflict("The channel flow is associated with a channel.")
    channel_flows.delete(call.tx, row.arn)
    tags.delete_all(call.tx, row.arn)
    give_back(call, row.app_instance_arn, "channel flows")


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=(Inside(arn.Kind.CHANNEL_FLOW),))
def list_channel_flows(call: Call, request: ListChannelFlowsRequest) -> ListChannelFlowsResponse:
    """The flows of an app instance, oldest first."""
    app_instances.existing(call, request.app_instance_arn)
    page = channel_flows.page(call.tx, request.app_instance_arn, call.after, call.limit)
    return ListChannelFlowsResponse(
        channel_flows=[
            ChannelFlowSummary(channel_flow_arn=row.arn, name=row.name, processors=_processors.decode(row.processors))
            for row in page.rows
        ],
        next_token=call.token(page),
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], iam=("channel_arn", "channel_flow_arn"))
def associate_channel_flow(call: Call, request: AssociateChannelFlowRequest) -> None:
    """From now on the channel's messages pass this flow, instead of any other it had."""
    call.tx.lock(request.channel_flow_arn)  # it is not to be deleted meanwhile
    flow = channel_flows.find(call.tx, request.channel_flow_arn)
    if flow is not None and flow.app_instance_arn != call.channel.app_instance_arn:
        raise BadRequest("The channel flow belongs to another app instance.")
    if flow is None:
        parsed(request.channel_flow_arn, "channelFlowArn")
        raise NotFound("There is no such channel flow.")
    if call.channel.channel_flow_arn != flow.arn:
        _set_flow(call, flow.arn)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], iam=("channel_arn", "channel_flow_arn"))
def disassociate_channel_flow(call: Call, request: DisassociateChannelFlowRequest) -> None:
    """New messages pass no flow any more; those on their way finish."""
    if call.channel.channel_flow_arn != request.channel_flow_arn:
        raise NotFound("The channel is not associated with this channel flow.")
    _set_flow(call, None)


def _set_flow(call: Call, channel_flow_arn: str | None) -> None:
    changed = msgspec.structs.replace(call.channel, channel_flow_arn=channel_flow_arn, updated_at=call.now)
    channels.update(call.tx, changed)
    events.publish_channel(call, events.UPDATE_CHANNEL, changed)


@operation(on="channel_flow_arn", allow=POLICY_ONLY)
def list_channels_associated_with_channel_flow(
    call: Call, request: ListChannelsAssociatedWithChannelFlowRequest
) -> ListChannelsAssociatedWithChannelFlowResponse:
    """The channels that use the flow, private ones included."""
    row = _existing(call, request.channel_flow_arn)
    page = channels.page_by_flow(call.tx, row.arn, call.after, call.limit)
    return ListChannelsAssociatedWithChannelFlowResponse(
        channels=[views.channel_of_flow(each) for each in page.rows], next_token=call.token(page)
    )


def _was_pending(tx: Tx, request: ChannelFlowCallbackRequest, now: int) -> bool:
    found = executions.called(tx, request.callback_id)
    return (
        found is not None
        and found.channel_arn == request.channel_arn
        and found.state in (execution.INVOKING, execution.AWAITING_CALLBACK)
        and (found.state == execution.INVOKING or now < found.due_at)
    )


@operation(on="channel_arn", allow=POLICY_ONLY, prepare=_was_pending, rate=MESSAGE_WRITES, together=True)
def channel_flow_callback(call: Call, request: ChannelFlowCallbackRequest) -> ChannelFlowCallbackResponse:
    """A processor's answer: change the message, deny it, or let it pass. Each step takes one."""
    try:
        execution.callback(
            call,
            request.channel_arn,
            request.callback_id,
            request.channel_message,
            deny=request.delete_resource,
            was_pending=call.prepared is True,
        )
    except Conflict:
        assert call.channel  # Forbidden, if what it has lost against is the channel's end
        raise
    return ChannelFlowCallbackResponse(channel_arn=request.channel_arn, callback_id=request.callback_id)
