"""The operations of the API, one file per family of resources. Importing this fills the registry."""

from campana.operations import (
    admins,
    app_instances,
    channel_flows,
    channels,
    memberships,
    messages,
    sessions,
    users,
)

__all__ = ["admins", "app_instances", "channel_flows", "channels", "memberships", "messages", "sessions", "users"]
