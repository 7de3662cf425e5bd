"""Requests signed ahead with SigV4 (spec/wire.md §7): whole HTTP/1.1 requests as bytes, good for five minutes.

Written apart from the server's verification, and fast: signing is done before the clock runs, but for thousands.
"""

import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

REGION = "us-east-1"
ALGORITHM = "AWS4-HMAC-SHA256"
SIGNED_HEADERS = "content-type;host;x-amz-chime-bearer;x-amz-date"
SIGNED_HEADERS_WITHOUT_BEARER = "content-type;host;x-amz-date"


@dataclass(frozen=True, slots=True)
class Key:
    """An access key and its secret."""

    access_key_id: str
    secret: str = field(repr=False)

    @classmethod
    def made(cls) -> "Key":
        """A new pair, for one run."""
        return cls("BENCH" + os.urandom(8).hex().upper(), os.urandom(20).hex())


class Signer:
    """Signs what goes to one server (`authority` is host:port)."""

    def __init__(self, key: Key, authority: str) -> None:
        self._key = key
        self._authority = authority
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._scope = f"{self._stamp[:8]}/{REGION}/chime/aws4_request"
        signing_key = f"AWS4{key.secret}".encode()
        for text in (*self._scope.split("/")[:3], "aws4_request"):
            signing_key = hmac.digest(signing_key, text.encode(), "sha256")
        self._signing_key = signing_key

    def request(
        self, method: str, path: str, body: bytes = b"", *, query: str = "", bearer: str | None = None
    ) -> bytes:
        """A whole request, with the headers that boto3 sends. `path` is encoded once, `query` as in the URL."""
        values = f"content-type:application/json\nhost:{self._authority}\n"
        names = SIGNED_HEADERS_WITHOUT_BEARER
        bearer_line = ""
        if bearer is not None:
            values += f"x-amz-chime-bearer:{bearer}\n"
            bearer_line = f"x-amz-chime-bearer: {bearer}\r\n"
            names = SIGNED_HEADERS
        values += f"x-amz-date:{self._stamp}\n"
        payload = hashlib.sha256(body).hexdigest()
        signature = self._signature(f"{method}\n{quote(path)}\n{query}\n{values}\n{names}\n{payload}")
        target = f"{path}?{query}" if query else path
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {self._authority}\r\nAccept-Encoding: identity\r\n"
            f"Content-Type: application/json\r\n{bearer_line}User-Agent: Boto3/1.44.5 md/Botocore#1.44.5\r\n"
            f"X-Amz-Date: {self._stamp}\r\n"
            f"Authorization: {ALGORITHM} Credential={self._key.access_key_id}/{self._scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
            f"amz-sdk-invocation-id: 7f1f64b2-4a2a-4be7-9d2c-0a52f4bd0f6e\r\namz-sdk-request: attempt=1\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def connect(self, user_arn: str, session_id: str) -> bytes:
        """The handshake of a live session, its URL presigned."""
        query = urlencode(
            sorted(
                {
                    "X-Amz-Algorithm": ALGORITHM,
                    "X-Amz-Credential": f"{self._key.access_key_id}/{self._scope}",
                    "X-Amz-Date": self._stamp,
                    "X-Amz-Expires": "300",
                    "X-Amz-SignedHeaders": "host",
                    "sessionId": session_id,
                    "userArn": user_arn,
                }.items()
            ),
            quote_via=quote,
            safe="",
        )
        empty = hashlib.sha256(b"").hexdigest()
        signature = self._signature(f"GET\n/connect\n{query}\nhost:{self._authority}\n\nhost\n{empty}")
        return (
            f"GET /connect?{query}&X-Amz-Signature={signature} HTTP/1.1\r\nHost: {self._authority}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    def _signature(self, canonical_request: str) -> str:
        digest = hashlib.sha256(canonical_request.encode()).hexdigest()
        text = f"{ALGORITHM}\n{self._stamp}\n{self._scope}\n{digest}"
        return hmac.digest(self._signing_key, text.encode(), "sha256").hex()


def label(arn: str) -> str:
    """An ARN as one segment of a path."""
    return quote(arn, safe="")
