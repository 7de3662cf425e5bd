"""Processors that run in the server's own process."""

from typing import Any


def masks(event: dict[str, Any]) -> dict[str, Any] | None:
    """What the message asks for, in every form that an answer may have."""
    content = event["ChannelMessage"]["Content"]
    if content == "deny":
        return {"DeleteResource": True}
    if content == "change":
        return {"ChannelMessage": {"Content": "changed"}}
    if content == "raise":
        raise ValueError("no such luck")
    if content == "garbage":
        return {"Surprise": 1}
    if content == "too long":
        return {"ChannelMessage": {"Content": "x" * 4097}}
    return None


async def shouts(event: dict[str, Any]) -> dict[str, Any]:
    return {"ChannelMessage": {"Content": event["ChannelMessage"]["Content"].upper()}}
