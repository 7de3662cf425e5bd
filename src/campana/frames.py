"""The text of a WebSocket frame: headers, and the payload as a string of JSON within JSON (spec/realtime.md §4).

Pure. Rendered once per event, in the transaction that makes it; everybody who hears it gets the same text.
"""

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
    headers = {"x-amz-chime-event-type": event_type, "x-amz-chime-message-type": message_type}
    if reason is not None:
        headers["x-amz-chime-event-reason"] = reason
    if membership_type is not None:
        headers["x-amz-chime-membership-type"] = membership_type
    frame = {"Headers": headers}
    return msgspec.json.encode(frame if payload_json is None else frame | {"Payload": payload_json}).decode()


SESSION_ESTABLISHED = render("SESSION_ESTABLISHED", SYSTEM, None)
