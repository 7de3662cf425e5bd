"""Endpoints of app instance users: devices for push notifications."""

import msgspec

from campana.api.base import Timestamp, encode_rest
from campana.api.identity import (
    AllowMessages,
    AppInstanceUserEndpoint,
    AppInstanceUserEndpointSummary,
    AppInstanceUserEndpointType,
    DeregisterAppInstanceUserEndpointRequest,
    DescribeAppInstanceUserEndpointRequest,
    DescribeAppInstanceUserEndpointResponse,
    EndpointAttributes,
    EndpointState,
    EndpointStatus,
    EndpointStatusReason,
    ListAppInstanceUserEndpointsRequest,
    ListAppInstanceUserEndpointsResponse,
    RegisterAppInstanceUserEndpointRequest,
    RegisterAppInstanceUserEndpointResponse,
    UpdateAppInstanceUserEndpointRequest,
    UpdateAppInstanceUserEndpointResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Forbidden
from campana.operations.quotas import give_back, take
from campana.operations.registry import operation
from campana.operations.users import existing
from campana.store import endpoints
from campana.unit_of_work import Call

_attributes = msgspec.json.Decoder(EndpointAttributes)


def _state(row: endpoints.Endpoint) -> EndpointState:
    reason = None if row.status_reason is None else EndpointStatusReason(row.status_reason)
    return EndpointState(status=EndpointStatus(row.status), status_reason=reason)


def _existing(call: Call, user_arn: str, endpoint_id: str) -> endpoints.Endpoint:
    found = endpoints.find(call.tx, existing(call, user_arn).arn, endpoint_id)
    if found is None:
        raise Forbidden
    return found


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def register_app_instance_user_endpoint(
    call: Call, request: RegisterAppInstanceUserEndpointRequest
) -> RegisterAppInstanceUserEndpointResponse:
    """Add a device; the same one again gives the id that it has."""
    user = existing(call, request.app_instance_user_arn)
    token = request.endpoint_attributes.device_token
    known = endpoints.by_device(call.tx, user.arn, request.type.value, token)
    if known is not None:
        return RegisterAppInstanceUserEndpointResponse(app_instance_user_arn=user.arn, endpoint_id=known.id)
    take(call, user.arn, "endpoints")
    endpoint_id = call.ids.uuid()
    endpoints.insert(
        call.tx,
        endpoints.Endpoint(
            user_arn=user.arn,
            id=endpoint_id,
            name=request.name,
            type=request.type.value,
            resource_arn=request.resource_arn,
            attributes=encode_rest(request.endpoint_attributes).decode(),
            device_token=token,
            allow_messages=(request.allow_messages or AllowMessages.ALL).value,
            status=EndpointStatus.ACTIVE.value,
            status_reason=None,
            created_at=call.now,
            updated_at=call.now,
        ),
    )
    return RegisterAppInstanceUserEndpointResponse(app_instance_user_arn=user.arn, endpoint_id=endpoint_id)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def describe_app_instance_user_endpoint(
    call: Call, request: DescribeAppInstanceUserEndpointRequest
) -> DescribeAppInstanceUserEndpointResponse:
    """All about a device."""
    row = _existing(call, request.app_instance_user_arn, request.endpoint_id)
    return DescribeAppInstanceUserEndpointResponse(
        app_instance_user_endpoint=AppInstanceUserEndpoint(
            app_instance_user_arn=row.user_arn,
            endpoint_id=row.id,
            name=row.name,
            type=AppInstanceUserEndpointType(row.type),
            resource_arn=row.resource_arn,
            endpoint_attributes=_attributes.decode(row.attributes),
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
            allow_messages=AllowMessages(row.allow_messages),
            endpoint_state=_state(row),
        )
    )


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def update_app_instance_user_endpoint(
    call: Call, request: UpdateAppInstanceUserEndpointRequest
) -> UpdateAppInstanceUserEndpointResponse:
    """Change what is given; what is omitted stays."""
    row = _existing(call, request.app_instance_user_arn, request.endpoint_id)
    changed = msgspec.structs.replace(
        row,
        name=row.name if request.name is None else request.name,
        allow_messages=row.allow_messages if request.allow_messages is None else request.allow_messages.value,
        updated_at=call.now,
    )
    endpoints.update(call.tx, changed)
    return UpdateAppInstanceUserEndpointResponse(app_instance_user_arn=row.user_arn, endpoint_id=row.id)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def deregister_app_instance_user_endpoint(call: Call, request: DeregisterAppInstanceUserEndpointRequest) -> None:
    """Remove a device. None: nothing changes."""
    user = existing(call, request.app_instance_user_arn)
    if endpoints.delete(call.tx, user.arn, request.endpoint_id):
        give_back(call, user.arn, "endpoints")


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def list_app_instance_user_endpoints(
    call: Call, request: ListAppInstanceUserEndpointsRequest
) -> ListAppInstanceUserEndpointsResponse:
    """A user's devices, oldest first, without their tokens."""
    user = existing(call, request.app_instance_user_arn)
    page = endpoints.page(call.tx, user.arn, call.after, call.limit)
    return ListAppInstanceUserEndpointsResponse(
        app_instance_user_endpoints=[
            AppInstanceUserEndpointSummary(
                app_instance_user_arn=row.user_arn,
                endpoint_id=row.id,
                name=row.name,
                type=AppInstanceUserEndpointType(row.type),
                allow_messages=AllowMessages(row.allow_messages),
                endpoint_state=_state(row),
            )
            for row in page.rows
        ],
        next_token=call.token(page),
    )
