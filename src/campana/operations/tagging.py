"""Setting tags, wherever a request carries some."""

from collections.abc import Iterable

from campana.api.messaging import Tag
from campana.errors import BadRequest, ResourceLimitExceeded
from campana.limits import TAGS_PER_RESOURCE
from campana.store import tags
from campana.unit_of_work import Call


def check(given: Iterable[Tag] | None) -> None:
    """Raise BadRequest for tags that nobody may set: before anything else about the request is refused."""
    if any(tag.key.lower().startswith("aws:") for tag in given or ()):
        raise BadRequest("Tag keys must not begin with aws:.")


def put(call: Call, resource_arn: str, given: Iterable[Tag] | None) -> None:
    """Set tags; one with the same key is overwritten. Raises BadRequest or ResourceLimitExceeded."""
    check(given)
    for tag in given or ():
        tags.put(call.tx, resource_arn, tag.key, tag.value)
    if given and len(tags.of(call.tx, resource_arn)) > TAGS_PER_RESOURCE:
        raise ResourceLimitExceeded(f"A resource may have at most {TAGS_PER_RESOURCE} tags.")
