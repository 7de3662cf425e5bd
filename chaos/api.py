"""Calls and live sessions as SDKs make them: signed by botocore, sent with aiohttp, repeated as SDKs repeat them."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from bench.signing import REGION, Key
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

ANSWER_TIMEOUT_S = 60
"""As boto3 has it."""
PAUSE_MAX_S = 2.0
AGAIN = frozenset({429, 500, 502, 503, 504})
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP exchange. Times are of `time.monotonic`, in seconds; the status is NO_ANSWER for a broken connection."""

    at: float
    seconds: float
    status: int
    error: str = ""


Note = Callable[[Attempt], None]


class Api:
    """Signed calls to the balancer."""

    def __init__(self, port: int, key: Key, note: Note) -> None:
        """`note` hears of each attempt."""
        self._base = f"http://127.0.0.1:{port}"
        self._credentials = Credentials(key.access_key_id, key.secret)
        self._note = note
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        )

    async def close(self) -> None:
        """End its connections."""
        await self._http.close()

    async def attempt(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, *, bearer: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Status and members of the answer to one request; NO_ANSWER if there is none."""
        body = b"" if fields is None else msgspec.json.encode(fields)
        headers = {"content-type": "application/json", **({"x-amz-chime-bearer": bearer} if bearer else {})}
        url = self._base + path
        request = AWSRequest(method, url, data=body, headers=headers)
        SigV4Auth(self._credentials, "chime", REGION).add_auth(request)
        begun = time.monotonic()
        status, answer, error = NO_ANSWER, b"", ""
        try:
            async with self._http.request(
                method, URL(url, encoded=True), data=body, headers=dict(request.headers)
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            error = repr(failure)
        self._note(Attempt(begun, time.monotonic() - begun, status, error))
        try:
            return status, msgspec.json.decode(answer) if answer else {}
        except msgspec.DecodeError:  # the balancer's own words
            return status, {}

    async def call(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, *, bearer: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """`attempt`, again and again until there is an answer that is not about the service's state."""
        number = 0
        while True:
            status, answer = await self.attempt(method, path, fields, bearer=bearer)
            if status != NO_ANSWER and status not in AGAIN:
                return status, answer
            number += 1
            await asyncio.sleep(random.random() * min(PAUSE_MAX_S, 0.05 * 2**number))

    async def surely(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, *, bearer: str = ""
    ) -> dict[str, Any]:
        """The members of the answer of success; raises AssertionError for a refusal."""
        status, answer = await self.call(method, path, fields, bearer=bearer)
        assert 200 <= status < 300, f"{method} {path} was answered {status}: {answer}"
        return answer

    async def connect(self, user_arn: str, session_id: str) -> aiohttp.ClientWebSocketResponse:
        """The socket of a new live session; raises aiohttp's errors, OSError and TimeoutError."""
        query = urlencode({"sessionId": session_id, "userArn": user_arn}, quote_via=quote)
        request = AWSRequest("GET", f"{self._base}/connect?{query}")
        SigV4QueryAuth(self._credentials, "chime", REGION, expires=60).add_auth(request)
        async with asyncio.timeout(10):
            return await self._http.ws_connect(URL(request.url, encoded=True), max_msg_size=0)


def label(arn: str) -> str:
    """An ARN as one segment of a path."""
    return quote(arn, safe="")
