"""Sizes, quotas and rates of the service (spec/integrations.md §7, spec/api.md): each number once.

Quotas and rates are rows of a table, from which settings, `campana quotas` and docs/reference/quotas.md are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Sizes, in UTF-8 bytes.
STANDARD_CONTENT_BYTES: Final = 4096
CONTROL_CONTENT_BYTES: Final = 30
METADATA_BYTES: Final = 1024
ATTRIBUTES_BYTES: Final = 1024
ATTRIBUTE_NAME_CHARACTERS: Final = 64
ATTRIBUTE_VALUE_CHARACTERS: Final = 512
STATUS_DETAIL_CHARACTERS: Final = 256

TAGS_PER_RESOURCE: Final = 50
SUB_CHANNEL_PRODUCT: Final = 1_000_000
"""Of the most sub-channels and the target memberships of each."""

PAGE_ROWS: Final = 50
SESSION_ID_CHARACTERS: Final = 128

# How long answers to client request tokens are kept, and entries of the journal.
IDEMPOTENCY_MS: Final = 24 * 60 * 60 * 1000
RETENTION_GRACE_MS: Final = 30 * 24 * 60 * 60 * 1000
JOURNAL_MS: Final = 10 * 60 * 1000

CLOCK_PUT_BACK_MS: Final = 24 * 60 * 60 * 1000
"""When the clock is put back by up to this much, the times of a channel's messages go on rising."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many of something there may be. Counted when made, refused above the quota."""

    what: str
    """What is counted, in words."""
    name: str
    """In `campana quotas`; with underscores the setting's."""
    default: int
    does: str
    """What is counted, in a sentence."""
    adjustable: bool = True
    """Whether AWS raises it on request."""
    setting: str = ""
    """Its default's path in the settings; not given: `quotas.<name>`."""

    @property
    def path(self) -> str:
        return self.setting or f"quotas.{self.name.replace('-', '_')}"

    @property
    def text(self) -> str:
        """The setting's documentation."""
        return self.does

    @property
    def of_account(self) -> bool:
        """Counted for the account as a whole, so that no app instance can have one of its own."""
        return self.name.endswith("-per-account")


QUOTAS: Final[Mapping[str, Quota]] = {
    quota.what: quota
    for quota in (
        Quota("app instances", "app-instances-per-account", 100, "App instances of an account."),
        Quota("users", "users-per-app-instance", 100_000, "Users of an app instance."),
        Quota("admins", "admins-per-app-instance", 100, "Admins of an app instance."),
        Quota("endpoints", "endpoints-per-user", 10, "Devices that a user may have registered."),
        Quota(
            "connections", "connections-per-user", 10, "Live sessions of a user.",
            setting="sessions.connections_per_user",
        ),
        Quota("channels", "channels-per-app-instance", 10_000_000, "Channels of an app instance."),
        Quota("memberships", "memberships-per-channel", 10_000, "Members of a channel."),
        Quota("memberships of a user", "memberships-per-user", 20_000, "Channels that one user is a member of."),
        Quota("moderators", "moderators-per-channel", 1_000, "Moderators of a channel."),
        Quota("channel flows", "channel-flows-per-app-instance", 100, "Channel flows of an app instance."),
        Quota(
            "processors", "processors-per-channel-flow", 3, "Processors of a channel flow.",
            setting="flows.max_processors",
        ),
        Quota("elastic channels", "elastic-channels-per-app-instance", 1, "Elastic channels of an app instance."),
        Quota(
            "sub-channels", "sub-channels-per-elastic-channel", 100,
            "Sub-channels that an elastic channel may be configured for.",
        ),
        Quota(
            "memberships of a sub-channel", "memberships-per-sub-channel", 1_000,
            "Members that an elastic channel may be configured to have in each sub-channel.",
        ),
    )
}  # fmt: skip
"""By what is counted: also the name in the table `counts`."""


