"""The fixture world: one app instance for the run, with a little of everything in it, and gone at the end.

Tests leave the standing things (`room`, `ann`, `bob` …) as they found them and make their own of what they change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.conformance import answers, model
from tests.conformance.processor import Processor
from tests.conformance.sessions import Session
from tests.conformance.target import MESSAGING, SERVICES, Target

Members = dict[str, Any]


class Api:
    """The operations of both services by name: `api("CreateChannel", {...})`. Answers come without their metadata."""

    def __init__(self, target: Target) -> None:
        self.clients = {service: target.client(service) for service in SERVICES}
        if not target.aws:  # most of what is looked at there is written down nowhere
            for service, client in self.clients.items():
                client.meta.events.register(f"before-parse.{service}", answers.check)

    def __call__(self, operation: str, members: Members | None = None, *, service: str | None = None) -> Members:
        client = self.clients[service or model.service_of(operation)]
        answer: Members = getattr(client, xform_name(operation))(**members or {})
        del answer["ResponseMetadata"]
        return answer


class User:
    """A user or bot who calls: every messaging operation is a method, with this one as bearer."""

    def __init__(self, world: "World", arn: str, name: str) -> None:
        self.world, self.arn, self.name = world, arn, name

    def __getattr__(self, method: str) -> Callable[..., Members]:
        call = getattr(self.world.api.clients[MESSAGING], method)

        def bearing(**members: Any) -> Members:
            answer: Members = call(ChimeBearer=self.arn, **members)
            del answer["ResponseMetadata"]
            return answer

        return bearing

    @property
    def identity(self) -> Members:
        """As it stands in answers and events."""
        return {"Arn": self.arn, "Name": self.name}

    def makes_channel(self, *members: "User", **more: Any) -> str:
        """The ARN of a new channel of this user's."""
        given = {"AppInstanceArn": self.world.app, "Name": "Lobby", **more}
        if members:
            given["MemberArns"] = [member.arn for member in members]
        arn: str = self.create_channel(**given)["ChannelArn"]
        return arn

    def sends(self, channel: str, content: str = "hello", **more: Any) -> str:
        """The id of a new message."""
        given = {"Type": "STANDARD", "Persistence": "PERSISTENT", **more}
        message_id: str = self.send_channel_message(ChannelArn=channel, Content=content, **given)["MessageId"]
        return message_id

    def connects(self, **parameters: str) -> Session:
        """A live session, established."""
        return Session.of(self.world.target, self.world.socket_url, self.arn, **parameters)


