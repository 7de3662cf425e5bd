"""The one path of every call: route, signature, policies, shape, rates, transaction, answer.

The order of refusals is the order of the steps here and nowhere else (spec/api.md §1.1).
"""

import hashlib
from collections.abc import Awaitable

import msgspec

from campana import log
from campana.api.base import Route, Shape, encode_rest
from campana.auth import roles
from campana.auth.caller import Caller
from campana.clock import Clock, Ids
from campana.errors import ApiError, Conflict, Forbidden, NotBuilt, ServiceFailure, Throttled
from campana.limits import IDEMPOTENCY_MS
from campana.operations.registry import OPERATIONS, Operation
from campana.server.authentication import Authentication
from campana.server.authorisation import Authorisation
from campana.server.throttle import Throttle
from campana.server.turns import Turns
from campana.server.watch import Seen
from campana.settings import Settings
from campana.store import idempotency, standing
from campana.store.database import Ahead, Database, Tx
from campana.tracing import Tracing
from campana.unit_of_work import Call
from campana.wire import codec, router
from campana.wire.http import HttpRequest, HttpResponse

_Arguments = tuple[Operation, Shape, Caller, str, object, "_Repeat | None"]


class Dispatcher:
    """Answers API requests."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        settings: Settings,
        authentication: Authentication,
        authorisation: Authorisation,
        throttle: Throttle,
        page_key: bytes,
        tracing: Tracing,
    ) -> None:
        self._tracing = tracing
        self._db = db
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._authentication = authentication
        self._authorisation = authorisation
        self._throttle = throttle
        self._turns = Turns()
        self._page_key = page_key

    async def handle(self, request: HttpRequest, seen: Seen) -> HttpResponse:
        """The answer, whatever happens."""
        try:
            route, labels, query = router.match(request.method, request.raw_path, request.raw_query)
            seen.operation = route.operation
            caller = await self._authentication.caller(request)
            seen.caller = caller.principal_arn
            operation = OPERATIONS.get(route.operation)
            if operation is None:
                raise NotBuilt(f"{route.operation} is not built yet (docs/reference/operations.md).")
            members = codec.gather(route, labels, query, request.headers, request.body)
            await self._authorisation.require(caller, operation, members, request.peer)
            shape = codec.typed(route, members)
            taken = await self._throttle.admit(operation, shape, caller)
            bearer: str = getattr(shape, "chime_bearer", None) or ""
            seen.bearer = bearer
            seen.resource = (getattr(shape, operation.on, None) or "") if operation.on is not None else ""
            if bearer:
                await self._turns.take(bearer)
            try:
                response = await self._perform(operation, shape, caller, request.headers.get("host", ""))
            except Forbidden:
                self._throttle.give_back(taken)
                raise
            finally:
                if bearer:
                    self._turns.give_back(bearer)
            return codec.respond(route, response)
        except ApiError as error:
            say = log.debug if isinstance(error, Throttled) else log.info  # they come by the thousand
            seen.error = error.name
            say("call.refused", operation=seen.operation, status=error.status, error=error.name)
            return codec.refuse(error)
        except Exception:
            seen.error = ServiceFailure.name
            log.exception("call.failed", operation=seen.operation)
            return codec.refuse(ServiceFailure(f"The service failed to answer. The request id is {seen.request_id}."))

    async def _perform(self, operation: Operation, request: Shape, caller: Caller, authority: str) -> Shape | None:
        prepared = None
        if operation.prepare is not None:
            prepared = await self._db.peek(operation.prepare, request, self._clock.now())
        repeat = _Repeat.of(operation.route, request, caller)
        arguments = (operation, request, caller, authority, prepared, repeat)
        if not self._tracing.on:
            return await self._transact(operation, request, arguments)
        # From waiting for its turn to the commit on disk.
        with self._tracing.span("read transaction" if operation.reads else "transaction"):
            return await self._transact(operation, request, arguments)

    def _transact(self, operation: Operation, request: Shape, arguments: _Arguments) -> Awaitable[Shape | None]:
        if operation.reads:
            return self._db.read(self._in_transaction, *arguments)
        if operation.on is None:
            return self._db.write(self._in_transaction, *arguments)
        resource: str = getattr(request, operation.on)
        if not operation.together:
            return self._db.write_in_turn(resource, self._in_transaction, *arguments)
        bearer_arn: str | None = getattr(request, "chime_bearer", None)
        ahead = None
        if bearer_arn is not None:
            repeat = arguments[-1]
            wanted = standing.Wanted(bearer_arn, resource, "" if repeat is None else repeat.key)
            ahead = Ahead(standing.look_ahead, wanted)
        return self._db.write_together(resource, ahead, self._in_transaction, *arguments)

    def _in_transaction(
        self,
        tx: Tx,
        operation: Operation,
        request: Shape,
        caller: Caller,
        authority: str,
        prepared: object,
        repeat: "_Repeat | None",
    ) -> Shape | None:
        if not operation.reads:
            if operation.on is not None:
                tx.lock(getattr(request, operation.on))  # which a repetition is about, too
            elif repeat is not None:
                tx.lock(repeat.key)
        now = tx.now = max(self._clock.now(), tx.now)  # under the lock: times follow the order of writes
        call = Call(
            tx,
            now=now,
            ids=self._ids,
            settings=self._settings,
            request=request,
            operation=operation.name,
            caller=caller,
            page_key=self._page_key,
            authority=authority,
            prepared=prepared,
        )
        roles.require(call, operation.allow)
        call.check_sub_channel()
        if repeat is not None and (earlier := repeat.answered(tx, now)) is not None:
            return earlier
        response = operation.run(call, request)
        call.finish()
        if repeat is not None and response is not None:
            repeat.keep(tx, response, now)
        return response


class _Repeat(msgspec.Struct, frozen=True):
    """A request with a client request token: its repetition gets the first answer (spec/api.md §1.4)."""

    route: Route
    key: str
    body_sha256: str

    @classmethod
    def of(cls, route: Route, request: Shape, caller: Caller) -> "_Repeat | None":
        if route.idempotency != "client_request_token":
            return None
        token: str | None = getattr(request, "client_request_token", None)
        if token is None:
            return None
        scopes = ("app_instance_arn", "app_instance_user_arn", "chime_bearer")
        within = [getattr(request, name, None) or "" for name in scopes]
        scope = "\0".join((route.operation, caller.account, *within, token))
        return cls(route, _sha256(scope.encode()), _sha256(encode_rest(request)))

    def answered(self, tx: Tx, now: int) -> Shape | None:
        """The first answer; Conflict if the token came with another body. None: it is new."""
        kept = idempotency.find(tx, self.key, now - IDEMPOTENCY_MS)
        if kept is None:
            return None
        if kept.body_sha256 != self.body_sha256:
            raise _used_for_another()
        assert self.route.response is not None
        return msgspec.json.decode(kept.response, type=self.route.response)

    def keep(self, tx: Tx, response: Shape, now: int) -> None:
        """Raises Conflict if the token was used for something else meanwhile, on another node or resource."""
        kept = idempotency.Kept(self.key, self.body_sha256, encode_rest(response).decode(), now)
        if not idempotency.keep(tx, kept, now - IDEMPOTENCY_MS):
            raise _used_for_another()


def _used_for_another() -> Conflict:
    return Conflict("The ClientRequestToken was used for another request.")


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
