"""What a channel flow adds to the time from a send to its delivery, one send after another."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import servers, world
from bench.client import Api, Audience, Failed
from bench.plan import Plan
from bench.results import Flow, Spread, paired
from bench.servers import FUNCTION_ARN, Process
from bench.signing import Key, label
from bench.world import Channel


async def measure(plan: Plan, folder: Path, key: Key, tell: Callable[[str], None]) -> Flow:
    """A channel with a flow, one without, and the bare HTTP round trip to the flow's processor, by turns.

    The processor has a process of its own on the load generator's core: it and the server never wait for one core.
    """
    with (
        servers.own("processor", folder / "processor", key, core=1) as processor,
        servers.campana(folder / "campana-flow", key, processor=processor) as server,
    ):
        api = await Api.connect(server.port, server.signer())
        to_processor = await Api.connect(processor.port, processor.signer())
        await call_back(processor, server)
        plain = await world.channel(api, 2)
        flowing = await world.another_channel(api, plain.arn.partition("/channel/")[0], plain.members)
        await associate(api, flowing)
        audience = Audience()
        listening = Channel(plain.arn, plain.members[1:])  # the sender would also hear that it is pending
        await audience.join(server.port, world.handshakes(server, listening, 1))
        without: list[float] = []
        with_flow: list[float] = []
        bare: list[float] = []
        for number in range(plan.flow_rounds + 1):
            tell(f"flow, round {number} of {plan.flow_rounds}")
            without.append(await delivery_ms(plan.flow_sends, server, api, audience, plain))
            with_flow.append(await delivery_ms(plan.flow_sends, server, api, audience, flowing))
            _, event = await to_processor.exchange(_post(processor, "/last", b""))
            servers.pin(0)  # from where the server calls it
            bare.append(await _round_trip_ms(plan, to_processor, _post(processor, "/bare", event)))
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


async def call_back(processor: Process, server: Process) -> None:
    """Tell the processor whom its callbacks are for."""
    api = await Api.connect(processor.port, processor.signer())
    await api.exchange(_post(processor, "/server", f"127.0.0.1:{server.port}".encode()))
    api.close()


async def associate(api: Api, *channels: Channel, function_arn: str = FUNCTION_ARN) -> None:
    """A flow of one processor for these channels of one app instance."""
    processor = {
        "Name": "bench",
        "ExecutionOrder": 1,
        "FallbackAction": "ABORT",
        "Configuration": {"Lambda": {"ResourceArn": function_arn, "InvocationType": "ASYNC"}},
    }
    fields = {"AppInstanceArn": channels[0].arn.partition("/channel/")[0], "Name": "bench", "Processors": [processor]}
    flow = await api.call("POST", "/channel-flows", {**fields, "ClientRequestToken": world.token()})
    for channel in channels:
        path = f"/channels/{label(channel.arn)}/channel-flow"
        await api.call("PUT", path, {"ChannelFlowArn": flow["ChannelFlowArn"]}, bearer=channel.members[0])


async def delivery_ms(sends: int, server: Process, api: Api, audience: Audience, channel: Channel) -> float:
    """The median time from a send to the last session's having heard it, of so many sends one after another."""
    signer = server.signer()
    times = []
    for request in [world.message(signer, channel, channel.members[0]) for _ in range(sends)]:
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


def _post(processor: Process, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{processor.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
