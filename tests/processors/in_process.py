"""Processors that run in the server's own process."""

import asyncio
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


_come: dict[str, list[asyncio.Future[None]]] = {}
_over: set[str] = set()


async def wait_for_all(event: dict[str, Any]) -> dict[str, Any] | None:
    """As `masks`, all at once: when as many messages of the channel are here as their metadata says."""
    message = event["ChannelMessage"]
    channel = message["ChannelArn"]
    if channel not in _over:
        come = _come.setdefault(channel, [])
        come.append(asyncio.get_running_loop().create_future())
        if len(come) == int(message["Metadata"]):
            _over.add(channel)
            for each in come:
                each.set_result(None)
        await come[-1]
    return masks(event)
