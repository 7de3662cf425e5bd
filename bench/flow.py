"""What a channel flow adds to the time from a send to its delivery, one send after another."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import servers, world
from bench.client import Api, Audience, Failed
from bench.plan import Plan
from bench.results import Flow, Spread, paired
from bench.servers import Process
from bench.signing import Key
from bench.world import Channel

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:bench"


async def measure(plan: Plan, folder: Path, key: Key, tell: Callable[[str], None]) -> Flow:
    """A channel with a flow, one without, and the bare HTTP round trip to the flow's processor, by turns.

    The processor has a process of its own on the load generator's core: it and the server never wait for one core.
    """
    with (
        servers.own("processor", folder / "processor", key, core=1) as processor,
        servers.campana(
            folder / "campana-flow", key, processors={FUNCTION_ARN: f"http://127.0.0.1:{processor.port}/flow"}
        ) as server,
    ):
        api = await Api.connect(server.port, server.signer())
        to_processor = await Api.connect(processor.port, processor.signer())
        await to_processor.exchange(servers.post(processor, "/server", f"127.0.0.1:{server.port}".encode()))
        plain = await world.channel(api, 2)
        flowing = await world.another_channel(api, plain.arn.partition("/channel/")[0], plain.members)
        await world.associate_flow(api, flowing, FUNCTION_ARN)
        audience = Audience()
        listening = Channel(plain.arn, plain.members[1:])  # the sender would also hear that it is pending
        await audience.join(server.port, world.handshakes(server, listening, 1))
        without: list[float] = []
        with_flow: list[float] = []
        bare: list[float] = []
        for number in range(plan.flow_rounds + 1):
            tell(f"flow, round {number} of {plan.flow_rounds}")
            without.append(await _delivery_ms(plan, server, api, audience, plain))
            with_flow.append(await _delivery_ms(plan, server, api, audience, flowing))
            _, event = await to_processor.exchange(servers.post(processor, "/last", b""))
            servers.pin(0)  # from where the server calls it
            bare.append(await _round_trip_ms(plan, to_processor, servers.post(processor, "/bare", event)))
            servers.pin(1)
        await audience.close()
        api.close()
        to_processor.close()
    without, with_flow, bare = without[1:], with_flow[1:], bare[1:]  # the first round was for warming up
    added = [one - other for one, other in zip(with_flow, without, strict=True)]
    return Flow(
        without_flow=Spread.of(without),
        with_flow=Spread.of(with_flow),
        added=Spread.of(added),
        bare_round_trip=Spread.of(bare),
        ratio=paired(added, bare),
    )


async def _delivery_ms(plan: Plan, server: Process, api: Api, audience: Audience, channel: Channel) -> float:
    """The median time from a send to its frame."""
    signer = server.signer()
    times = []
    for request in [world.message(signer, channel, channel.members[0]) for _ in range(plan.flow_sends)]:
        audience.expect(audience.count + 1)
        status, answer = await api.exchange(request)
        if status != 201:
            raise Failed(f"A send was answered {status}: {answer[:300].decode(errors='replace')}")
        await audience.all_heard()
        times.append(audience.heard_at - api.sent_at)
    return median(times) * 1000


async def _round_trip_ms(plan: Plan, to_processor: Api, request: bytes) -> float:
    """The median time from a request to its answer."""
    times = []
    for _ in range(plan.flow_sends):
        status, _ = await to_processor.exchange(request)
        if status != 202:
            raise Failed(f"The processor answered {status}.")
        times.append(to_processor.answered_at - to_processor.sent_at)
    return median(times) * 1000
