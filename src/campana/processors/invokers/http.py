"""Events POSTed to a URL; any 2xx means the processor has it (spec/channel-flows.md §4)."""

import importlib
from typing import TYPE_CHECKING

from campana import tracing
from campana.flows.execution import Invocation
from campana.processors.invokers import Accepted, Outcome, Unreachable

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS_PER_HOST = 100


class HttpInvoker:
    """One URL. The whole exchange may take `timeout_ms`; redirects are not followed."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._session: aiohttp.ClientSession | None = None
        # A fifth of a second, which a server without such targets does not spend, and others spend here: at the first
        # message all sessions would stand still meanwhile.
        importlib.import_module("aiohttp")

    async def invoke(self, invocation: Invocation) -> Outcome:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit_per_host=CONNECTIONS_PER_HOST, limit=0),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={"content-type": "application/json"},
                auto_decompress=False,
            )
        traceparent = tracing.current().traceparent
        headers = {"traceparent": traceparent} if traceparent else None
        try:
            async with self._session.post(
                self._url, data=invocation.event, headers=headers, allow_redirects=False
            ) as response:
                if 200 <= response.status < 300:
                    return Accepted()
                return Unreachable(f"The processor answered {response.status}.")
        except TimeoutError:
            return Unreachable(f"The processor did not answer within {self._timeout_s:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unreachable(f"The processor could not be reached: {type(error).__name__}.")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
