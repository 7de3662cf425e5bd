"""The signing keys of identity providers: from a file or a URL, kept for a while, looked up anew for an unknown id."""

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from campana import log
from campana.auth import web_identity
from campana.auth.web_identity import SigningKey
from campana.clock import Clock
from campana.settings import HttpEndpoint

KEPT_MS: Final = 3_600_000
KEPT_UNREACHABLE_MS: Final = 86_400_000  # while the provider does not answer
AGAIN_AFTER_MS: Final = 10_000  # a token with an invented key id must not make us ask the provider each time
TIMEOUT_S: Final = 5
BYTES_MAX: Final = 1_048_576


class Unreachable(Exception):
    """There are no keys: the provider does not answer, or not with keys."""


@dataclass(frozen=True, slots=True)
class _Found:
    keys: Sequence[SigningKey]
    found_at: int
    asked_at: int
    """Later, if the provider was asked again and did not answer."""


class Jwks:
    """The keys of one provider."""

    def __init__(self, source: HttpEndpoint | Path, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._found = _Found((), -KEPT_UNREACHABLE_MS, -KEPT_UNREACHABLE_MS)
        self._asking = asyncio.Lock()
        if isinstance(source, HttpEndpoint):  # a fifth of a second, better spent now than while sessions wait
            importlib.import_module("aiohttp")

    async def key(self, key_id: str | None) -> SigningKey | None:
        """The key of that id; None: the provider has none. Raises `Unreachable`."""
        if (key := self._fresh(key_id)) is not None:
            return key  # without the lock: a slow provider holds up only those whose keys it has to be asked for
        async with self._asking:
            if (key := self._fresh(key_id)) is not None:
                return key
            found, now = self._found, self._clock.now()
            if not 0 <= now - found.asked_at < AGAIN_AFTER_MS:  # also after the clock was put back
                found = self._found = await self._ask(found, now)
            if not 0 <= now - found.found_at < KEPT_UNREACHABLE_MS:
                raise Unreachable
            return web_identity.choose(found.keys, key_id)

    def _fresh(self, key_id: str | None) -> SigningKey | None:
        found = self._found
        return web_identity.choose(found.keys, key_id) if 0 <= self._clock.now() - found.found_at < KEPT_MS else None

    async def _ask(self, found: _Found, now: int) -> _Found:
        """The provider's keys; those it had, while it does not answer."""
        try:
            return _Found(web_identity.signing_keys(await self._text()), now, now)
        except (Unreachable, ValueError, RecursionError) as error:
            log.warning("keys_of_provider.unreachable", source=str(self._source), error=type(error).__name__)
            return replace(found, asked_at=now)

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
