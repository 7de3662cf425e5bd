"""The signing keys of identity providers: from a file or a URL, kept for a while, looked up anew for an unknown id."""

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt

from campana import log
from campana.auth import web_identity
from campana.clock import Clock
from campana.settings import HttpEndpoint

KEPT_MS: Final = 3_600_000
AGAIN_AFTER_MS: Final = 10_000  # a token with an invented key id must not make us ask the provider each time
TIMEOUT_S: Final = 5
BYTES_MAX: Final = 1_048_576


class Unreachable(Exception):
    """There are no keys: the provider does not answer, or not with keys."""


@dataclass(frozen=True, slots=True)
class _Found:
    keys: Sequence[jwt.PyJWK]
    asked_at: int


class Jwks:
    """The keys of one provider."""

    def __init__(self, source: HttpEndpoint | Path, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._found: _Found | None = None
        self._asking = asyncio.Lock()
        if isinstance(source, HttpEndpoint):  # a fifth of a second, better spent now than while sessions wait
            importlib.import_module("aiohttp")

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that id; None: the provider has none. Raises `Unreachable`."""
        async with self._asking:
            found, now = self._found, self._clock.now()
            key = None if found is None else web_identity.choose(found.keys, key_id)
            age = KEPT_MS if found is None else now - found.asked_at
            if age >= (AGAIN_AFTER_MS if key is None else KEPT_MS):
                found = self._found = _Found(await self._ask(found), now)
                key = web_identity.choose(found.keys, key_id)
            return key

    async def _ask(self, found: _Found | None) -> Sequence[jwt.PyJWK]:
        """The provider's keys; those it had, while it cannot be asked."""
        try:
            return jwt.PyJWKSet.from_json(await self._text()).keys
        except (Unreachable, jwt.PyJWTError, ValueError, AttributeError, TypeError, RecursionError) as error:
            log.warning("keys_of_provider.unreachable", source=str(self._source), error=type(error).__name__)
            if found is None:
                self._found = _Found((), self._clock.now())  # the next ones do not wait as long to hear the same
                raise Unreachable from None
            return found.keys

    async def _text(self) -> str:
        if isinstance(self._source, Path):
            try:
                return await asyncio.to_thread(self._source.read_text, "utf-8")
            except OSError as error:
                raise Unreachable from error
        import aiohttp

        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
                session.get(self._source.url, allow_redirects=False) as response,
            ):
                content = await response.content.read(BYTES_MAX + 1)
                while len(content) <= BYTES_MAX and (more := await response.content.read(BYTES_MAX)):
                    content += more
                if response.status != 200 or len(content) > BYTES_MAX:
                    raise Unreachable
                return content.decode()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable from error
