"""What the demo does: makes an app instance, two users, a channel and flows, and sends five messages.

Everything goes through boto3 and WebSockets, as from any other program.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from campana.cli.demo import child
from campana.cli.demo.cases import CASES, FLOWS, PENDING, Case, Event, Flow, Outcome, expected
from campana.cli.demo.child import PATIENCE_S, ChildServer, Trouble
from campana.cli.demo.session import Heard, Session
from campana.cli.demo.view import View
from campana.clock import Clock, Ids
from campana.server.data_folder import KeyPair

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class World:
    """What the demo made, and the ways to it."""

    server: ChildServer
    url: str
    key: KeyPair
    messaging: Any
    app_instance_arn: str
    channel_arn: str
    ann_arn: str
    bob_arn: str
    flow_arns: Mapping[Flow, str]
    ann: Session
    bob: Session


def opened(server: ChildServer, url: str, key: KeyPair, ids: Ids, view: View, stack: ExitStack) -> World:
    """Make everything that the messages need; sessions end with `stack`. Raises Trouble, ClientError."""
    identity = _client("chime-sdk-identity", url, key)
    messaging = _client("chime-sdk-messaging", url, key)
    app = identity.create_app_instance(Name="demo")["AppInstanceArn"]
    view.fact("app", app)
    ann, bob = (
        identity.create_app_instance_user(AppInstanceArn=app, AppInstanceUserId=name.lower(), Name=name)[
            "AppInstanceUserArn"
        ]
        for name in ("Ann", "Bob")
    )
    view.fact("users", "Ann and Bob")
    channel = messaging.create_channel(
        AppInstanceArn=app, ChimeBearer=ann, ChannelId="lobby", Name="Lobby", MemberArns=[bob]
    )["ChannelArn"]
    view.fact("channel", "Lobby, made by Ann, who is its moderator; Bob is a member")
    flows = {flow: _make_flow(messaging, app, flow) for flow in FLOWS}
    view.fact("flows", ", ".join(flow.name for flow in flows))
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    sessions = [
        stack.enter_context(Session(url, name, arn, ids.uuid(), credentials, REGION))
        for name, arn in (("Ann", ann), ("Bob", bob))
    ]
    view.fact("sessions", "one of Ann, one of Bob: two WebSockets")
    return World(server, url, key, messaging, app, channel, ann, bob, flows, *sessions)


def told(world: World, clock: Clock, view: View) -> list[tuple[Case, Outcome]]:
    """Send the messages one after the other and show the way of each; raises Trouble, ClientError."""
    view.heading()
    found: list[tuple[str, Case, Outcome]] = []
    flow = None
    for number, case in enumerate(CASES, 1):
        if case.flow != flow:
            flow = case.flow
            use(world, flow)
            view.flow(flow)
        message_id, outcome = _Way(world, clock, view).go(number, case)
        found.append((message_id, case, outcome))
    listed = _listed(world)
    if strangers := listed.keys() - {message_id for message_id, _, _ in found}:
        raise Trouble("Bob to list only what was sent", f"{len(strangers)} more")
    return [
        (case, Outcome(seen.accepted, seen.ann, seen.bob, seen.status, listed.get(message_id)))
        for message_id, case, seen in found
    ]


def use(world: World, flow: Flow) -> None:
    """Associate the channel with a flow; members hear that the channel was updated. Raises Trouble."""
    world.messaging.associate_channel_flow(
        ChannelArn=world.channel_arn, ChannelFlowArn=world.flow_arns[flow], ChimeBearer=world.ann_arn
    )
    for session in (world.ann, world.bob):
        heard = session.next("UPDATE_CHANNEL")
        if heard.event != "UPDATE_CHANNEL" or heard.payload.get("ChannelFlowArn") != world.flow_arns[flow]:
            raise Trouble(f"{session.name} to hear UPDATE_CHANNEL with the new channel flow", heard.event)


class _Way:
    """The way of one message, from its sending to the last word about it."""

    def __init__(self, world: World, clock: Clock, view: View) -> None:
        self._world = world
        self._clock = clock
        self._view = view
        self._begun = clock.now()

    def go(self, number: int, case: Case) -> tuple[str, Outcome]:
        """The message's id and what became of it, but for `listed`."""
        world = self._world
        self._view.sends(number, case)
        answer = self._send(case.content, "STANDARD", "PERSISTENT")
        message_id, accepted = answer["MessageId"], answer["Status"]["Value"]
        ann = [world.ann.next(PENDING)]
        self._view.accepted(self._passed_ms(), ann, accepted)

        self._follow(case, message_id)

        becomes = expected(case)
        ann.append(world.ann.next(becomes.ann[-1].type))
        passed_ms = self._passed_ms()
        bob = [world.bob.next(event.type) for event in becomes.bob]
        # CONTROL messages pass no flow, and a channel's events come in order: once both have heard this one, they
        # have heard all about the message before it.
        fence = self._send("that was all", "CONTROL", "NON_PERSISTENT")["MessageId"]
        ann += world.ann.until(fence)
        bob += world.bob.until(fence)
        status = self._status(message_id)
        self._view.ended(passed_ms, ann, bob, status)
        return message_id, Outcome(
            accepted, _events(ann, message_id, "Ann"), _events(bob, message_id, "Bob"), status, None
        )

    def _follow(self, case: Case, message_id: str) -> None:
        """Show where the message is, until its processor has spoken or been given up."""
        while True:
            line = self._world.server.next_line(message_id)
            match line.event:
                case child.FUNCTION_OUTPUT:
                    said = str(line.values["text"]).replace(message_id, "").strip()
                    self._view.processor(self._passed_ms(), f"{case.flow.processor}: {said}")
                    return
                case child.FUNCTION_FAILED:
                    raise Trouble("the processor to answer", str(line.values.get("reason")))
                case child.ATTEMPT_FAILED:
                    passed_ms, attempt = self._passed_ms(), line.values["attempt"]
                    # More are to come after the first, so it is still on its way.
                    status = self._status(message_id) if attempt == 1 else None
                    self._view.processor(passed_ms, f"attempt {attempt}: not reached", status)
                case child.UNREACHABLE:
                    self._view.processor(self._passed_ms(), f"given up, so {case.flow.fallback}")
                    return

    def _send(self, content: str, type: str, persistence: str) -> Any:
        return self._world.messaging.send_channel_message(
            ChannelArn=self._world.channel_arn,
            ChimeBearer=self._world.ann_arn,
            Content=content,
            Type=type,
            Persistence=persistence,
        )

    def _status(self, message_id: str) -> str:
        """What GetChannelMessageStatus tells Ann: a status, or the code of the error."""
        try:
            answer = self._world.messaging.get_channel_message_status(
                ChannelArn=self._world.channel_arn, ChimeBearer=self._world.ann_arn, MessageId=message_id
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(answer["Status"]["Value"])

    def _passed_ms(self) -> int:
        return self._clock.now() - self._begun


def _events(heard: list[Heard], message_id: str, name: str) -> tuple[Event, ...]:
    for each in heard:
        if each.message_id != message_id:
            raise Trouble(f"{name} to hear only of this message", each.event)
    return tuple(Event(each.event, each.status, each.content) for each in heard)


def _listed(world: World) -> dict[str, str]:
    """Bob's view of the channel: contents by message id."""
    answer = world.messaging.list_channel_messages(ChannelArn=world.channel_arn, ChimeBearer=world.bob_arn)
    return {message["MessageId"]: message["Content"] for message in answer["ChannelMessages"]}


def _make_flow(messaging: Any, app_instance_arn: str, flow: Flow) -> str:
    arn: str = messaging.create_channel_flow(
        AppInstanceArn=app_instance_arn,
        Name=flow.name,
        Processors=[
            {
                "Name": flow.processor,
                "Configuration": {"Lambda": {"ResourceArn": flow.resource_arn, "InvocationType": "ASYNC"}},
                "ExecutionOrder": 1,
                "FallbackAction": flow.fallback,
            }
        ],
    )["ChannelFlowArn"]
    return arn


def _client(service: str, url: str, key: KeyPair) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        # No retries: a refusal is to be seen, not hidden.
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE_S, connect_timeout=PATIENCE_S),
    )
