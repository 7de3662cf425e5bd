"""PostgreSQL: each call is a transaction on a connection of a pool, on a thread; several nodes share one database.

Calls run in READ COMMITTED and take the advisory lock of the resource that they are about (`lock`), for the length of
the transaction: writers of one channel follow one another, and all others run side by side. Locks are taken in the
order of their numbers when several are asked for at once, and never for a thing that has a higher one: app instances,
channels, users. What deadlocks all the same, or loses its connection before the commit, runs again.

Only reads that look several times (`read`) have a snapshot (REPEATABLE READ, which a reader never pays for).
"""

import asyncio
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from functools import lru_cache
from typing import Any, Concatenate, Final, Generic, TypeAlias
from weakref import WeakValueDictionary

import psycopg
from psycopg import errors
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
STATEMENT_TIMEOUT_MS: Final = 15_000
"""No statement of ours needs a second; the wait for a lock is part of it."""
IDLE_IN_TRANSACTION_MS: Final = 5_000
"""A node that is paused in a transaction must not keep its locks from the others: what it then does fails, and runs
again. Well below STATEMENT_TIMEOUT_MS, so that those who wait get their turn."""
DEFINITION_WAIT_MS: Final = 1_000
ATTEMPTS_MAX: Final = 8
PAUSE_S: Final = 0.01

_Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_AGAIN: Final = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
_OURS: Final = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
"""Errors that say the statement is wrong. All others say that the database is not able to."""


class PostgresTx:
    """A transaction on one connection; it begins with its first statement."""

    __slots__ = ("_begin", "_connection", "_held", "_salt", "begun", "notices")

    def __init__(self, connection: _Connection, begin: str, salt: str) -> None:
        """`begin`: the statement that begins it; '' for statements that stand alone."""
        self._connection = connection
        self._begin = begin
        self._salt = salt
        self._held: set[int] = set()
        self.begun = not begin
        self.notices: list[object] = []

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        rows = _rows(row, self._execute(sql, values))
        return rows[0] if rows else None

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        return _rows(row, self._execute(sql, values))

    def scalar(self, sql: str, /, **values: Value) -> Any:
        found = self._execute(sql, values).fetchone()
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

    def lock(self, *resources: str) -> None:
        numbers = sorted({self._number(each) for each in resources} - self._held)
        if not numbers:
            return
        sql = "SELECT " + ", ".join(f"pg_advisory_xact_lock({number})" for number in numbers)
        if not self.begun:  # one way to the server and back for both
            sql, self.begun = f"{self._begin}; {sql}", True
        self._connection.execute(sql, prepare=False)
        self._held.update(numbers)

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
        self._start()
        text, names = _translated(sql)
        return self._connection.execute(text, [_parameter(values[name]) for name in names] if names else None)


def _rows(row: type[R], found: psycopg.Cursor[tuple[Any, ...]]) -> list[R]:
    """`SELECT *` may give columns that a newer version has added: they are at the end."""
    columns = found.description or ()
    width = len(row.__struct_fields__)
    if len(columns) > width:
        return [row(*each[:width]) for each in found]
    return [row(*each) for each in found]


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
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting = 0
        self._closed = False
        self._salt = self._looked_at(url)
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
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
        """Only the next one waits at the database: more would take the connections from everybody else."""
        turns = self._turns.setdefault(resource, asyncio.Semaphore(2))  # it is kept by those who use it
        try:
            async with asyncio.timeout(WAIT_MAX_S):
                await turns.acquire()
        except TimeoutError:
            raise _unavailable("the call has waited too long for its turn") from None
        try:
            return await self.write(work, *args, **kwargs)
        finally:
            turns.release()

    def write_now(self, work: Callable[[PostgresTx], T]) -> T:
        """`write` for callers without an event loop: start-up, commands."""
        # Migrations of large tables take their time.
        done = self._run("BEGIN; SET LOCAL statement_timeout = 0", work)
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
        if self._closed or self._waiting >= WAITING_CALLS_MAX:
            raise ServiceUnavailable(UNAVAILABLE)
        loop = asyncio.get_running_loop()
        asked = loop.time()

        def in_time() -> T:
            if loop.time() - asked > WAIT_MAX_S:
                raise _unavailable("the call has waited too long for its turn")
            return call()

        self._waiting += 1
        try:
            return await loop.run_in_executor(threads, copy_context().run, in_time)
        finally:
            self._waiting -= 1

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

    def _run(self, begin: str, work: Callable[[PostgresTx], T]) -> "_Done[T]":
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                with self._pool.connection() as connection:  # rolls back if anything is raised in it
                    return self._attempt(connection, begin, work)
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
        except errors.ReadOnlySqlTransaction:
            connection.close()  # to a server that is no primary any more
            raise
        if begin and tx.begun:
            committing = stopwatch()
            _commit(connection)
            seconds = stopwatch() - committing
            with self._counting:
                self._metrics.store_commit.observe(seconds)
        return _Done(result, tx.notices)


class _Done(Generic[T]):
    """What a call that was committed answers and announces."""

    __slots__ = ("notices", "result")

    def __init__(self, result: T, notices: list[object]) -> None:
        self.result = result
        self.notices = notices


def _commit(connection: _Connection) -> None:
    try:
        status = connection.execute("COMMIT", prepare=False).statusmessage
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


def _first_line(error: object) -> str:
    """Without the statement and its place."""
    return str(error).strip().partition("\n")[0].rstrip(".")
