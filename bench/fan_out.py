"""One message to very many live sessions, and what they cost in memory while they are idle."""

import asyncio
import gc
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import servers, world
from bench.client import Api, Audience, Failed
from bench.plan import Plan
from bench.results import FanOut, Spread, paired
from bench.servers import Process
from bench.signing import Key
from bench.world import SESSIONS_PER_USER, Channel

SPARE_DESCRIPTORS = 100
WARM_USERS = 4


def fitting(sizes: Sequence[int]) -> list[int]:
    """The sizes, none larger than this process may open sockets for; of one size alone nothing is taken away."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = sizes[-1] if limit == resource.RLIM_INFINITY else (limit - SPARE_DESCRIPTORS) // 2
    return [min(size, fits) for size in sizes] if len(sizes) > 1 else list(sizes)


async def measure(plan: Plan, size: int, folder: Path, key: Key, tell: Callable[[str], None]) -> FanOut:
    """The sessions of all members of one channel, ten for each, and as many raw sockets; messages by turns."""
    _check_descriptors(size)
    with (
        servers.campana(folder / f"campana-fan-out-{size}", key) as server,
        servers.own("raw_sockets", folder / "raw", key, core=0) as raw,
    ):
        api = await Api.connect(server.port, server.signer())
        tell(f"making the users of {size:,} sessions")
        channel = await world.channel(api, -(-size // SESSIONS_PER_USER) + WARM_USERS)
        await _warm_up(server, Channel(channel.arn, channel.members[-WARM_USERS:]))
        channel = Channel(channel.arn, channel.members[:-WARM_USERS])
        tell(f"opening {size:,} sessions and as many raw sockets")
        sessions, sockets = Audience(), Audience()
        before = server.resident_kib()
        await sessions.join(server.port, world.handshakes(server, channel, size))
        per_session = (server.resident_kib() - before) / size
        trigger, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", raw.port)
        before = raw.resident_kib()
        await sockets.join(raw.port, [b""] * size)
        per_socket = (raw.resident_kib() - before) / size
        frame = await _frame(api, sessions, channel)
        ours: list[float] = []
        theirs: list[float] = []
        gc.collect()
        gc.disable()
        for number in range(plan.fan_out_rounds):
            tell(f"fan-out, round {number + 1} of {plan.fan_out_rounds}")
            signer = server.signer()
            requests = [world.message(signer, channel, channel.members[0]) for _ in range(plan.fan_out_messages)]
            ours.append(median([await _campana_ms(api, sessions, request) for request in requests]))
            theirs.append(median([await _raw_ms(trigger, sockets, frame) for _ in requests]))
        gc.enable()
        trigger.close()
        api.close()
        await sessions.close()
        await sockets.close()
    return FanOut(
        size,
        len(frame),
        Spread.of(ours),
        Spread.of(theirs),
        paired(ours, theirs),
        round(per_session, 1),
        round(per_socket, 1),
    )


def _check_descriptors(sockets: int) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and 2 * sockets + SPARE_DESCRIPTORS > limit:
        raise Failed(
            f"{sockets:,} sessions and as many raw sockets need more than the {limit:,} descriptors that a process may"
            f" have here (ulimit -n); --sockets {(limit - SPARE_DESCRIPTORS) // 2} would fit."
        )


async def _warm_up(server: Process, channel: Channel) -> None:
    """Some sessions that come and go, so that what is made once is not counted as theirs."""
    early = Audience()
    await early.join(server.port, world.handshakes(server, channel, WARM_USERS * SESSIONS_PER_USER))
    await early.close()


async def _frame(api: Api, sessions: Audience, channel: Channel) -> bytes:
    """What a session hears of a message."""
    sessions.keeps = True
    await _campana_ms(api, sessions, world.message(api.signer, channel, channel.members[0]))
    sessions.keeps = False
    return sessions.kept()[0]


async def _campana_ms(api: Api, sessions: Audience, request: bytes) -> float:
    """From the send to the last session's having heard of it."""
    sessions.expect(sessions.count + 1)
    status, answer = await api.exchange(request)
    if status != 201:
        raise Failed(f"A send was answered {status}: {answer[:300].decode(errors='replace')}")
    await sessions.all_heard()
    return (sessions.heard_at - api.sent_at) * 1000


async def _raw_ms(trigger: asyncio.Transport, sockets: Audience, frame: bytes) -> float:
    """From the trigger to the last socket's having received the frame."""
    sockets.expect(sockets.count + 1)
    sent_at = perf_counter()
    trigger.write(len(frame).to_bytes(4) + frame)
    await sockets.all_heard()
    return (sockets.heard_at - sent_at) * 1000