class World:
    """What tests start from."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.api = Api(target)
        self.run = uuid4().hex[:8]
        self._numbers = count(1)
        self._app_instances: list[str] = []
        self.app = self.app_instance("conformance")

    # New things

    def id(self) -> str:
        """An id that nothing in this run has."""
        return f"id-{self.run}-{next(self._numbers)}"

    def app_instance(self, name: str) -> str:
        """The ARN of a new app instance, deleted at the end of the run."""
        arn: str = self.api("CreateAppInstance", {"Name": f"{name} {self.run}", "ClientRequestToken": self.id()})[
            "AppInstanceArn"
        ]
        self._app_instances.append(arn)
        return arn

    def user(self, name: str | None = None, *, app: str | None = None) -> User:
        """A new user."""
        id = self.id() if name is None else f"{name}-{self.run}"
        shown = (name or "somebody").title()
        arn = self.api(
            "CreateAppInstanceUser",
            {
                "AppInstanceArn": app or self.app,
                "AppInstanceUserId": id,
                "Name": shown,
                "ClientRequestToken": self.id(),
            },
        )["AppInstanceUserArn"]
        return User(self, arn, shown)

    def new_admin(self, name: str | None = None, *, app: str | None = None) -> User:
        """A new user who is an admin."""
        user = self.user(name, app=app)
        self.api("CreateAppInstanceAdmin", {"AppInstanceArn": app or self.app, "AppInstanceAdminArn": user.arn})
        return user

    def new_bot(self) -> User:
        """A new bot."""
        arn = self.api(
            "CreateAppInstanceBot",
            {"AppInstanceArn": self.app, "Name": "Bot", "Configuration": self.lex(), "ClientRequestToken": self.id()},
        )["AppInstanceBotArn"]
        return User(self, arn, "Bot")

    def lex(self) -> Members:
        """The configuration of a bot."""
        alias = self.target.resource("LEX_BOT_ALIAS_ARN")
        return {
            "Lex": {
                "LexBotAliasArn": alias,
                "LocaleId": "en_US",
                "WelcomeIntent": "Hello",
                "InvokedBy": {"StandardMessages": "MENTIONS", "TargetedMessages": "ALL"},
            }
        }

    def new_flow(self, *processors: str, fallback: str = "ABORT", within: str | None = None) -> str:
        """A new channel flow of these processors, by default the one that the target has; skips where a server that
        the environment named takes no URLs for them."""
        request = {
            "AppInstanceArn": within or self.app,
            "Name": "flow",
            "Processors": self.processors(*processors, fallback=fallback),
            "ClientRequestToken": self.id(),
        }
        try:
            return str(self.api("CreateChannelFlow", request)["ChannelFlowArn"])
        except ClientError as error:
            by_url = any(each.startswith("http://") for each in processors)
            if by_url and self.target.given and error.response["Error"]["Code"] == "BadRequestException":
                pytest.skip("the server takes no URLs as processors (Campana: flows.accept_http_resource_arns)")
            raise

    def processors(self, *arns: str, fallback: str = "ABORT") -> list[Members]:
        """Processors as a request carries them."""
        return [
            {
                "Name": f"processor {order}",
                "Configuration": {"Lambda": {"ResourceArn": arn, "InvocationType": "ASYNC"}},
                "ExecutionOrder": order,
                "FallbackAction": fallback,
            }
            for order, arn in enumerate(arns or (self.target.resource("PROCESSOR_ARN"),), 1)
        ]

    def new_endpoint(self, user: User) -> str:
        """The id of a new endpoint."""
        return str(
            self.api("RegisterAppInstanceUserEndpoint", {
                "AppInstanceUserArn": user.arn,
                "Type": "APNS",
                "ResourceArn": self.target.resource("PINPOINT_APP_ARN"),
                "EndpointAttributes": {"DeviceToken": self.id()},
                "ClientRequestToken": self.id(),
            })["EndpointId"]
        )  # fmt: skip

    # Standing things

    @cached_property
    def ann(self) -> User:
        """Made `room`, and moderates it."""
        return self.user("ann")

    @cached_property
    def bob(self) -> User:
        """A member of `room`."""
        return self.user("bob")

    @cached_property
    def mod(self) -> User:
        """Moderates `room` without being a member."""
        return self.user("mod")

    @cached_property
    def eve(self) -> User:
        """A user who has to do with nothing."""
        return self.user("eve")

    @cached_property
    def admin(self) -> User:
        """Admin of the app instance, member of nothing."""
        return self.new_admin("admin")

    @cached_property
    def crowd(self) -> list[User]:
        """Eleven more users."""
        return [self.user(f"crowd{number}") for number in range(11)]

    @cached_property
    def other_app(self) -> str:
        """Another app instance: for strangers, and for what there may be one of in an app instance."""
        return self.app_instance("conformance, another")

    @cached_property
    def stranger(self) -> User:
        """An admin of the other app instance."""
        return self.new_admin("stranger", app=self.other_app)

    @property
    def nobody(self) -> str:
        """The ARN of a user who is not there."""
        return f"{self.app}/user/nobody"

    @cached_property
    def room(self) -> str:
        """A private, restricted channel: Ann made it and moderates it, Mod moderates, Bob is a member."""
        return self.ann.makes_channel(self.bob, ModeratorArns=[self.mod.arn], Privacy="PRIVATE", Mode="RESTRICTED")

    @cached_property
    def square(self) -> str:
        """A public, unrestricted channel of Ann and Bob."""
        return self.ann.makes_channel(self.bob, Privacy="PUBLIC", Mode="UNRESTRICTED")

    @cached_property
    def message(self) -> str:
        """A message of Ann's in `room`."""
        return self.ann.sends(self.room)

    @cached_property
    def flow(self) -> str:
        """A channel flow that no channel has."""
        return self.new_flow()

    @cached_property
    def bot(self) -> User:
        return self.new_bot()

    @property
    def elastic(self) -> str:
        """The elastic channel of the app instance: Ann moderates it, and Bob and she are in its one sub-channel."""
        return self._elastic[0]

    @property
    def sub_channel(self) -> str:
        """The id of the sub-channel of `elastic`."""
        return self._elastic[1]

    @cached_property
    def _elastic(self) -> tuple[str, str]:
        arn = self.ann.makes_channel(
            Privacy="PUBLIC",
            Mode="RESTRICTED",
            ElasticChannelConfiguration={
                "MaximumSubChannels": 5,
                "TargetMembershipsPerSubChannel": 50,
                "MinimumMembershipPercentage": 10,
            },
        )
        joining = {"ChannelArn": arn, "Type": "DEFAULT"}
        sub_channel_id: str = self.ann.create_channel_membership(**joining, MemberArn=self.bob.arn)["SubChannelId"]
        self.ann.create_channel_membership(**joining, MemberArn=self.ann.arn, SubChannelId=sub_channel_id)
        return arn, sub_channel_id

    @cached_property
    def elastic_message(self) -> str:
        """A message of Bob's in his sub-channel."""
        return self.bob.sends(self.elastic, SubChannelId=self.sub_channel)

    # Messages that a processor holds back

    @cached_property
    def processor(self) -> Processor:
        """A processor on this machine, for messages whose fate tests decide; skips where it can't be called."""
        if not self.target.calls_http:
            pytest.skip("the service can't call a processor on this machine")
        return Processor()

    @cached_property
    def guarded(self) -> str:
        """A channel of Ann and Bob whose messages `processor` sees first."""
        channel = self.ann.makes_channel(self.bob)
        self.ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=self.processor_flow)
        return channel

    @cached_property
    def processor_flow(self) -> str:
        """The channel flow of `processor`."""
        return self.new_flow(self.processor.arn)

    def held_event(self, *, elastic: bool = False) -> Members:
        """What the processor was told of a new message, which waits for its verdict."""
        if not elastic:
            self.ann.sends(self.guarded)
            return self.processor.takes()
        channel, flow = self.elastic, self.processor_flow
        self.ann.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        self.bob.sends(channel, SubChannelId=self.sub_channel)
        self.ann.disassociate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow)
        return self.processor.takes()

    @cached_property
    def socket_url(self) -> str:
        """Where live sessions connect."""
        authority = self.api("GetMessagingSessionEndpoint")["Endpoint"]["Url"]
        return f"{'ws' if self.target.plain else 'wss'}://{authority}"

    # The end

    def delete(self) -> None:
        """Remove all that was made, as far as it can be."""
        if "processor" in self.__dict__:
            self.processor.close()
        for arn in self._app_instances:
            try:
                self.api("DeleteAppInstance", {"AppInstanceArn": arn})
            except ClientError as error:
                if error.response["Error"]["Code"] != "ForbiddenException":  # a test has deleted it
                    print(f"could not delete {arn}: {error}")


