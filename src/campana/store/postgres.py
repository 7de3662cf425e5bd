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
import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import lru_cache
from typing import Any, Concatenate, Final, Generic

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool, PoolTimeout

from campana import log
from campana.clock import Ids, stopwatch
from campana.errors import ServiceUnavailable
from campana.metrics import Metrics
from campana.store.database import (
    UNAVAILABLE,
    WAITING_CALLS_MAX,
    CannotOpen,
    Listener,
    P,
    Page,
    Position,
    R,
    T,
    Value,
    page_of,
    page_sql,
)

OLDEST_TESTED: Final = 140_000
"""Older ones, and what only speaks the protocol, may do; the log says so."""
CONNECTION: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    # A server that vanished without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
POOL_TIMEOUT_S: Final = 4.0
"""How long a call waits for a connection before it is refused: the database is away, or not up to its load."""
WAIT_MAX_S: Final = 10.0
"""How long a call waits for its turn before it is refused: its client has given up, or is about to."""
LOOK_S: Final = 1.0
"""How often those are looked after who wait for that long."""
STATEMENT_TIMEOUT_MS: Final = 15_000
"""No statement of ours needs a second; the wait for a lock is part of it."""
SILENCE_MAX_S: Final = STATEMENT_TIMEOUT_MS / 1000 + 2
"""How long the answer to a statement may take that the server would have ended by itself: nobody is there, though the
connection may stay for hours, with a server or a proxy that is frozen."""
IDLE_IN_TRANSACTION_MS: Final = 5_000
"""A node that is paused in a transaction must not keep its locks from the others: what it then does fails, and runs
again. Well below STATEMENT_TIMEOUT_MS, so that those who wait get their turn."""
DEFINITION_WAIT_MS: Final = 1_000
TOGETHER_MAX: Final = 32
"""Calls in one transaction: what waits behind them on other nodes waits for all of them."""
WAITS_S: Final = 0.1
ATTEMPTS_MAX: Final = 8
PAUSE_S: Final = 0.01


class _Silent(psycopg.OperationalError):
    """The server did not answer; what it was asked it may do yet."""


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """Gives up a server that keeps silent; libpq alone would wait for ever."""

    patient = False
    """Statements may take as long as they like."""

    def wait(self, gen: PQGen[RV], interval: float = WAITS_S, timeout: float | None = None) -> RV:
        if self.patient or timeout is not None:
            return super().wait(gen, interval, timeout)
        begun = stopwatch()
        try:
            return super().wait(gen, interval, SILENCE_MAX_S)
        except psycopg.OperationalError:
            if stopwatch() - begun < SILENCE_MAX_S:
                raise
            self.close()  # an answer that came now would be taken for that of the next statement
            raise _Silent(f"no answer within {SILENCE_MAX_S:g} s") from None


_AGAIN: Final = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
_OURS: Final = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
"""Errors that say the statement is wrong. All others say that the database is not able to."""


