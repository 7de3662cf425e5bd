"""PostgreSQL: each call is a transaction on a connection of a pool, on a thread; several nodes share one database.

Calls run in READ COMMITTED and take the advisory lock of the resource that they are about (`lock`), for the length of
the transaction: writers of one channel follow one another, and all others run side by side. Locks are taken in the
order of their numbers when several are asked for at once, and never for a thing that has a higher one: app instances,
channels, users. What deadlocks all the same, or loses its connection before the commit, runs again.

The lock is held until the commit is on disk, so that a channel would have as many messages a second as the disk has
flushes. Therefore the sends that wait for a channel on one node run in one transaction (`write_together`).

Only reads that look several times (`read`) have a snapshot (REPEATABLE READ, which a reader never pays for).
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Concatenate, Final, Generic

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from campana import log
from campana.clock import Ids, stopwatch
from campana.errors import ServiceUnavailable
from campana.metrics import Metrics
from campana.store.database import UNAVAILABLE, WAITING_CALLS_MAX, Ahead, CannotOpen, Listener, P, T
from campana.store.postgres_connection import CONNECTION, Connection, Silent, configure
from campana.store.postgres_tx import CommitUnknown, PostgresTx, Unmet

OLDEST_TESTED: Final = 140_000
"""Older ones, and what only speaks the protocol, may do; the log says so."""
POOL_TIMEOUT_S: Final = 4.0
"""How long a call waits for a connection before it is refused: the database is away, or not up to its load."""
WAIT_MAX_S: Final = 10.0
"""How long a call waits for its turn before it is refused: its client has given up, or is about to."""
LOOK_S: Final = 1.0
"""How often those are looked after who wait for that long."""
TOGETHER_MAX: Final = 32
"""Calls in one transaction: what waits behind them on other nodes waits for all of them."""
ATTEMPTS_MAX: Final = 8
COLLISIONS_MAX: Final = 3
"""After so many it is no race."""
PAUSE_S: Final = 0.01


_AGAIN: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    errors.UniqueViolation,  # somebody made what was looked for and not found: it will be found
)
_OURS: Final = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
"""Errors that say the statement is wrong. All others say that the database is not able to."""


class _Waiting(Generic[T]):
    """A call that waits for its turn at a resource."""

    __slots__ = ("ahead", "context", "future", "since", "together", "work")

    def __init__(
        self,
        work: Callable[[PostgresTx], T],
        future: "asyncio.Future[T]",
        since: float,
        *,
        together: bool,
        ahead: Ahead | None,
    ) -> None:
        """`since`: the loop's time. `together`: whether it may share a transaction."""
        self.ahead = ahead
        self.work = work
        self.future = future
        self.context = copy_context()
        self.since = since
        self.together = together


class _Apart(Exception):
    """Calls that ran together must run one by one: one of them was refused after it had written, or failed."""


