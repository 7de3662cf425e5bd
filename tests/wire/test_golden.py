"""Exact exchanges, byte for byte; `CAMPANA_GOLDEN=1 pytest tests/wire/test_golden.py` rewrites them.

Requests are as botocore sends them, unsigned; answers lack what every answer gets (request id, date, length, CORS).
"""

import os
from pathlib import Path
from typing import Any

import pytest

from campana import errors
from campana.api import identity, messaging
from campana.api.base import Shape, Timestamp
from campana.wire import codec, router
from campana.wire.http import HttpRequest, HttpResponse

from .model import sent

GOLDEN = Path(__file__).parent / "golden"

APP = "arn:aws:chime:us-east-1:123456789012:app-instance/6f9d1c1e-0c5f-4b7e-9d3b-2f1f8a1f5a11"
CHANNEL, ANN, BOB = f"{APP}/channel/room:1@x.y", f"{APP}/user/ann", f"{APP}/user/us-east-1:bob"
FLOW = f"{APP}/channel-flow/3c0e8f62-53f7-4c0e-8a53-1d7f1d3a0a42"
MESSAGE = "018fc2a5b0000000" + "ab" * 24
TOKEN = "7f9c0b1e-1111-4222-8333-444455556666"
CALLBACK = "c0" * 32
HERE = {"ChannelArn": CHANNEL, "ChimeBearer": ANN}
STARTED, EDITED = Timestamp(1_717_000_000_123), Timestamp(1_772_600_767_089)

IDENTITY = messaging.Identity(arn=ANN, name="Ann 🎈")
SENT = messaging.ChannelMessageStatusStructure(value=messaging.ChannelMessageStatus.SENT)

