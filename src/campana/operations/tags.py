"""Tags, of every resource that has an ARN; the same in both services."""

from campana import arn
from campana.api.messaging import (
    ListTagsForResourceRequest,
    ListTagsForResourceResponse,
    Tag,
    TagResourceRequest,
    UntagResourceRequest,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Forbidden
from campana.operations import app_instances, tagging
from campana.operations.registry import operation
from campana.store import channel_flows, channels, identities, tags
from campana.unit_of_work import Call, parsed


def _existing(call: Call, resource_arn: str) -> str:
    """The ARN of something that is there, in the caller's account; raises BadRequest or Forbidden."""
    named = parsed(resource_arn, "resourceARN")
    app_instances.existing(call, named.app_instance)
    match named.kind:
        case arn.Kind.APP_INSTANCE:
            found = True
        case arn.Kind.USER | arn.Kind.BOT:
            found = identities.find(call.tx, resource_arn) is not None
        case arn.Kind.CHANNEL:
            found = channels.find(call.tx, resource_arn) is not None
        case arn.Kind.CHANNEL_FLOW:
            found = channel_flows.find(call.tx, resource_arn) is not None
    if not found:
        raise Forbidden
    return resource_arn


@operation(on="resource_arn", allow=POLICY_ONLY)
def tag_resource(call: Call, request: TagResourceRequest) -> None:
    """Set tags; one with the same key is overwritten."""
    tagging.put(call, _existing(call, request.resource_arn), request.tags)


@operation(on="resource_arn", allow=POLICY_ONLY)
def untag_resource(call: Call, request: UntagResourceRequest) -> None:
    """Remove tags by key; unknown keys change nothing."""
    resource_arn = _existing(call, request.resource_arn)
    for key in request.tag_keys:
        tags.delete(call.tx, resource_arn, key)


@operation(on="resource_arn", allow=POLICY_ONLY)
def list_tags_for_resource(call: Call, request: ListTagsForResourceRequest) -> ListTagsForResourceResponse:
    """The tags of a resource, by key."""
    rows = tags.of(call.tx, _existing(call, request.resource_arn))
    return ListTagsForResourceResponse(tags=[Tag(key=row.key, value=row.value) for row in rows])