class PostgresTx:
    """A transaction on one connection; it begins with its first statement."""

    __slots__ = ("_begin", "_connection", "_held", "_put", "_salt", "begun", "heads", "notices", "wrote")

    def __init__(self, connection: _Connection, begin: str, salt: str) -> None:
        """`begin`: the statement that begins it; '' for statements that stand alone."""
        self._connection = connection
        self._begin = begin
        self._salt = salt
        self._held: set[str] = set()
        self._put: list[_Put] = []
        self.begun = not begin
        self.heads: dict[str, int] = {}
        self.notices: list[object] = []
        self.wrote = False

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        rows = _rows(row, self._execute(sql, values))
        return rows[0] if rows else None

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        return _rows(row, self._execute(sql, values))

    def first(self, sql: str, /, **values: Value) -> tuple[Any, ...] | None:
        return self._execute(sql, values).fetchone()

    def rows(self, sql: str, /, **values: Value | Sequence[str]) -> list[tuple[Any, ...]]:
        return self._execute(sql, values).fetchall()

    def scalar(self, sql: str, /, **values: Value) -> Any:
        found = self.first(sql, **values)
        return None if found is None else found[0]

    def page(
        self,
        row: type[R],
        sql: str,
        /,
        *,
        key: tuple[str, ...],
        after: Position | None,
        limit: int,
        descending: bool = False,
        **values: Value | Sequence[str],
    ) -> Page[R]:
        values["limit"] = limit + 1
        for index, value in enumerate(after or ()):
            values[f"after_{index}"] = value
        rows = _rows(row, self._execute(page_sql(sql, key, after, descending), values))
        return page_of(rows, key, limit)

    def run(self, sql: str, /, **values: Value | Sequence[str]) -> int:
        return self._execute(sql, values).rowcount

    def put(self, sql: str, /, **values: Value) -> None:
        self.wrote = True
        self._put.append((*_with_parameters(sql, values), None))

    def put_if(self, refusal: Exception, sql: str, /, **values: Value) -> None:
        """The refusal comes as _Unmet, out of a later statement or `send`: maybe in another call's turn."""
        self.wrote = True
        self._put.append((*_with_parameters(sql, values), refusal))

    def send(self) -> None:
        """What was put and is not with the server yet."""
        if self._put:
            *self._put, (text, parameters, refusal) = self._put
            _require(self._exchange(text, parameters), refusal)

    def lock(self, *resources: str) -> None:
        wanted = set(resources) - self._held
        if not wanted:
            return
        numbers = sorted({self._number(each) for each in wanted})
        sql = "SELECT " + ", ".join(f"pg_advisory_xact_lock({number})" for number in numbers)
        if not self.begun:  # one way to the server and back for both
            sql, self.begun = f"{self._begin}; {sql}", True
        self._connection.execute(sql, prepare=False)
        self._held |= wanted

    def try_lock(self, resource: str) -> bool:
        self._start()
        cursor = self._connection.execute(f"SELECT pg_try_advisory_xact_lock({self._number(resource)})", prepare=False)
        return cursor.fetchone() == (True,)

    def announce(self, notice: object) -> None:
        self.notices.append(notice)

    def _number(self, resource: str) -> int:
        """Of 64 bits; two resources that happen to share one only wait for one another."""
        digest = hashlib.blake2b(f"{self._salt}\0{resource}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _start(self) -> None:
        if not self.begun:
            self._connection.execute(self._begin, prepare=False)
            self.begun = True

    def _execute(self, sql: str, values: Mapping[str, Value | Sequence[str]]) -> psycopg.Cursor[tuple[Any, ...]]:
        text, parameters = _with_parameters(sql, values)
        self.wrote = self.wrote or not text.lstrip().startswith("SELECT")
        return self._exchange(text, parameters)

    def _exchange(self, text: str, parameters: list[Any] | None) -> psycopg.Cursor[tuple[Any, ...]]:
        """One way to the server and back, with what was put before."""
        self._start()
        if not self._put:
            return self._connection.execute(text, parameters)
        put, self._put = self._put, []
        with self._connection.pipeline():
            found = [self._connection.execute(earlier, values) for earlier, values, _ in put]
            asked = self._connection.execute(text, parameters)
        for cursor, (_, _, refusal) in zip(found, put, strict=True):
            _require(cursor, refusal)
        return asked


_Put = tuple[str, list[Any] | None, Exception | None]
"""A statement, its parameters, and what it means if it concerns no row."""


class _Unmet(Exception):
    """A statement that was put has concerned no row, which a call is refused for."""

    def __init__(self, refusal: Exception) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def _require(found: psycopg.Cursor[tuple[Any, ...]], refusal: Exception | None) -> None:
    if refusal is not None and found.rowcount == 0:
        raise _Unmet(refusal)


def _with_parameters(sql: str, values: Mapping[str, Value | Sequence[str]]) -> tuple[str, list[Any] | None]:
    text, names = _translated(sql)
    return text, [_parameter(values[name]) for name in names] if names else None


def _rows(row: type[R], found: psycopg.Cursor[tuple[Any, ...]]) -> list[R]:
    """`SELECT *` may give columns that a newer version has added: they are at the end."""
    width = len(row.__struct_fields__)
    return [row(*each[:width]) for each in found]


def _parameter(value: Value | Sequence[str]) -> Any:
    return list(value) if isinstance(value, tuple) else value


_NAME: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_IN_LIST: Final = re.compile(r"\bIN \((:[a-z_][a-z0-9_]*)\)")
_DEFINITION: Final = re.compile(r"\s*(?:CREATE|ALTER|DROP) TABLE\b")


@lru_cache(2_000)
def _translated(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1` … for `:name`, and the names in the order of their numbers.

    Tables are made with texts that compare by their bytes, as SQLite's do: pages and Python's sorting rely on it,
    whatever the collation of the database is. Whoever comes after a definition that waits for a table waits as well,
    so it gives up soon, and its call runs again.
    """
    if _DEFINITION.match(sql):
        text = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', sql)
        return f"SET LOCAL lock_timeout = {DEFINITION_WAIT_MS}; {text}", ()
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}"

    return _NAME.sub(numbered, _IN_LIST.sub(r"= ANY(\1)", sql)), tuple(names)


class _Waiting(Generic[T]):
    """A call that waits for its turn at a resource."""

    __slots__ = ("context", "future", "since", "together", "work")

    def __init__(
        self, work: Callable[[PostgresTx], T], future: "asyncio.Future[T]", since: float, *, together: bool
    ) -> None:
        """`since`: the loop's time. `together`: whether it may share a transaction."""
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
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
            connection_class=_Connection,
            min_size=1,
            max_size=connections_max,
            timeout=POOL_TIMEOUT_S,
            max_waiting=0,
            kwargs={"autocommit": True, "cursor_factory": psycopg.RawCursor, **CONNECTION},
            configure=_configure,
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
        self, resource: str, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._in_turn(resource, lambda tx: work(tx, *args, **kwargs), together=True)

    async def _in_turn(self, resource: str, work: Callable[[PostgresTx], T], *, together: bool) -> T:
        """Of each resource one transaction at a time: more would take the connections from everybody else."""
        self._require_room()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, loop.create_future(), loop.time(), together=together)
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
            running = loop.run_in_executor(self._writers, self._run_batch, loop, batch)
            while not (await asyncio.wait((running,), timeout=LOOK_S))[0]:
                _answer([(each, _late()) for each in queue if loop.time() - each.since > WAIT_MAX_S])
            _answer(running.result())
        del self._queues[resource]

    def _run_batch(
        self, loop: asyncio.AbstractEventLoop, batch: "Sequence[_Waiting[Any]]"
    ) -> "list[tuple[_Waiting[Any], Any]]":
        """On a thread: the calls with their results, or the errors they raised."""
        late = loop.time() - WAIT_MAX_S
        outcomes: list[tuple[_Waiting[Any], Any]] = [(each, _late()) for each in batch if each.since < late]
        batch = [each for each in batch if each.since >= late]
        if len(batch) > 1:
            try:
                done = self._run("BEGIN", lambda tx: self._together(tx, batch))
            except _Apart:
                pass
            except Exception as error:
                return outcomes + [(each, error) for each in batch]
            else:
                if done.notices:
                    self._announce_on(loop, done.notices)
                return outcomes + done.result
        return outcomes + [(each, self._outcome(loop, each)) for each in batch]

    @staticmethod
    def _together(tx: PostgresTx, batch: "Sequence[_Waiting[Any]]") -> "list[tuple[_Waiting[Any], Any]]":
        """The calls with their results, or with what they were refused for; raises _Apart."""
        outcomes: list[tuple[_Waiting[Any], Any]] = []
        for waiting in batch:
            tx.wrote, announced = False, len(tx.notices)
            try:
                result = waiting.context.run(waiting.work, tx)
                outcomes.append((waiting, result))
            except (*_AGAIN, psycopg.OperationalError, psycopg.InterfaceError):
                raise
            except Exception as error:
                if tx.wrote or isinstance(error, psycopg.Error | _Unmet):
                    raise _Apart from error
                del tx.notices[announced:]
                outcomes.append((waiting, error))
        try:
            tx.send()
        except _Unmet as error:
            raise _Apart from error
        return outcomes

    def _outcome(self, loop: asyncio.AbstractEventLoop, waiting: "_Waiting[Any]") -> Any:
        """Of a call in a transaction of its own: the result, or the error it raised."""
        try:
            done = waiting.context.run(self._run, "BEGIN", waiting.work)
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
            except _OURS as error:
                if not isinstance(error, errors.FeatureNotSupported):
                    raise
                # A newer version's migration changed what a prepared statement gives. All connections have such.
                self._pool.drain()
            except _AGAIN as error:
                self._metrics.store_again.labels(type(error).__name__).inc()
                log.debug("store.again", reason=type(error).__name__, attempt=attempt)
                # Apart from one another, or they would meet again.
                time.sleep(PAUSE_S * attempt * self._ids.jitter())
            except _Silent as error:
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

    def _attempt(self, connection: _Connection, begin: str, work: Callable[[PostgresTx], T]) -> "_Done[T]":
        tx = PostgresTx(connection, begin, self._salt)
        try:
            result = work(tx)
            tx.send()
        except _Unmet as unmet:
            raise unmet.refusal from None
        except errors.ReadOnlySqlTransaction:
            connection.close()  # to a server that is no primary any more
            raise
        if begin and tx.begun:
            committing = stopwatch()
            _commit(connection)
            seconds = stopwatch() - committing
            with self._counting:
                self._metrics.store_commit.observe(seconds)
        self._answered_at = stopwatch()
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


def _commit(connection: _Connection) -> None:
    try:
        status = connection.execute("COMMIT", prepare=False).statusmessage
    except _Silent:
        raise  # and must not run again either
    except psycopg.Error as error:
        if connection.closed:
            # It may have happened or not, so it must not run again: the client does that, with its token.
            raise _unavailable(error) from error
        raise
    assert status == "COMMIT", f"a call went on after an error of the database ({status})"


def _configure(connection: _Connection) -> None:
    connection.adapters.register_dumper(int, Int8Dumper)  # one type for all sizes, so one prepared statement
    connection.execute(
        f"SET statement_timeout = {STATEMENT_TIMEOUT_MS};"
        f" SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}",
        prepare=False,
    )


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