EXCHANGES: dict[str, tuple[str, str, dict[str, Any], Shape | errors.ApiError | None]] = {
    "create-channel": (
        "messaging",
        "CreateChannel",
        {
            "AppInstanceArn": APP,
            "Name": "Général 🎈",
            "Mode": "UNRESTRICTED",
            "Privacy": "PRIVATE",
            "ClientRequestToken": TOKEN,
            "ChimeBearer": ANN,
            "ChannelId": "room:1@x.y",
            "MemberArns": [BOB],
            "Tags": [{"Key": "team", "Value": "blue"}],
        },
        messaging.CreateChannelResponse(channel_arn=CHANNEL),
    ),
    "describe-channel": (
        "messaging",
        "DescribeChannel",
        HERE,
        messaging.DescribeChannelResponse(
            channel=messaging.Channel(
                name="Général 🎈",
                channel_arn=CHANNEL,
                mode=messaging.ChannelMode.UNRESTRICTED,
                privacy=messaging.ChannelPrivacy.PRIVATE,
                created_by=IDENTITY,
                created_timestamp=STARTED,
                last_updated_timestamp=Timestamp(1_717_000_000_000),
            )
        ),
    ),
    "describe-channel-forbidden": ("messaging", "DescribeChannel", HERE, errors.Forbidden()),
    "delete-channel": ("messaging", "DeleteChannel", HERE, None),
    "update-channel-read-marker": (
        "messaging",
        "UpdateChannelReadMarker",
        HERE,
        messaging.UpdateChannelReadMarkerResponse(channel_arn=CHANNEL),
    ),
    "send-channel-message": (
        "messaging",
        "SendChannelMessage",
        HERE
        | {
            "Content": 'She said "hi" \\o/ 👋',
            "Type": "STANDARD",
            "Persistence": "PERSISTENT",
            "ClientRequestToken": TOKEN,
            "PushNotification": {"Title": "Ann", "Body": "hi", "Type": "DEFAULT"},
            "MessageAttributes": {"mood": {"StringValues": ["good", "better"]}},
            "Target": [{"MemberArn": BOB}],
        },
        messaging.SendChannelMessageResponse(
            channel_arn=CHANNEL,
            message_id=MESSAGE,
            status=messaging.ChannelMessageStatusStructure(value=messaging.ChannelMessageStatus.PENDING),
        ),
    ),
    "send-channel-message-throttled": (
        "messaging",
        "SendChannelMessage",
        HERE | {"Content": "hi", "Type": "CONTROL", "Persistence": "NON_PERSISTENT", "ClientRequestToken": TOKEN},
        errors.Throttled("Too many requests."),
    ),
    "list-channel-messages": (
        "messaging",
        "ListChannelMessages",
        HERE
        | {
            "SortOrder": "ASCENDING",
            "NotBefore": "2024-05-06T07:08:09.123456Z",
            "MaxResults": 2,
            "NextToken": "a+b/c==",
        },
        messaging.ListChannelMessagesResponse(
            channel_arn=CHANNEL,
            next_token="opaque",
            channel_messages=[
                messaging.ChannelMessageSummary(
                    message_id=MESSAGE,
                    content='She said "hi" \\o/ 👋',
                    type=messaging.ChannelMessageType.STANDARD,
                    created_timestamp=STARTED,
                    last_updated_timestamp=EDITED,
                    last_edited_timestamp=EDITED,
                    sender=IDENTITY,
                    redacted=False,
                    status=SENT,
                ),
                messaging.ChannelMessageSummary(
                    message_id=MESSAGE, created_timestamp=STARTED, redacted=True, status=SENT
                ),
            ],
        ),
    ),
    "redact-channel-message": (
        "messaging",
        "RedactChannelMessage",
        HERE | {"MessageId": MESSAGE},
        messaging.RedactChannelMessageResponse(channel_arn=CHANNEL, message_id=MESSAGE),
    ),
    "associate-channel-flow": ("messaging", "AssociateChannelFlow", HERE | {"ChannelFlowArn": FLOW}, None),
    "disassociate-channel-flow": ("messaging", "DisassociateChannelFlow", HERE | {"ChannelFlowArn": FLOW}, None),
    "channel-flow-callback": (
        "messaging",
        "ChannelFlowCallback",
        {
            "ChannelArn": CHANNEL,
            "CallbackId": CALLBACK,
            "DeleteResource": True,
            "ChannelMessage": {"MessageId": MESSAGE},
        },
        messaging.ChannelFlowCallbackResponse(channel_arn=CHANNEL, callback_id=CALLBACK),
    ),
    "tag-resource": (
        "identity",
        "TagResource",
        {"ResourceARN": APP, "Tags": [{"Key": "team", "Value": "blue"}]},
        None,
    ),
    "describe-app-instance-user": (
        "identity",
        "DescribeAppInstanceUser",
        {"AppInstanceUserArn": BOB},
        identity.DescribeAppInstanceUserResponse(
            app_instance_user=identity.AppInstanceUser(app_instance_user_arn=BOB, name="Bob", created_timestamp=STARTED)
        ),
    ),
    "create-app-instance-user-conflict": (
        "identity",
        "CreateAppInstanceUser",
        {"AppInstanceArn": APP, "AppInstanceUserId": "ann", "Name": "Ann", "ClientRequestToken": TOKEN},
        errors.Conflict("An app instance user with this id already exists."),
    ),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_exchange_is_what_it_was(name: str):
    service, operation, params, outcome = EXCHANGES[name]
    request = sent(service, operation, params)
    route, labels, query = router.match(request.method, request.raw_path, request.raw_query)
    assert route.operation == operation
    codec.decode(route, labels, query, request.headers, request.body)
    response = codec.refuse(outcome) if isinstance(outcome, errors.ApiError) else codec.respond(route, outcome)

    written, path = exchange(request, response), GOLDEN / f"{name}.http"
    if os.environ.get("CAMPANA_GOLDEN"):
        path.write_bytes(written)
    assert path.read_bytes() == written


def test_no_exchange_is_forgotten():
    assert {path.stem for path in GOLDEN.glob("*.http")} == set(EXCHANGES)


def exchange(request: HttpRequest, response: HttpResponse) -> bytes:
    target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    lines = [f"{request.method} {target}".encode()]
    lines += [f"{name}: {value}".encode() for name, value in sorted(request.headers.items())]
    lines += [b"", request.body, b"", b"HTTP %d" % response.status]
    lines += [name + b": " + value for name, value in response.headers]
    lines += [b"", response.body, b""]
    return b"\n".join(lines)
