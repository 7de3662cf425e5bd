"""Who may open a live session: the judgement after an accepted `/connect` (spec/realtime.md §2 and §3)."""

from collections.abc import Mapping
from dataclasses import dataclass

from campana import arn, limits
from campana.auth import sigv4
from campana.delivery.session import FORBIDDEN, NOT_AUTHORISED, TOO_MANY, Admitted, Refusal
from campana.errors import AccessDenied, ApiError
from campana.operations.channel_details import Order
from campana.operations.quotas import in_force
from campana.server.authentication import Authentication
from campana.server.authorisation import Authorisation
from campana.server.throttle import Throttle
from campana.settings import AuthMode, Settings
from campana.store import identities
from campana.store.database import Database, Tx
from campana.wire import router
from campana.wire.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides on requests for `/connect`."""

    db: Database
    authentication: Authentication
    authorisation: Authorisation
    throttle: Throttle

    async def __call__(self, request: HttpRequest) -> Admitted | Refusal:
        """Admitted with user and session id, or a refusal with close code 4401, 4003 or 4005."""
        try:
            parameters = dict(router.query_pairs(request.raw_query))
            if "X-Amz-Signature" not in parameters and self.authentication.settings.auth.mode is not AuthMode.NONE:
                return Refusal(NOT_AUTHORISED, "The URL is not signed")
            caller = await self.authentication.caller(request, expires_max_s=sigv4.WEBSOCKET_EXPIRES_MAX_S)
        except ApiError as error:
            return Refusal(NOT_AUTHORISED, error.name)
        user_arn = parameters.get("userArn", "")
        session_id = parameters.get("sessionId", "")
        if not 1 <= len(session_id) <= limits.SESSION_ID_CHARACTERS:
            return Refusal(FORBIDDEN, "sessionId must have 1 to 128 characters")
        try:
            named = arn.parse(user_arn)
        except arn.NotAnArn:
            return Refusal(FORBIDDEN, "userArn is not the ARN of a user")
        try:
            await self.authorisation.require_connect(caller, user_arn, request.peer)
        except AccessDenied:
            return Refusal(FORBIDDEN, "The policies of the credentials do not allow chime:Connect as this user")
        if not await self.throttle.admits_session(user_arn):
            return Refusal(TOO_MANY, "The user opens connections too fast")
        connections = await self.db.peek(_connections_of, self.authentication.settings, user_arn)
        if named.kind is not arn.Kind.USER or connections is None:
            return Refusal(FORBIDDEN, "There is no such user")
        return Admitted(
            user_arn, session_id, caller.expires_at, caller.grant, _prefetch(parameters), connections_max=connections
        )


def _connections_of(tx: Tx, settings: Settings, user_arn: str) -> int | None:
    """How many sessions the user may have; None: there is no such user."""
    user = identities.find(tx, user_arn)
    return None if user is None else in_force(tx, settings, user.app_instance_arn, "connections")


def _prefetch(parameters: Mapping[str, str]) -> Order | None:
    """What an unknown value asks for is not known: like an unknown parameter it changes nothing."""
    if parameters.get("prefetch-on") != "connect":
        return None
    asked = parameters.get("prefetch-sort-by")
    return Order.LAST_MESSAGE if asked == Order.LAST_MESSAGE else Order.UNREAD
