"""Setting tags, wherever a request carries some."""

from campana.api.messaging import Tag
from campana.errors import BadRequest, ResourceLimitExceeded
from campana.limits import TAGS_PER_RESOURCE
from campana.store import tags
from campana.unit_of_work import Call


def put(call: Call, resource_arn: str, given: list[Tag] | None) -> None:
    """Set tags; one with the same key is overwritten. Raises BadRequest or ResourceLimitExceeded."""
    for tag in given or ():
        if tag.key.lower().startswith("aws:"):
            raise BadRequest("Tag keys must not begin with aws:.")
        tags.put(call.tx, resource_arn, tag.key, tag.value)
    if given and len(tags.of(call.tx, resource_arn)) > TAGS_PER_RESOURCE:
        raise ResourceLimitExceeded(f"A resource may have at most {TAGS_PER_RESOURCE} tags.")
