"""What the package's own servers have in common: uvloop, a free port, an end on SIGTERM."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

Start = Callable[[asyncio.Event], Awaitable[int]]


def run(start: Start) -> None:
    """Call `start` with the event that is set when it is to end, print the port that it returns, wait for the end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(start))


async def listen(protocol: Callable[[], asyncio.Protocol]) -> int:
    """Accept connections; the port."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=2048)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _serve(start: Start) -> None:
    ending = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, ending.set)
    port = await start(ending)
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    await ending.wait()
