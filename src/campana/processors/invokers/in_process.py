"""A Python function called in the server's own process with the event; its return value is the answer."""

import asyncio
import importlib
import inspect
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import msgspec

from campana.flows.execution import Invocation
from campana.processors.invokers import Answered, Failed, Outcome
from campana.settings import SetupError


class InProcessInvoker:
    """Trusted code. An `async def` runs on the event loop, any other function on one of `concurrency` threads."""

    def __init__(self, module: str, function: str, concurrency: int) -> None:
        """Imports the function; raises SetupError if there is none."""
        try:
            found = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise SetupError(f"python:{module}:{function} can't be imported: {error}") from error
        if not callable(found):
            raise SetupError(f"python:{module}:{function} is not a function")
        self._function: Callable[[Any], Any] = found
        self._awaits = inspect.iscoroutinefunction(found)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=f"campana-{function}")

    async def invoke(self, invocation: Invocation) -> Outcome:
        event = msgspec.json.decode(invocation.event)
        try:
            if self._awaits:
                return Answered(await self._function(event))
            loop = asyncio.get_running_loop()
            # In the caller's context: instrumented code finds the span of the invocation.
            run = copy_context().run
            return Answered(await loop.run_in_executor(self._threads, run, self._function, event))
        except Exception as error:  # somebody else's code
            return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
