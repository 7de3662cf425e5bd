"""The front of the Security Token Service: AWS's Query protocol on the path `/`, form in, XML out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from campana import log
from campana.auth import policy, web_identity
from campana.auth.policy import Context
from campana.auth.sts import Answer, Parameters, Sts, StsError, role_arn_of
from campana.auth.web_identity import BadToken, Expired, Provider
from campana.clock import Clock
from campana.errors import ApiError
from campana.server.authentication import Authentication
from campana.server.jwks import Jwks, Unreachable
from campana.server.watch import STS, Seen
from campana.wire.http import HttpRequest, HttpResponse

VERSION: Final = "2011-06-15"
NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
FIELDS_MAX: Final = 500
FORM: Final = "application/x-www-form-urlencoded"

# What this protocol calls the refusals of the first gate.
_CODES: Final = {
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "ExpiredTokenException": "ExpiredToken",
    "ServiceUnavailableException": "ServiceUnavailable",
}


def is_for_sts(request: HttpRequest) -> bool:
    """Whether the request is in the Query protocol: a form on the path `/`, or `Action` in its query."""
    if request.raw_path != "/":
        return False
    if request.method == "POST":
        return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    return request.method == "GET" and "Action=" in request.raw_query


@dataclass(frozen=True, slots=True)
class StsFront:
    """Answers STS requests. `providers` by issuer."""

    sts: Sts
    authentication: Authentication
    providers: Mapping[str, tuple[Provider, Jwks]]
    clock: Clock
    over_tls: bool

    async def handle(self, request: HttpRequest, seen: Seen) -> HttpResponse:
        """The answer, whatever happens."""
        request_id = seen.request_id
        seen.service = STS
        action = ""
        try:
            parameters = _parameters(request)
            action = _action(parameters)
            seen.operation = action
            answer = await self._perform(action, parameters, request, seen)
            log.info("sts.answered", action=action)
            return _respond(action, answer, request_id)
        except StsError as error:
            refusal = error
        except ApiError as error:
            refusal = StsError(error.status, _CODES.get(error.name, error.code), error.message)
        except Exception:
            log.exception("sts.failed", action=action)
            refusal = StsError(500, "InternalFailure", f"The service failed to answer. The request id is {request_id}.")
        seen.error = refusal.code
        log.info("sts.refused", action=action, status=refusal.status, error=refusal.code)
        return _refuse(refusal, request_id)

    async def _perform(self, action: str, parameters: Parameters, request: HttpRequest, seen: Seen) -> Answer:
        if action == "AssumeRoleWithWebIdentity":
            return await self._with_web_identity(parameters, request)
        caller = await self.authentication.caller(request, service="sts")
        seen.caller = caller.principal_arn
        now = self.clock.now()
        match action:
            case "AssumeRole":
                role = await self.authentication.keys.role(role_arn_of(parameters))
                return self.sts.assume_role(parameters, caller, role, self._context(request), now)
            case "GetSessionToken":
                return self.sts.get_session_token(parameters, caller, now)
            case "GetCallerIdentity":
                return self.sts.get_caller_identity(caller)
        raise AssertionError(action)

    async def _with_web_identity(self, parameters: Parameters, request: HttpRequest) -> Answer:
        token = parameters.get("WebIdentityToken", "")
        role_arn = role_arn_of(parameters)
        now = self.clock.now()
        try:
            claimed = web_identity.read(token)
            if claimed.issuer not in self.providers:
                raise StsError(400, "InvalidIdentityToken", "No OpenIDConnect provider found for the token's issuer")
            provider, jwks = self.providers[claimed.issuer]
            key = await jwks.key(claimed.key_id)
            if key is None:
                raise StsError(
                    400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"
                )
            identity = web_identity.verify(token, provider, key, now)
        except Unreachable:
            raise StsError(400, "IDPCommunicationError", "The identity provider's keys could not be fetched") from None
        except Expired as error:
            raise StsError(400, "ExpiredTokenException", str(error)) from None
        except BadToken as error:
            raise StsError(400, "InvalidIdentityToken", str(error)) from None
        role = await self.authentication.keys.role(role_arn)
        return self.sts.assume_role_with_web_identity(parameters, identity, role, self._context(request), now)

    def _context(self, request: HttpRequest) -> Context:
        return policy.request_context(self.clock.now(), peer=request.peer, over_tls=self.over_tls)


def _parameters(request: HttpRequest) -> Parameters:
    try:
        text = request.raw_query if request.method == "GET" else request.body.decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:  # not UTF-8, too many
        raise StsError(400, "MalformedInput", "The request is not a form in UTF-8.") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise StsError(400, "MalformedInput", "A parameter must not be given twice.")
    return parameters


def _action(parameters: Parameters) -> str:
    action, version = parameters.get("Action", ""), parameters.get("Version", VERSION)
    if not action:
        raise StsError(400, "MissingAction", "The request has no Action.")
    if action not in ACTIONS or version != VERSION:
        raise StsError(400, "InvalidAction", "Could not find this operation for this version.")
    return action


ACTIONS: Final = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"})


# XML.


def _respond(action: str, answer: Answer, request_id: str) -> HttpResponse:
    tree = {f"{action}Result": answer, "ResponseMetadata": {"RequestId": request_id}}
    return _document(200, f"{action}Response", tree)


def _refuse(error: StsError, request_id: str) -> HttpResponse:
    fault = "Sender" if error.status < 500 else "Receiver"
    tree = {"Error": {"Type": fault, "Code": error.code, "Message": error.message}, "RequestId": request_id}
    return _document(error.status, "ErrorResponse", tree)


def _document(status: int, name: str, tree: Mapping[str, Any]) -> HttpResponse:
    text = f'<{name} xmlns="{NAMESPACE}">{_elements(tree)}</{name}>'
    return HttpResponse(status, ((b"content-type", b"text/xml"),), text.encode("utf-8", "replace"))


def _elements(tree: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(value) if isinstance(value, Mapping) else _text(str(value))}</{name}>"
        for name, value in tree.items()
    )


def _text(value: str) -> str:
    """Escaped; what XML cannot hold at all becomes U+FFFD."""
    return escape(
        "".join(character if character.isprintable() or character in "\t\n" else "\ufffd" for character in value)
    )