class PostgresDatabase:
    """A database that other nodes use as well. Construct it, then use it from one event loop."""

    exclusive = False

    def __init__(
        self, url: str, *, connections_max: int = 16, ids: Ids | None = None, metrics: Metrics | None = None
    ) -> None:
        """`url`: what libpq understands. Connects; raises `CannotOpen`."""
        self._ids = ids or Ids()
        self._metrics = metrics or Metrics()
        self._listeners: list[Listener] = []
        self._announced: list[object] = []
        self._announcing = threading.Lock()
        self._counting = threading.Lock()
        self._queues: dict[str, deque[_Waiting[Any]]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False
        self._answered_at = stopwatch()
        self._salt = self._looked_at(url)
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            connection_class=Connection,
            min_size=1,
            max_size=connections_max,
            timeout=POOL_TIMEOUT_S,
            max_waiting=0,
            kwargs={"autocommit": True, "cursor_factory": psycopg.RawCursor, **CONNECTION},
            configure=configure,
            reconnect_timeout=2.0,  # then it waits for the next call, and that finds the database again
            open=True,
            name="campana",
        )
        self._show(self._metrics)
        # Reads are not to wait for writes that wait for one another's locks.
        writers = max(1, connections_max // 2)
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="campana-write")
        self._readers = ThreadPoolExecutor(max(1, connections_max - writers), thread_name_prefix="campana-read")

    @property
    def silent_s(self) -> float:
        return stopwatch() - self._answered_at

    def _show(self, metrics: Metrics) -> None:
        """What metrics look up of the pool; psycopg_pool leaves out what is 0."""
        numbers = self._pool.get_stats
        metrics.store_waiting.reads(lambda: self._waiting)
        metrics.pool_max.reads(lambda: self._pool.max_size)
        metrics.pool_waits.reads(lambda: numbers().get("requests_wait_ms", 0) / 1000)

        def connections() -> dict[tuple[str, ...], float]:
            now = numbers()
            free = now.get("pool_available", 0)
            return {("idle",): free, ("busy",): now.get("pool_size", 0) - free}

        def errors() -> dict[tuple[str, ...], float]:
            now = numbers()
            return {(name,): now.get(name, 0) for name in ("requests_errors", "connections_errors", "connections_lost")}

        metrics.pool.read = connections
        metrics.pool_errors.read = errors

    def _looked_at(self, url: str) -> str:
        """Whether the database will do; the schema that statements without one are about."""
        try:
            with psycopg.connect(url, autocommit=True, **CONNECTION) as connection:
                found = connection.execute("SELECT current_schema(), getdatabaseencoding()").fetchone()
                version = connection.info.server_version
        except psycopg.Error as error:
            raise CannotOpen(f"The PostgreSQL database can't be opened: {_first_line(error)}.") from error
        assert found is not None
        schema, encoding = found
        if schema is None:
            raise CannotOpen("The search path of the PostgreSQL database names no schema that is there.")
        if encoding != "UTF8":
            raise CannotOpen(f"The PostgreSQL database has the encoding {encoding}: UTF8 is needed.")
        if version < OLDEST_TESTED:
            log.warning("store.untested_server", version=version)
        return str(schema)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # Reading

    async def read(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._on(self._readers, lambda: self.read_now(lambda tx: work(tx, *args, **kwargs)))

    def read_now(self, work: Callable[[PostgresTx], T]) -> T:
        """`read` for callers without an event loop, on the calling thread."""
        return self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work).result

    async def peek(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On a thread as well: here the row is further than that. Without a transaction around it."""
        return await self._on(self._readers, lambda: self._run("", lambda tx: work(tx, *args, **kwargs)).result)

    # Writing

    async def write(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()

        def call() -> T:
            done = self._run("BEGIN", lambda tx: work(tx, *args, **kwargs))
            if done.notices:
                self._announce_on(loop, done.notices)
            return done.result

        return await self._on(self._writers, call)

    async def write_in_turn(
        self, resource: str, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._in_turn(resource, lambda tx: work(tx, *args, **kwargs), together=False)

    async def write_together(
        self,
        resource: str,
        ahead: Ahead | None,
        work: Callable[Concatenate[Any, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._in_turn(resource, lambda tx: work(tx, *args, **kwargs), together=True, ahead=ahead)

    async def _in_turn(
        self, resource: str, work: Callable[[PostgresTx], T], *, together: bool, ahead: Ahead | None = None
    ) -> T:
        """Of each resource one transaction at a time: more would take the connections from everybody else."""
        self._require_room()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop.create_future(), loop.time(), together=together, ahead=ahead)
        queue = self._queues.get(resource)
        if queue is None:
            queue = self._queues[resource] = deque()
            task = loop.create_task(self._work_off(resource, queue), context=Context())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        queue.append(waiting)
        self._waiting += 1
        try:
            result: T = await waiting.future
            return result
        finally:
            self._waiting -= 1

    async def _work_off(self, resource: str, queue: "deque[_Waiting[Any]]") -> None:
        """Until nobody waits for the resource."""
        loop = asyncio.get_running_loop()
        while queue:
            batch = [queue.popleft()]
            while batch[0].together and queue and queue[0].together and len(batch) < TOGETHER_MAX:
                batch.append(queue.popleft())
            batch = [each for each in batch if not each.future.done()]  # the caller gave up waiting
            if not batch:
                continue
            if self._closed:
                _answer([(each, ServiceUnavailable(UNAVAILABLE)) for each in batch])
                continue
            self._metrics.store_batch.observe(len(batch))
            running = loop.run_in_executor(self._writers, self._run_batch, loop, resource, batch)
            while not (await asyncio.wait((running,), timeout=LOOK_S))[0]:
                _answer([(each, _late()) for each in queue if loop.time() - each.since > WAIT_MAX_S])
            _answer(running.result())
        del self._queues[resource]

    def _run_batch(
        self, loop: asyncio.AbstractEventLoop, resource: str, batch: "Sequence[_Waiting[Any]]"
    ) -> "list[tuple[_Waiting[Any], Any]]":
        """On a thread: the calls with their results, or the errors they raised."""
        late = loop.time() - WAIT_MAX_S
        outcomes: list[tuple[_Waiting[Any], Any]] = [(each, _late()) for each in batch if each.since < late]
        batch = [each for each in batch if each.since >= late]
        if len(batch) > 1:
            try:
                done = self._run("BEGIN", lambda tx: self._together(tx, resource, batch))
            except (_Apart, *_OURS):  # of what was only put it is not known whose it was
                pass
            except Exception as error:
                return outcomes + [(each, error) for each in batch]
            else:
                if done.notices:
                    self._announce_on(loop, done.notices)
                return outcomes + done.result
        return outcomes + [(each, self._outcome(loop, resource, each)) for each in batch]

    @staticmethod
    def _together(tx: PostgresTx, resource: str, batch: "Sequence[_Waiting[Any]]") -> "list[tuple[_Waiting[Any], Any]]":
        """The calls with their results, or with what they were refused for; raises _Apart."""
        tx.lock_and_look(resource, [each.ahead for each in batch if each.ahead is not None])
        outcomes: list[tuple[_Waiting[Any], Any]] = []
        for waiting in batch:
            tx.wrote, announced = False, len(tx.notices)
            try:
                result = waiting.context.run(waiting.work, tx)
                outcomes.append((waiting, result))
            except (*_AGAIN, psycopg.OperationalError, psycopg.InterfaceError):
                raise
            except Exception as error:
                if tx.wrote or isinstance(error, psycopg.Error | Unmet):
                    raise _Apart from error
                del tx.notices[announced:]
                outcomes.append((waiting, error))
        try:
            tx.settle()
        except Unmet as error:
            raise _Apart from error
        return outcomes

    def _outcome(self, loop: asyncio.AbstractEventLoop, resource: str, waiting: "_Waiting[Any]") -> Any:
        """Of a call in a transaction of its own: the result, or the error it raised."""

        def alone(tx: PostgresTx) -> Any:
            if waiting.ahead is not None:
                tx.lock_and_look(resource, [waiting.ahead])
            return waiting.work(tx)

        try:
            done = waiting.context.run(self._run, "BEGIN", alone)
        except Exception as error:
            return error
        if done.notices:
            self._announce_on(loop, done.notices)
        return done.result

    def write_now(self, work: Callable[[PostgresTx], T]) -> T:
        """`write` for callers without an event loop: start-up, commands."""
        # Migrations of large tables take their time.
        done = self._run("BEGIN; SET LOCAL statement_timeout = 0", work, patient=True)
        self._announce(done.notices)
        return done.result

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """`close` for callers without an event loop."""
        self._closed = True
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self._pool.close()

    async def _on(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        self._require_room()
        loop = asyncio.get_running_loop()
        asked = loop.time()

        def in_time() -> T:
            if loop.time() - asked > WAIT_MAX_S:
                raise _late()
            return call()

        self._waiting += 1
        try:
            return await loop.run_in_executor(threads, copy_context().run, in_time)
        finally:
            self._waiting -= 1

    def _require_room(self) -> None:
        if self._closed or self._waiting >= WAITING_CALLS_MAX:
            raise ServiceUnavailable(UNAVAILABLE)

    def _announce_on(self, loop: asyncio.AbstractEventLoop, notices: list[object]) -> None:
        """Before the answer, and what several threads have to announce together."""
        with self._announcing:
            first = not self._announced
            self._announced.extend(notices)
        if first:
            with suppress(RuntimeError):  # the loop is closed: nobody hears
                # What is announced of several calls at once is in the name of none of them.
                loop.call_soon_threadsafe(self._announce_all, context=Context())

    def _announce_all(self) -> None:
        with self._announcing:
            notices, self._announced = self._announced, []
        self._announce(notices)

    def _announce(self, notices: list[object]) -> None:
        for listener in self._listeners if notices else ():
            try:
                listener(notices)
            except Exception:  # what was committed stays committed
                log.exception("store.listener_failed")

    # A call, again where that helps

    def _run(self, begin: str, work: Callable[[PostgresTx], T], *, patient: bool = False) -> "_Done[T]":
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                with self._pool.connection() as connection:  # rolls back if anything is raised in it
                    connection.patient = patient
                    try:
                        return self._attempt(connection, begin, work)
                    finally:
                        connection.patient = False
            except _AGAIN as error:
                if isinstance(error, errors.UniqueViolation) and attempt == COLLISIONS_MAX:
                    raise
                self._metrics.store_again.labels(type(error).__name__).inc()
                log.debug("store.again", reason=type(error).__name__, attempt=attempt)
                # Apart from one another, or they would meet again.
                time.sleep(PAUSE_S * attempt * self._ids.jitter())
            except _OURS as error:
                if not isinstance(error, errors.FeatureNotSupported):
                    raise
                # A newer version's migration changed what a prepared statement gives. All connections have such.
                self._pool.drain()
            except CommitUnknown as error:
                # It must not run again: the client does that, with its token.
                raise _unavailable(error.__cause__) from error
            except Silent as error:
                # The client has waited long enough. The other connections go to the same server: who asked on them,
                # even whether they are alive, would wait as long.
                self._pool.drain()
                raise _unavailable(error) from error
            except psycopg.Error as error:
                if attempt == ATTEMPTS_MAX or not _is_lost(error):
                    raise _unavailable(error) from error
                self._metrics.store_again.labels("connection lost").inc()
                log.warning("store.connection_lost", error=_first_line(error), attempt=attempt)
                self._pool.check()  # a server that went away took all connections with it
        raise _unavailable("too many conflicts")

    def _attempt(self, connection: Connection, begin: str, work: Callable[[PostgresTx], T]) -> "_Done[T]":
        tx = PostgresTx(connection, begin, self._salt)
        try:
            result = work(tx)
            committing = stopwatch()
            tx.finish()
        except Unmet as unmet:
            raise unmet.refusal from None
        except errors.ReadOnlySqlTransaction:
            connection.close()  # to a server that is no primary any more
            raise
        self._answered_at = stopwatch()
        if begin and tx.begun:
            with self._counting:
                self._metrics.store_commit.observe(self._answered_at - committing)
        return _Done(result, tx.notices)


class _Done(Generic[T]):
    """What a call that was committed answers and announces."""

    __slots__ = ("notices", "result")

    def __init__(self, result: T, notices: list[object]) -> None:
        self.result = result
        self.notices = notices


def _answer(outcomes: "Sequence[tuple[_Waiting[Any], Any]]") -> None:
    for waiting, outcome in outcomes:
        if waiting.future.done():  # the caller gave up waiting
            continue
        if isinstance(outcome, BaseException):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)


def _is_lost(error: psycopg.Error) -> bool:
    """Whether another connection may do better. Errors without a code are those of the connection itself."""
    if isinstance(error, PoolTimeout):
        return False
    code = error.sqlstate or "08"
    return code.startswith(("08", "57P", "25006", "25P03"))


def _unavailable(error: object) -> ServiceUnavailable:
    log.error("store.unavailable", error=f"{type(error).__name__}: {_first_line(error)}")
    return ServiceUnavailable(UNAVAILABLE)


def _late() -> ServiceUnavailable:
    return _unavailable("the call has waited too long for its turn")


def _first_line(error: object) -> str:
    """Without the statement and its place."""
    return str(error).strip().partition("\n")[0].rstrip(".")