REFUSALS = {
    "BadRequestException": ("BadRequest", 400),
    "ResourceLimitExceededException": ("ResourceLimitExceeded", 400),
    "UnauthorizedClientException": ("Unauthorized", 401),
    "ForbiddenException": ("Forbidden", 403),
    "NotFoundException": ("NotFound", 404),
    "ConflictException": ("Conflict", 409),
    "ThrottledClientException": ("Throttled", 429),
}


@contextmanager
def refused(*names: str) -> Iterator[None]:
    """What is done inside is answered with (one of) these exceptions, named without their `Exception`."""
    try:
        yield
    except ClientError as error:
        answer = error.response
        name = answer["Error"]["Code"]
        assert name in [f"{each}Exception" for each in names], answer
        code, status = REFUSALS[name]
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, answer
        assert answer.get("Code") in (code, None), answer  # None: AWS may leave it out
    else:
        raise AssertionError(f"not refused with {' or '.join(names)}")


def pages(api: Api, operation: str, items: str, members: Members, *, service: str | None = None) -> Iterator[list[Any]]:
    """The pages of a list: boto3 has no paginators for these services."""
    token = None
    while True:
        answer = api(operation, {**members, **({"NextToken": token} if token else {})}, service=service)
        yield answer[items]
        token = answer.get("NextToken")
        if token is None:
            return
