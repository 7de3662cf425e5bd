"""One worker: a process that runs a runtime client, the API it talks to, and its output.

A worker is used for one invocation after the other and ended by SIGKILL to its process group, always before its
listener closes. It also ends with the server, however that ends (launcher.py); processes it has started itself
end with it only where the server is there to see to it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from campana import tracing
from campana.clock import Clock, Ids
from campana.processors.runtime import environment
from campana.processors.runtime.clients import Client
from campana.processors.runtime.functions import (
    PYTHON_SUFFIXES,
    FailureKind,
    FunctionFailed,
    FunctionLine,
    FunctionSpec,
    Returned,
)
from campana.processors.runtime.output import Output
from campana.processors.runtime.runtime_api import Invocation, RuntimeApi
from campana.processors.runtime.sources import Fingerprint

INIT_TIMEOUT_S = 30.0
LAUNCHER = str(Path(__file__).with_name("launcher.py"))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of a runtime share. `environment` are the variables their functions get."""

    environment: Mapping[str, str]
    log: Callable[[FunctionLine], None]
    clock: Clock
    ids: Ids
    reload: bool


class Worker:
    """A process of one function. `sources` is the fingerprint of the files it was started with."""

    def __init__(self, spec: FunctionSpec, client: Client, given: Surroundings, sources: Fingerprint | None) -> None:
        self.sources = sources
        self._spec = spec
        self._client = client
        self._given = given
        self._api = RuntimeApi()
        self._output = Output(lambda request_id, text: given.log(FunctionLine(spec.name, text, request_id)))
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._killed = False

    @property
    def usable(self) -> bool:
        return not self._killed and not self._api.failed

    async def start(self) -> None:
        """Start the process and wait until it asks for its first event. Raises FunctionFailed(INIT)."""
        self._running = asyncio.create_task(self._run())
        try:
            await self._asked()
        except FunctionFailed as failure:
            if failure.kind is FailureKind.CRASH:  # it ended without a word to us; what it printed says more
                failure.kind = FailureKind.INIT
            raise self._explained(failure) from None

    async def asks_again(self) -> bool:
        """Whether the process, which needs a moment after its last answer, asks for another event."""
        with suppress(FunctionFailed):
            await self._asked()
        return self.usable

    async def invoke(self, event: bytes) -> Returned:
        """Have the function handle one event, which its process asks for by now. Raises FunctionFailed.

        If cancelled, the process is ended.
        """
        begun = self._given.clock.now()
        invocation = self._invocation(event, begun)
        self._output.begin(invocation.request_id)
        self._api.give(invocation)
        try:
            async with asyncio.timeout(self._spec.timeout_s):
                outcome = await invocation.outcome
        except TimeoutError:
            outcome = None
        finally:
            self._output.begin(None)
            if invocation.outcome.cancelled():  # by the clock or by the caller: either way it still runs
                self.kill()
        if outcome is None:
            late = f"Task timed out after {self._spec.timeout_s:.2f} seconds."
            raise FunctionFailed(FailureKind.TIMEOUT, late, self._output.tail)
        if isinstance(outcome, FunctionFailed):
            raise self._explained(outcome)
        return Returned(outcome, invocation.request_id, self._given.clock.now() - begun)

    def kill(self, why: FunctionFailed | None = None) -> None:
        """End the process and all of its group, now."""
        self._killed = True
        self._api.end(why or FunctionFailed(FailureKind.CRASH, "The worker was ended."))
        self._kill_group()

    async def closed(self) -> None:
        """Wait until nothing is left of it."""
        if self._running is not None:
            await asyncio.wait([self._running])

    def when_closed(self, act: Callable[[], object]) -> None:
        """Have something done once nothing is left of it."""
        assert self._running is not None, "never started"
        self._running.add_done_callback(lambda _: act())

    async def _run(self) -> None:
        try:
            await self._api.listen()
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._output.write_fd,
                stderr=self._output.write_fd,
                cwd=self._spec.folder,
                env=environment.of_worker(
                    self._spec, self._api.address, self._given.environment, os.environ, reload=self._given.reload
                ),
                start_new_session=True,
            )
            self._output.written()
            if self._killed:
                self._kill_group()
            status = await self._process.wait()
            self._output.drain()
            self._api.end(self._ended(status))
        except (OSError, ValueError) as problem:  # the system refuses, or a variable's value holds a NUL
            self._api.end(FunctionFailed(FailureKind.INIT, f"The function's process could not be started: {problem}"))
        finally:
            self._kill_group()  # it, if this task is cancelled, and what it may have left
            self._api.close()
            self._output.close()

    def _command(self) -> tuple[str, ...]:
        # V8 reserves and maps more than it uses: Node.js gets its limit as an option instead (environment.py).
        data_mb = self._spec.memory_mb if self._spec.path.suffix in PYTHON_SUFFIXES else 0
        return (sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), str(data_mb), *self._client.command)

    def _invocation(self, event: bytes, now: int) -> Invocation:
        ids, spec = self._given.ids, self._spec
        region = self._given.environment.get("AWS_REGION", "us-east-1")
        return Invocation(ids.uuid(), event, {
            "Lambda-Runtime-Deadline-Ms": str(now + int(spec.timeout_s * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn":
                spec.arn or f"arn:aws:lambda:{region}:000000000000:function:{spec.name}",
            "Lambda-Runtime-Trace-Id": tracing.for_aws(tracing.current().traceparent)
                or f"Root=1-{now // 1000:08x}-{ids.token(24)};Parent={ids.token(16)};Sampled=0",
        })  # fmt: skip

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that has ended
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _asked(self) -> None:
        try:
            async with asyncio.timeout(INIT_TIMEOUT_S):
                await self._api.asked()
        except TimeoutError:
            late = f"The function's process did not ask for an event within {INIT_TIMEOUT_S:.0f} s."
            self.kill(FunctionFailed(FailureKind.INIT, late, self._output.tail))
            await self._api.asked()  # raises what was just said

    def _ended(self, status: int) -> FunctionFailed:
        """The process ended by itself."""
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if status == -signal.SIGKILL:
            how += " (by the system, if it ran out of memory)"
        return FunctionFailed(FailureKind.CRASH, f"The function's process {how}.", self._output.tail)

    def _explained(self, failure: FunctionFailed) -> FunctionFailed:
        out_of_memory = failure.error_type == "MemoryError" or "heap out of memory" in failure.stack
        if not out_of_memory or not self._spec.memory_mb:
            return failure
        message = f"{failure.message} (out of memory: the function's limit is {self._spec.memory_mb} MB)"
        return FunctionFailed(failure.kind, message, failure.stack, failure.error_type)