class Per(StrEnum):
    """What has a rate of its own."""

    ACCOUNT = "account"
    APP_INSTANCE = "app instance"
    BEARER = "bearer"
    USER = "user"
    CHANNEL = "channel"
    SUB_CHANNEL = "channel, or sub-channel of an elastic channel"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls a second are taken; twice as many at once, after a pause."""

    name: str
    default: int
    per: Per
    does: str
    adjustable: bool = True

    @property
    def path(self) -> str:
        return f"rates.{self.name.replace('-', '_')}"

    @property
    def text(self) -> str:
        """The setting's documentation."""
        return f"{self.does} For each {self.per.value}."

    @property
    def of_account(self) -> bool:
        return self.per is Per.ACCOUNT


BEARER_CALLS: Final = Rate("messaging-calls", 10, Per.BEARER, "All messaging operations that have a bearer.")
MESSAGE_WRITES: Final = Rate(
    "message-writes", 30, Per.SUB_CHANNEL, "Sending, editing, redacting, deleting messages; callbacks of processors."
)
MESSAGE_LISTS: Final = Rate("message-lists", 30, Per.SUB_CHANNEL, "ListChannelMessages.")
MESSAGE_READS: Final = Rate("message-reads", 30, Per.SUB_CHANNEL, "GetChannelMessage.")
CHANNEL_WRITES: Final = Rate("channel-writes", 15, Per.APP_INSTANCE, "Creating, updating, deleting channels.")
CHANNEL_LISTS: Final = Rate("channel-lists", 10, Per.APP_INSTANCE, "ListChannels.")
CHANNEL_READS: Final = Rate("channel-reads", 20, Per.CHANNEL, "DescribeChannel.")
MEMBER_WRITES: Final = Rate(
    "member-writes", 15, Per.CHANNEL, "Making and deleting memberships, bans and moderators, together."
)
ELASTIC_MEMBER_WRITES: Final = Rate("elastic-member-writes", 30, Per.CHANNEL, "The same in an elastic channel.")
MEMBER_LISTS: Final = Rate("member-lists", 15, Per.CHANNEL, "Listing memberships, bans and moderators, together.")
CHANNELS_OF_USER: Final = Rate(
    "channels-of-user", 15, Per.USER, "Listing the channels that a user is a member of, or moderates, together."
)
SUB_CHANNEL_LISTS: Final = Rate("sub-channel-lists", 15, Per.CHANNEL, "ListSubChannels.")
BATCHES: Final = Rate("batches", 1, Per.CHANNEL, "BatchCreateChannelMembership.", adjustable=False)
CONNECTS: Final = Rate("connects", 1, Per.USER, "Opening live sessions.", adjustable=False)
IDENTITY_CALLS: Final = Rate("identity-calls", 50, Per.ACCOUNT, "All identity operations.")
APP_INSTANCE_WRITES: Final = Rate("app-instance-writes", 5, Per.ACCOUNT, "Creating, updating, deleting app instances.")
APP_INSTANCE_READS: Final = Rate("app-instance-reads", 20, Per.ACCOUNT, "DescribeAppInstance.")
APP_INSTANCE_LISTS: Final = Rate("app-instance-lists", 10, Per.ACCOUNT, "ListAppInstances.")
USER_WRITES: Final = Rate("user-writes", 10, Per.APP_INSTANCE, "Creating, updating, deleting users.")
USER_READS: Final = Rate("user-reads", 20, Per.APP_INSTANCE, "DescribeAppInstanceUser.")
USER_LISTS: Final = Rate("user-lists", 10, Per.APP_INSTANCE, "ListAppInstanceUsers.")

RATES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Rate))
BURST: Final = 2
"""Seconds' worth of calls that may come at once."""

RATES_ENFORCED: Final = "rates-enforced"
"""The name of the switch in `campana quotas`: 1 on, 0 off."""
_ALL: Final[tuple[Quota | Rate, ...]] = (*QUOTAS.values(), *RATES)
LIMITS: Final[Mapping[str, Quota | Rate]] = {each.name: each for each in _ALL}
"""By name."""
