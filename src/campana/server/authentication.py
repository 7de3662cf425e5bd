"""The first gate: who signed this request (spec/wire.md §6 and §7)."""

from dataclasses import dataclass

from campana.auth import sigv4
from campana.auth.caller import Caller, KeyRing
from campana.auth.sigv4 import BadSignature, Reason
from campana.clock import Clock
from campana.errors import InvalidSignature, MissingAuthenticationToken, UnrecognizedClient
from campana.settings import AuthMode, Settings
from campana.wire.http import HttpRequest

ANYBODY = "anonymous"


@dataclass(frozen=True, slots=True)
class Authentication:
    """Verifies signatures with the keys of `keys`; with `auth.mode` "none" it believes every caller."""

    settings: Settings
    keys: KeyRing
    clock: Clock
    over_tls: bool

    def caller(self, request: HttpRequest, *, expires_max_s: int = sigv4.EXPIRES_MAX_S) -> Caller:
        """Who calls. Raises MissingAuthenticationToken, UnrecognizedClient or InvalidSignature."""
        try:
            signed = sigv4.claims(request.method, request.raw_path, request.raw_query, request.headers)
        except BadSignature as error:
            if self.settings.auth.mode is AuthMode.NONE:
                return self.keys.caller(ANYBODY)
            if error.reason is Reason.MISSING:
                raise MissingAuthenticationToken(error.message) from None
            raise InvalidSignature(error.message) from None
        if self.settings.auth.mode is AuthMode.NONE:
            return self.keys.caller(signed.access_key_id)
        secret = self.keys.secret_of(signed.access_key_id)
        if secret is None or signed.session_token is not None:  # none of these keys is a temporary one
            raise UnrecognizedClient("The security token included in the request is invalid.")
        try:
            sigv4.verify(
                signed,
                secret=secret,
                method=request.method,
                raw_path=request.raw_path,
                raw_query=request.raw_query,
                headers=request.headers,
                body=request.body,
                now=self.clock.now(),
                skew_ms=self.settings.auth.clock_skew_s * 1000,
                region=self.settings.account.region if self.settings.auth.strict_region else None,
                expires_max_s=expires_max_s,
                unsigned_payload_allowed=self.over_tls,
            )
        except BadSignature as error:
            raise InvalidSignature(error.message) from None
        return self.keys.caller(signed.access_key_id)
