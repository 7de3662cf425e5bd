"""The local Lambda runtime: functions in files, each with a few warm workers that run the real runtime clients.

Nothing here is durable: an invocation is done when the function has ended, and lost with the server.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

from campana.clock import Clock, Ids
from campana.processors.runtime import clients, sources
from campana.processors.runtime.clients import Client
from campana.processors.runtime.functions import (
    FailureKind,
    FunctionFailed,
    FunctionLine,
    FunctionSpec,
    NotRunnable,
    Returned,
    Source,
)
from campana.processors.runtime.process import Surroundings, Worker
from campana.processors.runtime.sources import Fingerprint

QUEUE_MAX = 1_000  # invocations of one function that wait for a worker
BACK_OFF_FIRST_MS = 500  # after the first failed start of a worker; doubled for each further one
BACK_OFF_MAX_MS = 30_000


class LocalRuntime:
    """Runs functions in worker processes that end with it. Not for several loops or threads.

    `environment` is what workers get beside Lambda's own variables: the endpoints, region, keys and CA of this
    server; nothing else of the server's environment but PATH and the like. `log` gets every line of output, and
    what the runtime has to say. With `reload` a changed file in a function's folder replaces its idle workers.
    `own_clients` prefers the small clients shipped here to AWS's.
    """

    def __init__(
        self,
        functions: Iterable[FunctionSpec],
        environment: Mapping[str, str],
        log: Callable[[FunctionLine], None],
        clock: Clock,
        ids: Ids,
        *,
        reload: bool = False,
        own_clients: bool = False,
    ) -> None:
        self._specs = list(functions)
        if len({spec.name for spec in self._specs}) < len(self._specs):
            raise NotRunnable("Two functions have the same name.")
        self._given = Surroundings(dict(environment), log, clock, ids, reload)
        self._own_clients = own_clients
        self._pools: dict[str, _Pool] = {}

    async def start(self) -> None:
        """Choose the clients, say so, and start a first worker of each function in the background.

        Raises NotRunnable if a function cannot be run; that its code does not load is only logged.
        """
        for spec in self._specs:
            client = clients.choose(spec, os.environ, own=self._own_clients)
            self._pools[spec.name] = _Pool(spec, client, self._given)
        for pool in self._pools.values():
            pool.warm_up()

    async def stop(self) -> None:
        """End all workers; invocations under way or waiting fail as STOPPED. None is left when this returns."""
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))

    async def invoke(self, name: str, event: bytes) -> Returned:
        """Have a function handle an event (JSON text) and wait for its end.

        Raises FunctionFailed, and KeyError if there is no such function. If the caller is cancelled, the
        function is killed.
        """
        return await self._pools[name].invoke(event)


class _Pool:
    """The workers of one function: at most `concurrency`, started when needed, kept."""

    def __init__(self, spec: FunctionSpec, client: Client, given: Surroundings) -> None:
        self._spec = spec
        self._client = client
        self._given = given
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._waiting = 0
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._stopping = False
        self._warming: asyncio.Task[None] | None = None
        self._starts_failed = 0
        self._last_failure: FunctionFailed | None = None
        self._failed_sources: Fingerprint | None = None
        self._not_before = 0
        self._say(f"{spec.path}:{spec.handler}, run by {client.label}")

    def warm_up(self) -> None:
        self._warming = asyncio.create_task(self._warm_up())

    async def invoke(self, event: bytes) -> Returned:
        if self._waiting >= QUEUE_MAX:
            raise FunctionFailed(FailureKind.BUSY, f"{QUEUE_MAX} invocations of {self._spec.name} wait already.")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            worker = await self._take()
            try:
                return await worker.invoke(event)
            finally:
                self._put(worker)
        finally:
            self._slots.release()

    async def stop(self) -> None:
        self._stopping = True
        workers = list(self._workers)
        for worker in workers:
            worker.kill(_stopped())
        await asyncio.gather(*(worker.closed() for worker in workers))
        if self._warming is not None:
            await asyncio.wait([self._warming])

    async def _warm_up(self) -> None:
        async with self._slots:
            if self._workers:  # an event was faster
                return
            try:
                self._put(await self._take())
            except FunctionFailed as failure:
                if failure.kind is not FailureKind.STOPPED:
                    self._say(f"failed to start: {failure.message}")  # what it printed is in the log already

    async def _take(self) -> Worker:
        """A worker for one invocation: a warm one if there is one that is up to date. Raises FunctionFailed."""
        found = await asyncio.to_thread(sources.fingerprint, self._spec.folder) if self._given.reload else None
        while self._idle:
            worker = self._idle.pop()
            if worker.sources != found:
                self._say("files changed: a fresh worker")
                worker.kill()
            elif await self._asks_again(worker):
                return worker
        if self._stopping:
            raise _stopped()
        if (
            self._last_failure is not None
            and self._failed_sources == found
            and self._given.clock.now() < self._not_before
        ):
            raise self._last_failure.again()
        return await self._start(found)

    async def _asks_again(self, worker: Worker) -> bool:
        try:
            return await worker.asks_again()
        except asyncio.CancelledError:
            worker.kill()  # nobody has it any more
            raise

    async def _start(self, found: Fingerprint | None) -> Worker:
        try:
            worker = Worker(self._spec, self._client, self._given, found)
        except OSError as problem:  # no file descriptor is left
            raise FunctionFailed(FailureKind.INIT, f"A worker could not be started: {problem}") from None
        self._workers.add(worker)
        try:
            await worker.start()
        except BaseException as problem:  # a cancelled caller, too: nobody else would end the worker
            worker.kill()
            if isinstance(problem, FunctionFailed) and problem.kind is FailureKind.INIT:
                self._back_off(problem, found)
            raise
        finally:
            worker.when_closed(lambda: self._gone(worker))
        self._starts_failed, self._last_failure = 0, None
        return worker

    def _back_off(self, failure: FunctionFailed, found: Fingerprint | None) -> None:
        if found != self._failed_sources:
            self._starts_failed = 0
        wait_ms = min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS << min(self._starts_failed, 10))
        self._starts_failed += 1
        self._last_failure, self._failed_sources = failure, found
        self._not_before = self._given.clock.now() + wait_ms

    def _put(self, worker: Worker) -> None:
        if worker.usable:
            self._idle.append(worker)
        else:
            worker.kill()

    def _gone(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
            self._say("a worker ended while idle")

    def _say(self, text: str) -> None:
        for line in text.splitlines():
            self._given.log(FunctionLine(self._spec.name, line, source=Source.RUNTIME))


def _stopped() -> FunctionFailed:
    return FunctionFailed(FailureKind.STOPPED, "The runtime was stopped.")
