"""Stories told in Node.js by the AWS SDK v3, by amazon-chime-sdk-js, and by a function on Lambda's own client.

Their programs are in tests/js; each tells what it saw in lines of JSON.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import LAMBDA, App, Processor, User, calls_back
from tests.node import JS, NODE_RIC, why_no_node
from tests.stories.serving import Program, Server, serving

MODERATE = JS / "functions" / "moderate" / "index.mjs"


pytestmark = pytest.mark.skipif(bool(why_no_node()), reason=why_no_node())

NodePrograms = Callable[..., Program]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodePrograms]:
    """Starts programs of tests/js against a server; they end with the test."""
    programs: list[Program] = []

    def start(server: Server, program: str, *arguments: str, **variables: str) -> Program:
        log = tmp_path / f"{program}-{len(programs)}.log"
        command = ["node", str(JS / program), *arguments]
        programs.append(Program(command, server.environment | variables, tmp_path, log))
        return programs[-1]

    yield start
    for program in programs:
        program.end(signal.SIGKILL)


# The AWS SDK for JavaScript v3, over plain HTTP.


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What rest.mjs said at each step, and what boto3 then says of the same channel."""
    folder = tmp_path_factory.mktemp("rest")
    with serving(folder) as server:
        program = Program(["node", str(JS / "rest.mjs")], server.environment, folder, folder / "rest.log")
        try:
            steps = {line.pop("step"): line for line in program.rest()}
        finally:
            program.end(signal.SIGKILL)
        channel = steps["channel"]
        as_ann = {"ChannelArn": channel["ChannelArn"], "ChimeBearer": channel["ann"]}
        messaging = server.client("chime-sdk-messaging")
        steps["boto3"] = {
            "channel": messaging.describe_channel(**as_ann)["Channel"],
            "message": messaging.get_channel_message(**as_ann, MessageId=steps["sent"]["MessageId"])["ChannelMessage"],
            "url": server.url,
        }
        return steps


def test_a_channel_made_from_javascript_is_the_one_boto3_sees(told):
    channel, seen = told["channel"], told["boto3"]["channel"]

    assert channel["status"] == 201
    assert channel["Name"] == seen["Name"] == "Größe ☃ 🦆"
    assert channel["CreatedBy"] == {"Arn": channel["ann"], "Name": "ANN"}
    assert channel["CreatedTimestamp"] == iso(seen["CreatedTimestamp"])
    assert channel["bob"].endswith("/user/us-east-1:bob@b.c")


def test_a_message_comes_back_as_it_was_sent_and_its_times_are_dates(told):
    sent = told["sent"]
    message = sent["message"]

    assert sent["status"] == 201
    assert sent["requestId"]
    assert sent["ChannelArn"] == message["ChannelArn"] == told["channel"]["ChannelArn"]
    assert sent["Status"] == message["Status"] == {"Value": "SENT"}
    assert message["Content"] == "größer ☃ 🦆"
    assert message["Metadata"] == '{"a":1}'
    assert message["MessageAttributes"] == {"mention": {"StringValues": ["bob", "x y"]}}
    assert message["Redacted"] is False
    assert sent["dates"] == [True, True]
    assert sent["inTime"]
    assert message["CreatedTimestamp"] == iso(told["boto3"]["message"]["CreatedTimestamp"])


def test_a_message_is_changed_then_redacted(told):
    updated, redacted = told["updated"]["message"], told["redacted"]["message"]

    assert updated["Content"] == "größer still"
    assert told["updated"]["date"]
    assert redacted["Redacted"] is True
    assert "Content" not in redacted
    assert redacted["CreatedTimestamp"] == told["sent"]["message"]["CreatedTimestamp"]


def test_the_sdks_paginator_walks_the_channel(told):
    assert told["pages"]["pages"] == [
        {"contents": ["redacted", "number 1"], "more": True},
        {"contents": ["number 2", "number 3"], "more": True},
        {"contents": ["number 4", "number 5"], "more": False},
    ]


