"""Live sessions: the WebSocket, its signed URL, its frames."""

import json
import os
import ssl
from dataclasses import dataclass
from itertools import count
from typing import Any, Self
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from tests.conformance.target import Target

PATIENCE_S = 30
"""How long a frame may take; only a test that fails waits as long."""

_numbers = count(1)


@dataclass(frozen=True)
class Event:
    """A frame, with its payload read."""

    type: str
    message_type: str
    payload: dict[str, Any]
    headers: dict[str, str]

    def concerns(self, channel_arn: str) -> bool:
        """Whether it is about this channel."""
        return channel_arn in (self.payload.get("ChannelArn"), self.payload.get("Channel", {}).get("ChannelArn"))


def signed_url(target: Target, base: str, user_arn: str, **parameters: str) -> str:
    """The URL that opens a live session of this user."""
    given = {"sessionId": f"conformance-{os.getpid()}-{next(_numbers)}", "userArn": user_arn, **parameters}
    url = f"{base.replace('ws', 'http', 1)}/connect?{urlencode(given)}"
    request = AWSRequest("GET", url)
    credentials = target.session.get_credentials().get_frozen_credentials()
    SigV4QueryAuth(credentials, "chime", target.session.region_name, expires=10).add_auth(request)
    return "ws" + str(request.url).removeprefix("http")


class Session:
    """A live session that has been established. Frames are read by whoever asks for them."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        first = self.next()
        assert (first.type, first.message_type, first.payload) == ("SESSION_ESTABLISHED", "SYSTEM", {}), first

    @classmethod
    def of(cls, target: Target, base: str, user_arn: str, **parameters: str) -> Self:
        trust = None
        if base.startswith("wss"):
            trust = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        url = signed_url(target, base, user_arn, **parameters)
        opening = websocket(url, ssl=trust, open_timeout=PATIENCE_S, compression=None, proxy=None)
        return cls(opening.__enter__())

    def next(self) -> Event:
        """The next frame."""
        frame = json.loads(self.socket.recv(timeout=PATIENCE_S))
        headers = frame["Headers"]
        assert set(frame) <= {"Headers", "Payload"}, frame
        assert all(isinstance(value, str) for value in headers.values()), headers
        payload = json.loads(frame["Payload"]) if "Payload" in frame else {}
        return Event(headers["x-amz-chime-event-type"], headers["x-amz-chime-message-type"], payload, headers)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
