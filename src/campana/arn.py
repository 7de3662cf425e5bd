"""Amazon Resource Names of the service: parse, build, tell apart (spec/identity-auth.md §2).

Ids may contain ':' and '@', so an ARN is split at its first five colons only, then at slashes.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_FORM = re.compile(
    r"\A(arn:aws[a-z-]*:chime:[a-z0-9-]*:\d{0,12}:app-instance/([A-Za-z0-9-]{1,64}))"
    r"(?:/(user|bot|channel|channel-flow)/([^/\s]+))?\Z"
)


class Kind(StrEnum):
    """What an ARN names."""

    APP_INSTANCE = "app-instance"
    USER = "user"
    BOT = "bot"
    CHANNEL = "channel"
    CHANNEL_FLOW = "channel-flow"


@dataclass(frozen=True, slots=True)
class Arn:
    """A parsed ARN; `app_instance` is the ARN of the app instance it lies in, or is."""

    text: str
    app_instance: str
    kind: Kind
    id: str


class NotAnArn(ValueError):
    """The text has the form of no ARN of this service."""


def parse(text: str) -> Arn:
    """The parts of `text`; raises `NotAnArn`."""
    match = _FORM.match(text)
    if match is None:
        raise NotAnArn(text)
    app_instance, app_instance_id, kind, own_id = match.groups()
    if kind is None:
        return Arn(text, app_instance, Kind.APP_INSTANCE, app_instance_id)
    return Arn(text, app_instance, Kind(kind), own_id)


def app_instance(partition_region_account: tuple[str, str, str], id: str) -> str:
    """The ARN of a new app instance; `partition_region_account` as in ("aws", "us-east-1", "123456789012")."""
    partition, region, account = partition_region_account
    return f"arn:{partition}:chime:{region}:{account}:app-instance/{id}"


def app_instance_of(text: str) -> str:
    """The app instance that the ARN `text` lies in, or is, without a look at its form; '' if it has none."""
    start = text.find(":app-instance/")
    if start < 0:
        return ""
    end = text.find("/", start + len(":app-instance/"))
    return text if end < 0 else text[:end]


def within(app_instance_arn: str, kind: Kind, id: str) -> str:
    """The ARN of a resource inside an app instance."""
    return f"{app_instance_arn}/{kind.value}/{id}"