def test_a_date_in_the_query_cuts_the_list(told):
    cut = told["cut"]
    created, third = cut["created"], cut["created"]["number 3"]

    assert [content for content in cut["since"] if created[content] != third] == [
        content for content, time in created.items() if time > third
    ]
    assert [content for content in cut["until"] if created[content] != third] == [
        content for content, time in created.items() if time < third
    ]
    assert "number 3" in cut["since"]


def test_sending_again_with_the_same_token_is_sending_once(told):
    first, second = told["again"]["ids"]
    assert first == second


@pytest.mark.parametrize(
    ("who", "name", "code", "status"),
    [
        ("outsider", "ForbiddenException", "Forbidden", 403),
        ("twice", "ConflictException", "Conflict", 409),
        ("nobody", "ForbiddenException", "Forbidden", 403),
        ("tooMany", "BadRequestException", "BadRequest", 400),
        ("stranger", "UnrecognizedClientException", None, 403),
        ("forger", "InvalidSignatureException", None, 403),
    ],
)
def test_a_refusal_is_thrown_by_its_name(told, who, name, code, status):
    refusal = told["refused"][who]
    assert (refusal["name"], refusal["status"]) == (name, status)
    assert refusal["message"]
    if code is not None:
        assert refusal["Code"] == code
    assert refusal["typed"] == (who == "outsider")


def test_a_channel_flow_from_its_making_to_its_end(told):
    flow = told["flow"]

    assert flow["flow"]["ChannelFlowArn"] == flow["associated"] == flow["ChannelFlowArn"]
    assert flow["flow"]["Name"] == "first"
    assert flow["flow"]["Processors"] == flow["Processors"]
    assert flow["dates"] == [True, True]
    assert flow["listed"] == ["second"]
    assert flow["using"] == [told["channel"]["ChannelArn"]]
    assert flow["inUse"]["name"] == "ConflictException"
    assert flow["deleted"] == 204
    assert flow["left"] == []


def test_the_endpoint_is_a_bare_host(told):
    assert told["endpoint"]["Endpoint"] == {"Url": told["boto3"]["url"].removeprefix("http://")}


def iso(time: Any) -> str:
    """As JavaScript's JSON has a Date."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


# amazon-chime-sdk-js, over TLS.

CONNECT = {"did": "connect", "reconnecting": False}
RECONNECT = {"did": "connect", "reconnecting": True}
START = {"did": "start"}
RESOLVE = {"did": "resolve"}
ESTABLISHED = {
    "did": "receive",
    "type": "SESSION_ESTABLISHED",
    "headers": {"x-amz-chime-event-type": "SESSION_ESTABLISHED", "x-amz-chime-message-type": "SYSTEM"},
    "payload": None,
}


class Listener:
    """A MessagingSession in a Node process."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def hears(self) -> tuple[str, Any]:
        """The next event, with its payload."""
        line = self.program.json()
        assert line["did"] == "receive", line
        return line["type"], line["payload"]

    def takes_up(self) -> None:
        """What is told up to the first session's beginning, in the order in which the library calls back."""
        lines = [self.program.json() for _ in range(4)]
        assert [lines[0], *sorted(lines[1:], key=str)] == [CONNECT, *sorted([RESOLVE, START, ESTABLISHED], key=str)]

    def takes_up_again(self) -> None:
        """Everything until the session is established again."""
        line = self.program.json()
        assert line == RECONNECT
        while line == RECONNECT:
            line = self.program.json()
        assert [line, self.program.json()] == [START, ESTABLISHED]

    def stops(self) -> int:
        """The close code of a session that ends when its user wants it to."""
        self.program.close_input()
        [line] = self.program.rest()
        assert line["did"] == "stop"
        return line["code"]


