"""The operations of the API, one file per family of resources. Importing this fills the registry."""

from campana.operations import (
    admins,
    app_instances,
    bans,
    bots,
    channel_flows,
    channels,
    endpoints,
    memberships,
    messages,
    moderators,
    search,
    sessions,
    streaming,
    tags,
    users,
)

__all__ = [
    "admins",
    "app_instances",
    "bans",
    "bots",
    "channel_flows",
    "channels",
    "endpoints",
    "memberships",
    "messages",
    "moderators",
    "search",
    "sessions",
    "streaming",
    "tags",
    "users",
]
