"""A live session, opened as chat clients do: a presigned URL, then frames."""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from campana.cli.demo.child import PATIENCE_S, Trouble


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a session heard it. `payload` is empty for those without one."""

    event: str
    payload: dict[str, Any]

    @property
    def message_id(self) -> str | None:
        return self.payload.get("MessageId")

    @property
    def content(self) -> str:
        return str(self.payload.get("Content", ""))

    @property
    def status(self) -> str | None:
        status = self.payload.get("Status")
        return status.get("Value") if isinstance(status, dict) else None


class Session:
    """Of the user `name` with `user_arn`; raises Trouble if it is not established."""

    def __init__(self, url: str, name: str, user_arn: str, session_id: str, key: Credentials, region: str) -> None:
        self.name = name
        request = AWSRequest("GET", f"{url}/connect?{urlencode({'sessionId': session_id, 'userArn': user_arn})}")
        SigV4QueryAuth(key, "chime", region, expires=10).add_auth(request)
        self._socket = connect(request.url.replace("http", "ws", 1), proxy=None, open_timeout=PATIENCE_S)
        if (first := self.next("SESSION_ESTABLISHED")).event != "SESSION_ESTABLISHED":
            raise Trouble(f"{name} to hear SESSION_ESTABLISHED", first.event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def next(self, expected: str) -> Heard:
        """The next event, be it the expected one or not; raises Trouble if there is none."""
        try:
            return _heard(self._socket.recv(timeout=PATIENCE_S))
        except TimeoutError:
            came = f"nothing in {PATIENCE_S:.0f} s"
        except ConnectionClosed as closed:
            came = f"the end of the session ({closed})"
        raise Trouble(f"{self.name} to hear {expected}", came)

    def until(self, message_id: str) -> list[Heard]:
        """What comes before the event of this message; raises Trouble if that does not come."""
        heard = []
        while (event := self.next("a CONTROL message")).message_id != message_id:
            heard.append(event)
        return heard

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Heard:
        """The next event, however late, until the session ends."""
        try:
            return _heard(self._socket.recv())
        except ConnectionClosed:
            raise StopIteration from None


def _heard(frame: str | bytes) -> Heard:
    parts = json.loads(frame)
    return Heard(parts["Headers"]["x-amz-chime-event-type"], json.loads(parts.get("Payload", "{}")))