@pytest.fixture
def listens(node: NodePrograms) -> Callable[..., Listener]:
    """Opens a session of a user and waits until it is established."""

    def start(user: User, **variables: str) -> Listener:
        listener = Listener(node(user.app.server, "session.mjs", user.arn, **variables))
        listener.takes_up()
        return listener

    return start


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with TLS for the stories that leave it running."""
    with serving(tmp_path_factory.mktemp("secure"), "--tls", "self-signed") as server:
        yield server


def test_a_session_hears_events_as_they_happen(secure, listens):
    ann, bob = App(secure).users("ann", "bob")
    ear = listens(bob)

    channel = ann.makes_channel()
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
    sent = ann.sends(channel, "größer ☃", Metadata='{"a": 1}')
    ann.update_channel_message(ChannelArn=channel, MessageId=sent, Content="edited")
    ann.redact_channel_message(ChannelArn=channel, MessageId=sent)
    signal_id = ann.sends(channel, "typing", Type="CONTROL", Persistence="NON_PERSISTENT")
    ann.update_channel(ChannelArn=channel, Name="Renamed", Mode="RESTRICTED")
    ann.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)

    kind, joined = ear.hears()
    assert kind == "CREATE_CHANNEL_MEMBERSHIP"
    assert joined["Member"] == {"Arn": bob.arn, "Name": "Bob"}
    assert joined["InvitedBy"] == {"Arn": ann.arn, "Name": "Ann"}
    kind, created = ear.hears()
    assert kind == "CREATE_CHANNEL_MESSAGE"
    assert created["MessageId"] == sent
    assert created["ChannelArn"] == channel
    assert (created["Content"], created["Metadata"]) == ("größer ☃", '{"a": 1}')
    assert created["Sender"] == {"Arn": ann.arn, "Name": "Ann"}
    assert created["Status"] == {"Value": "SENT"}
    kind, updated = ear.hears()
    assert (kind, updated["Content"]) == ("UPDATE_CHANNEL_MESSAGE", "edited")
    assert updated["CreatedTimestamp"] == created["CreatedTimestamp"] < updated["LastEditedTimestamp"]
    kind, redacted = ear.hears()
    assert (kind, redacted["Redacted"], redacted["MessageId"]) == ("REDACT_CHANNEL_MESSAGE", True, sent)
    kind, control = ear.hears()
    assert (kind, control["Type"], control["MessageId"]) == ("CREATE_CHANNEL_MESSAGE", "CONTROL", signal_id)
    kind, renamed = ear.hears()
    assert (kind, renamed["Name"]) == ("UPDATE_CHANNEL", "Renamed")
    kind, left = ear.hears()
    assert (kind, left["Member"]["Arn"]) == ("DELETE_CHANNEL_MEMBERSHIP", bob.arn)
    ear.stops()


def test_pending_and_denied_messages_are_their_senders_alone(tmp_path, processor: Processor, listens):
    moderate = LAMBDA + "moderate"
    with serving(tmp_path, "--tls", "self-signed", processors={moderate: processor.arn}) as server:
        app = App(server)
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob], flow=app.flow(moderate))
        senders, others = listens(ann), listens(bob)

        denied = ann.sends(channel, "card 4111")
        assert senders.hears()[0] == "PENDING_CREATE_CHANNEL_MESSAGE"
        calls_back(app, processor.takes(), deny=True)
        kind, payload = senders.hears()
        assert (kind, payload["MessageId"]) == ("DENIED_CREATE_CHANNEL_MESSAGE", denied)
        assert payload["Status"]["Value"] == "DENIED"

        passed = ann.sends(channel, "what a duck")
        assert senders.hears()[0] == "PENDING_CREATE_CHANNEL_MESSAGE"
        calls_back(app, processor.takes(), Content="what a ****")
        for ear in (senders, others):  # the first that others hear at all
            kind, payload = ear.hears()
            assert (kind, payload["MessageId"], payload["Content"]) == ("CREATE_CHANNEL_MESSAGE", passed, "what a ****")


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_session_survives_a_restart_by_its_own_reconnect(tmp_path, listens, end):
    with serving(tmp_path, "--tls", "self-signed") as server:
        ann, bob = App(server).users("ann", "bob")
        channel = ann.makes_channel(members=[bob])
        ear = listens(bob)
        ann.sends(channel, "before")
        assert ear.hears()[1]["Content"] == "before"

        assert not end(server)  # an exit code of 0, or none
        server.start()
        ear.takes_up_again()

        ann.sends(channel, "after")
        assert ear.hears()[1]["Content"] == "after"
        assert [message["Content"] for message in bob.reads(channel)] == ["after", "before"]
        ear.stops()


def test_a_session_is_handed_the_details_of_its_channels_and_again_when_it_comes_back(tmp_path, listens):
    with serving(tmp_path, "--tls", "self-signed") as server:
        ann, bob = App(server).users("ann", "bob")
        channels = [ann.makes_channel(members=[bob]) for _ in range(60)]
        for channel in channels[:55]:
            ann.sends(channel, "hello")
        for channel in channels[:40]:
            bob.update_channel_read_marker(ChannelArn=channel)
        unread, read, silent = channels[40:55], channels[:40], channels[55:]

        ear = listens(bob, PREFETCH_SORT_BY="unread")
        first = [ear.hears() for _ in range(50)]
        server.kill()
        server.start()
        ear.takes_up_again()
        again = [ear.hears() for _ in range(50)]
        ann.sends(silent[0], "the next")

        for heard in (first, again):
            assert {kind for kind, _ in heard} == {"CHANNEL_DETAILS"}
            assert {payload["Channel"]["ChannelArn"] for _, payload in heard} == {*unread, *read[-35:]}
            assert {payload["ChannelMessages"][0]["Content"] for _, payload in heard} == {"hello"}
        kind, payload = ear.hears()
        assert (kind, payload["Content"]) == ("CREATE_CHANNEL_MESSAGE", "the next")
        ear.stops()


def test_a_session_with_a_wrong_secret_ends_with_4401_for_good(secure, node):
    bob = App(secure).user("bob")
    host = secure.url.removeprefix("https://")

    # The endpoint is given, since asking for it would be refused already.
    program = node(secure, "session.mjs", bob.arn, host, AWS_SECRET_ACCESS_KEY="a guess")

    assert program.rest() == [CONNECT, {"did": "reject", "code": 4401, "reason": "InvalidSignatureException"}]


def test_a_session_of_an_unknown_user_ends_with_4003_for_good(secure, node):
    nobody = App(secure).arn + "/user/nobody"

    program = node(secure, "session.mjs", nobody)

    assert program.rest() == [CONNECT, {"did": "reject", "code": 4003, "reason": "There is no such user"}]


def test_a_session_ends_with_4003_for_good_when_its_user_is_deleted(secure, listens):
    app = App(secure)
    bob = app.user("bob")
    ear = listens(bob)

    app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn)

    [stop] = ear.program.rest()
    assert (stop["did"], stop["code"]) == ("stop", 4003)


# A Lambda function in JavaScript, run by the server.


@pytest.fixture(params=["aws-lambda-ric", "own client"])
def function_client(request: pytest.FixtureRequest) -> tuple[dict[str, str], str]:
    """The server's environment, and what it then says of the client it runs functions with."""
    if request.param == "own client":
        return {}, "run by Campana's own Node.js client"
    if not NODE_RIC.exists():
        pytest.skip("tests/js/ric/node_modules is missing: run `make node-ric`")
    return {"CAMPANA_NODE_RIC": str(NODE_RIC)}, "run by aws-lambda-ric 4."


def test_an_unmodified_javascript_function_moderates(tmp_path, listens, function_client):
    environment, said = function_client
    moderate = LAMBDA + "moderate"
    processors = {moderate: f"{MODERATE}:handler"}
    with serving(tmp_path, "--tls", "self-signed", processors=processors, environment=environment) as server:
        app = App(server)
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob], flow=app.flow(moderate))
        senders, others = listens(ann), listens(bob)

        denied = ann.sends(channel, "a secret")
        heard = [senders.hears() for _ in range(2)]
        assert [kind for kind, _ in heard] == ["PENDING_CREATE_CHANNEL_MESSAGE", "DENIED_CREATE_CHANNEL_MESSAGE"]
        assert {payload["MessageId"] for _, payload in heard} == {denied}

        passed = ann.sends(channel, "what a duck")
        kind, payload = others.hears()
        assert (kind, payload["MessageId"], payload["Content"]) == ("CREATE_CHANNEL_MESSAGE", passed, "what a ****")
        assert [message["Content"] for message in bob.reads(channel)] == ["what a ****"]
        log = server.log.read_text()
        assert said in log
        assert f"moderating {passed}" in log
