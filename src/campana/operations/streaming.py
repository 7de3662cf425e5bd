"""Streaming configurations of an app instance: put, get, delete."""

from campana.api.messaging import (
    DeleteMessagingStreamingConfigurationsRequest,
    GetMessagingStreamingConfigurationsRequest,
    GetMessagingStreamingConfigurationsResponse,
    MessagingDataType,
    PutMessagingStreamingConfigurationsRequest,
    PutMessagingStreamingConfigurationsResponse,
    StreamingConfiguration,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import BadRequest, Forbidden, NotFound
from campana.operations import app_instances
from campana.operations.registry import operation
from campana.store import streaming
from campana.unit_of_work import Call


def _view(row: streaming.StreamingConfiguration) -> StreamingConfiguration:
    return StreamingConfiguration(data_type=MessagingDataType(row.data_type), resource_arn=row.resource_arn)


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def put_messaging_streaming_configurations(
    call: Call, request: PutMessagingStreamingConfigurationsRequest
) -> PutMessagingStreamingConfigurationsResponse:
    """Replace all configurations; each data type at most once. NotFound if there is no such app instance."""
    try:
        instance = app_instances.existing(call, request.app_instance_arn)
    except Forbidden:
        raise NotFound("There is no such app instance.") from None
    given = request.streaming_configurations
    if len({each.data_type for each in given}) < len(given):
        raise BadRequest("Each DataType may be configured once.")
    streaming.delete_all(call.tx, instance.arn)
    for each in given:
        row = streaming.StreamingConfiguration(instance.arn, each.data_type.value, each.resource_arn)
        streaming.insert(call.tx, row)
    return PutMessagingStreamingConfigurationsResponse(streaming_configurations=given)


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def get_messaging_streaming_configurations(
    call: Call, request: GetMessagingStreamingConfigurationsRequest
) -> GetMessagingStreamingConfigurationsResponse:
    """What is configured; NotFound if nothing is."""
    rows = streaming.of(call.tx, app_instances.existing(call, request.app_instance_arn).arn)
    if not rows:
        raise NotFound("The app instance has no streaming configurations.")
    return GetMessagingStreamingConfigurationsResponse(streaming_configurations=[_view(row) for row in rows])


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def delete_messaging_streaming_configurations(
    call: Call, request: DeleteMessagingStreamingConfigurationsRequest
) -> None:
    """Remove all; none: nothing changes."""
    streaming.delete_all(call.tx, app_instances.existing(call, request.app_instance_arn).arn)
