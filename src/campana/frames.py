"""The text of a WebSocket frame: headers, and the payload as a string of JSON within JSON (spec/realtime.md §4).

Pure. Rendered once per event, in the transaction that makes it; everybody who hears it gets the same text.
"""

from functools import lru_cache

import msgspec

SYSTEM = "SYSTEM"
"""The message type of all frames that are about no message."""


def render(
    event_type: str,
    message_type: str,
    payload_json: str | None,
    reason: str | None = None,
    *,
    membership_type: str | None = None,
) -> str:
    """The frame of one event; `payload_json` is JSON text already. Without a payload the key is left out.

    `message_type` is STANDARD or CONTROL for messages of that type, SYSTEM for all else. Every header is a string:
    some clients decode a map of strings and nothing else.
    """
    opening = _opening(event_type, message_type, reason, membership_type)
    return opening + "}" if payload_json is None else f'{opening},"Payload":{_JSON.encode(payload_json).decode()}}}'


@lru_cache(256)
def _opening(event_type: str, message_type: str, reason: str | None, membership_type: str | None) -> str:
    """What frames of a kind have in common, up to the payload."""
    headers = {"x-amz-chime-event-type": event_type, "x-amz-chime-message-type": message_type}
    if reason is not None:
        headers["x-amz-chime-event-reason"] = reason
    if membership_type is not None:
        headers["x-amz-chime-membership-type"] = membership_type
    return f'{{"Headers":{_JSON.encode(headers).decode()}'


_JSON = msgspec.json.Encoder()
SESSION_ESTABLISHED = render("SESSION_ESTABLISHED", SYSTEM, None)
