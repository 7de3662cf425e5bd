"""Requests that no SDK would send, signed as an SDK signs them."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.harness import KEY, PATIENCE_S, SECRET


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The exception's name, after a look at what every refusal has to have (spec/wire.md §6 and §9)."""
        assert set(self.json) == {"Code", "Message"}, self.body
        assert all(self.json.values()), self.body
        headers = self.headers
        assert headers["content-type"] == "application/json"
        assert len(headers["x-amzn-requestid"]) == 36
        assert headers["access-control-allow-origin"] == "*"
        assert "x-amzn-errortype" in headers["access-control-expose-headers"]
        return headers["x-amzn-errortype"]


def signed(
    url: str,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    key: str = KEY,
    secret: str = SECRET,
    over: http.client.HTTPConnection | None = None,
) -> Answer:
    """The answer to a request with a good signature; the target is sent as it is."""
    return send(url, method, target, body, signature(url, method, target, body, headers, key=key, secret=secret), over)


def signature(
    url: str,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    key: str = KEY,
    secret: str = SECRET,
    service: str = "chime",
) -> dict[str, str]:
    """The headers of a signed request."""
    given = {"content-type": "application/json"} if body else {}
    request = AWSRequest(method, url + target, data=body, headers=given | (headers or {}))
    SigV4Auth(Credentials(key, secret), service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def send(
    url: str,
    method: str,
    target: str,
    body: bytes,
    headers: dict[str, str],
    over: http.client.HTTPConnection | None = None,
) -> Answer:
    """The answer to a request as given."""
    connection = over or http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    connection.request(method, target, body or None, headers)
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    if over is None:
        connection.close()
    return answer
