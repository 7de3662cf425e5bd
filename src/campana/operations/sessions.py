"""Where live sessions connect to."""

from campana.api.messaging import (
    GetMessagingSessionEndpointRequest,
    GetMessagingSessionEndpointResponse,
    MessagingSessionEndpoint,
)
from campana.auth.roles import POLICY_ONLY
from campana.operations.registry import operation
from campana.unit_of_work import Call


@operation(on=None, allow=POLICY_ONLY)
def get_messaging_session_endpoint(
    call: Call, request: GetMessagingSessionEndpointRequest
) -> GetMessagingSessionEndpointResponse:
    """A bare authority: clients put `wss://` before it and `/connect` behind (spec/realtime.md §1)."""
    return GetMessagingSessionEndpointResponse(
        endpoint=MessagingSessionEndpoint(url=call.settings.server.public_host or call.authority)
    )
