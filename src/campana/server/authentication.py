"""The first gate: who signed this request (spec/wire.md §6 and §7)."""

from dataclasses import dataclass

from campana.auth import sigv4
from campana.auth.caller import Caller, KeyRing
from campana.auth.sigv4 import BadSignature, Reason
from campana.clock import Clock
from campana.errors import InvalidSignature, MissingAuthenticationToken
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

    async def caller(
        self, request: HttpRequest, *, service: str = "chime", expires_max_s: int = sigv4.EXPIRES_MAX_S
    ) -> Caller:
        """Who calls. Raises MissingAuthenticationToken, UnrecognizedClient, ExpiredToken or InvalidSignature."""
        try:
            signed = sigv4.claims(request.method, request.raw_path, request.raw_query, request.headers)
        except BadSignature as error:
            if self.settings.auth.mode is AuthMode.NONE:
                return self.keys.believed(ANYBODY)
            if error.reason is Reason.MISSING:
                raise MissingAuthenticationToken(error.message) from None
            raise InvalidSignature(error.message) from None
        if self.settings.auth.mode is AuthMode.NONE:
            return self.keys.believed(signed.access_key_id)
        now = self.clock.now()
        known = await self.keys.find(signed.access_key_id, signed.session_token, now)
        try:
            sigv4.verify(
                signed,
                secret=known.secret,
                method=request.method,
                raw_path=request.raw_path,
                raw_query=request.raw_query,
                headers=request.headers,
                body=request.body,
                now=now,
                skew_ms=self.settings.auth.clock_skew_s * 1000,
                service=(service,),
                region=self.settings.account.region if self.settings.auth.strict_region else None,
                expires_max_s=expires_max_s,
                unsigned_payload_allowed=self.over_tls,
            )
        except BadSignature as error:
            raise InvalidSignature(error.message) from None
        return known.caller
