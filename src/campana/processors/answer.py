"""What a function in the server's own process returns, understood as its callback."""

from typing import Any

import msgspec

from campana.api.messaging import ChannelMessageCallback


class NotAnAnswer(ValueError):
    """The returned value is nothing that a callback could say; the message says why."""


def parse(returned: Any, message_id: str) -> tuple[ChannelMessageCallback, bool]:
    """The fields to replace, and whether the message is denied. Raises `NotAnAnswer`.

    None or {} lets the message pass; otherwise a dictionary as `channel_flow_callback` takes it, of which
    ChannelMessage, its MessageId, and CallbackId may be left out.
    """
    if returned is None:
        returned = {}
    if not isinstance(returned, dict):
        raise NotAnAnswer(f"a dictionary or None is expected, not {type(returned).__name__}")
    message = {"MessageId": message_id, **(returned.get("ChannelMessage") or {})}
    deny = returned.get("DeleteResource", False)
    if not isinstance(deny, bool):
        raise NotAnAnswer("DeleteResource must be True or False")
    unknown = returned.keys() - {"ChannelMessage", "DeleteResource", "CallbackId", "ChannelArn"}
    if unknown:
        raise NotAnAnswer(f"unknown keys: {', '.join(sorted(map(str, unknown)))}")
    try:
        return msgspec.convert(message, ChannelMessageCallback), deny
    except msgspec.ValidationError as error:
        raise NotAnAnswer(f"ChannelMessage: {error}") from None
