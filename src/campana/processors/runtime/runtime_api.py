"""The server side of the AWS Lambda Runtime API (2018-06-01), for the one client of one worker.

Clients send no name, so every worker has a listener of its own, on the loopback interface. `next` hangs until
there is an event; anything but 200 there ends a client (spec/clients.md §7).
"""

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus

from campana.processors.runtime.connections import Connection, Request
from campana.processors.runtime.functions import FailureKind, FunctionFailed

PREFIX = "/2018-06-01/runtime"
CONNECTIONS_MAX = 16
MESSAGE_CHARACTERS_MAX = 4_096
STACK_CHARACTERS_MAX = 65_536


@dataclass(slots=True)
class Invocation:
    """One event for the function. `headers` go along with it; `outcome` is the payload returned, or the failure."""

    request_id: str
    event: bytes
    headers: dict[str, str]
    outcome: "asyncio.Future[bytes | FunctionFailed]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def end(self, outcome: bytes | FunctionFailed) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class RuntimeApi:
    """The conversation with one client: it asks for an event, answers it, and asks again."""

    def __init__(self) -> None:
        self.address = ""
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._asking: Connection | None = None
        self._current: Invocation | None = None
        self._failure: FunctionFailed | None = None
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Open the listener; afterwards `address` is its host:port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._opened, self._lost), host="127.0.0.1", port=0
        )
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def asked(self) -> None:
        """Wait until the client asks for an event. Raises FunctionFailed if it never will."""
        while self._asking is None or self._failure is not None:
            if self._failure is not None:
                raise self._failure.again()
            self._changed.clear()
            await self._changed.wait()

    def give(self, invocation: Invocation) -> None:
        """Hand an event to the client that asked."""
        assert self._asking is not None, "an event for a client that has not asked"
        self._current, connection, self._asking = invocation, self._asking, None
        headers = {"Lambda-Runtime-Aws-Request-Id": invocation.request_id} | invocation.headers
        connection.answer(HTTPStatus.OK, invocation.event, headers)

    @property
    def failed(self) -> bool:
        """Whether the client will never ask again."""
        return self._failure is not None

    def end(self, failure: FunctionFailed) -> None:
        """The worker ended, or is about to be ended: whoever waits for it hears why. The first reason counts."""
        if self._failure is None:
            self._failure = failure
        if self._current is not None:
            self._current.end(self._failure)
        self._changed.set()

    def close(self) -> None:
        """After the worker's end only: aws-lambda-ric, finding nobody there, spins instead of ending (tried: 3.3.0)."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if len(self._connections) > CONNECTIONS_MAX:
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection is self._asking:
            self._asking = None

    def _serve(self, connection: Connection, request: Request) -> None:
        if not self._is_from_a_client(request):
            return _refuse(connection, HTTPStatus.FORBIDDEN, "Forbidden", "This address is for runtime clients.")
        match request.method, request.target.removeprefix(PREFIX).split("/"):
            case "GET", ["", "invocation", "next"]:
                return self._next(connection)
            case "POST", ["", "invocation", request_id, "response"]:
                return self._response(connection, request, request_id)
            case "POST", ["", "invocation", request_id, "error"]:
                return self._error(connection, request, request_id)
            case "POST", ["", "init", "error"]:
                self.end(_failure(FailureKind.INIT, request))
                return connection.answer(HTTPStatus.ACCEPTED)
        return _refuse(connection, HTTPStatus.NOT_FOUND, "NotFound", "There is no such path.")

    def _is_from_a_client(self, request: Request) -> bool:
        # A page in a browser on this machine can reach the port, too; it must neither take events nor answer them.
        headers = request.headers
        return headers.get("host") == self.address and not headers.keys() & {"origin", "sec-fetch-site"}

    def _next(self, connection: Connection) -> None:
        if self._current is not None and not self._current.outcome.done():
            return _refuse(connection, HTTPStatus.FORBIDDEN, "InvalidStateTransition", "An event is under way.")
        self._current = None
        if self._asking is not None:
            self._asking.abort()
        self._asking = connection
        self._changed.set()
        return None

    def _response(self, connection: Connection, request: Request, request_id: str) -> None:
        if (current := self._named(request_id)) is None:
            return _refuse(connection, HTTPStatus.BAD_REQUEST, "InvalidRequestID", "No such invocation is under way.")
        if request.too_large:
            current.end(FunctionFailed(FailureKind.ERROR, "The returned value is larger than 6 MB."))
            return _refuse(connection, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", "Too large.")
        current.end(bytes(request.body))
        return connection.answer(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _error(self, connection: Connection, request: Request, request_id: str) -> None:
        if (current := self._named(request_id)) is None:
            return _refuse(connection, HTTPStatus.BAD_REQUEST, "InvalidRequestID", "No such invocation is under way.")
        current.end(_failure(FailureKind.ERROR, request))
        return connection.answer(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _named(self, request_id: str) -> Invocation | None:
        current = self._current
        if current is None or current.request_id != request_id or current.outcome.done():
            return None
        return current


def _refuse(connection: Connection, status: HTTPStatus, error_type: str, message: str) -> None:
    connection.answer(status, json.dumps({"errorType": error_type, "errorMessage": message}).encode())


def _failure(kind: FailureKind, request: Request) -> FunctionFailed:
    """What a client tells of an error: errorType, errorMessage, and stackTrace (Python) or trace (Node.js)."""
    try:
        told = json.loads(bytes(request.body))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {"errorMessage": bytes(request.body).decode("utf-8", "backslashreplace")}
    error_type = str(told.get("errorType") or request.headers.get("lambda-runtime-function-error-type") or "Error")
    message = str(told.get("errorMessage") or "")
    stack = told.get("stackTrace") or told.get("trace") or []
    lines = [str(line).rstrip("\n") for line in stack] if isinstance(stack, list) else [str(stack)]
    return FunctionFailed(
        kind,
        f"{error_type}: {message}"[:MESSAGE_CHARACTERS_MAX] if message else error_type[:MESSAGE_CHARACTERS_MAX],
        "\n".join(lines)[-STACK_CHARACTERS_MAX:],
        error_type[:MESSAGE_CHARACTERS_MAX],
    )
