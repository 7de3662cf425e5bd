"""What every processor of this comparison does with a message: deny it if it has a word that nobody may say.

`mod_bench_processor.erl` has the same for ejabberd.
"""

from typing import Any

DENIED = "the-word-nobody-may-say"


def denied(content: str) -> bool:
    """Whether the word is in it."""
    return DENIED in content


async def check(event: dict[str, Any]) -> dict[str, Any] | None:
    """A processor in the server's own process (`python:bench.peers.words:check`)."""
    return {"DeleteResource": True} if denied(event["ChannelMessage"]["Content"]) else None
