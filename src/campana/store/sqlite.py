"""SQLite: one writer thread that commits waiting calls together, and a reading connection on each reader thread.

Full durability (`synchronous=FULL`) at many thousand calls a second, because one flush to disk serves all calls that
waited for it. Each call has a savepoint, so a refused one undoes only itself.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, NamedTuple

from campana import log
from campana.errors import ServiceUnavailable
from campana.store.database import Listener, P, Page, Position, R, T, Value, page_of, page_sql

OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
BATCH_CALLS_MAX = 256
WAITING_CALLS_MAX = 20_000
READER_THREADS = 4
WAL_CHECKPOINT_BYTES = 4 * 1024 * 1024

_UNAVAILABLE = "The service's store is not able to take this request now. Try again later."


class CannotOpen(Exception):
    """The database can't be used; the message says why and what to do."""


class SqliteTx:
    """A transaction on one connection."""

    __slots__ = ("_connection", "notices")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.notices: list[object] = []

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        found = self._connection.execute(sql, values).fetchone()
        return None if found is None else row(*found)

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        return [row(*found) for found in self._connection.execute(*_expanded(sql, values))]

    def scalar(self, sql: str, /, **values: Value) -> Any:
        found = self._connection.execute(sql, values).fetchone()
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
        rows = self._connection.execute(*_expanded(page_sql(sql, key, after, descending), values))
        return page_of([row(*found) for found in rows], key, limit)

    def run(self, sql: str, /, **values: Value | Sequence[str]) -> int:
        return self._connection.execute(*_expanded(sql, values)).rowcount

    def lock(self, resource: str) -> None:
        """Nothing to do: there is one writer."""

    def announce(self, notice: object) -> None:
        self.notices.append(notice)


def _expanded(sql: str, values: Mapping[str, Value | Sequence[str]]) -> tuple[str, dict[str, Value]]:
    """`:name` of a sequence becomes a parameter for each element."""
    flat: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, str) or not isinstance(value, Sequence):
            flat[name] = value
            continue
        names = [f"{name}_{index}" for index in range(len(value))]
        sql = sql.replace(f"(:{name})", "(" + ", ".join(f":{each}" for each in names) + ")")
        flat.update(zip(names, value, strict=True))
    return sql, flat


class _Waiting(NamedTuple):
    """A call in the writer's queue."""

    work: Callable[[SqliteTx], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Done(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class SqliteDatabase:
    """The database in one file. Construct it, then use it from one event loop."""

    exclusive = True

    def __init__(self, path: Path) -> None:
        """Opens (or makes) the file; raises `CannotOpen`."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            needed = ".".join(map(str, OLDEST_SQLITE))
            raise CannotOpen(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or later is needed.")
        self._path = path
        try:
            self._writing = self._connect()
            self._writing.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.Error as error:
            raise CannotOpen(f"{path} can't be opened as a SQLite database: {error}.") from error
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="campana-read")
        self._listeners: list[Listener] = []
        self._closed = False
        self._checkpoint_wanted = threading.Event()
        self._writer = threading.Thread(target=self._write_loop, name="campana-write", daemon=True)
        self._checkpointer = threading.Thread(target=self._checkpoint_loop, name="campana-checkpoint", daemon=True)
        self._writer.start()
        self._checkpointer.start()

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=10, isolation_level=None, cached_statements=512, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # see _checkpoint_loop
        connection.execute("PRAGMA cache_size = -16000")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # Reading

    async def read(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self.read_now(lambda tx: work(tx, *args, **kwargs))
        )

    def read_now(self, work: Callable[[SqliteTx], T]) -> T:
        """`read` for callers without an event loop, on the calling thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = self._connect(read_only=True)
                self._reading.append(connection)
            connection.execute("BEGIN")
            try:
                return work(SqliteTx(connection))
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise _translated(error) from error

    # Writing

    async def write(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed or self._queue.qsize() >= WAITING_CALLS_MAX:
            raise ServiceUnavailable(_UNAVAILABLE)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Waiting(lambda tx: work(tx, *args, **kwargs), future, loop))
        return await future

    def write_now(self, work: Callable[[SqliteTx], T]) -> T:
        """`write` for callers without an event loop: start-up, commands. Blocks until it is on disk."""

        async def alone() -> T:
            return await self.write(work)

        return asyncio.run(alone())

    def _write_loop(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            ending = False
            while len(batch) < BATCH_CALLS_MAX:
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
                if waiting is None:
                    ending = True
                    break
                batch.append(waiting)
            self._write_batch(batch)
            if ending:
                break

    def _write_batch(self, batch: list[_Waiting]) -> None:
        done: list[_Done] = []
        notices: list[object] = []
        connection = self._writing
        try:
            connection.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                done.append(self._write_one(waiting, notices))
            connection.execute("COMMIT")
        except Exception as error:
            # Some errors (a full disk, I/O) take the whole transaction with them: then nothing of the batch is kept.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            refusal = _translated(error)
            done = [_Done(waiting.future, None, refusal) for waiting in batch]
            notices = []
        self._deliver(batch[0].loop, done, notices)
        self._ask_for_checkpoint()

    def _write_one(self, waiting: _Waiting, notices: list[object]) -> _Done:
        connection = self._writing
        tx = SqliteTx(connection)
        connection.execute("SAVEPOINT call")
        try:
            result = waiting.work(tx)
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO call")
            connection.execute("RELEASE call")
            return _Done(waiting.future, None, _translated(error))
        connection.execute("RELEASE call")
        notices.extend(tx.notices)
        return _Done(waiting.future, result, None)

    def _deliver(self, loop: asyncio.AbstractEventLoop, done: list[_Done], notices: list[object]) -> None:
        def on_loop() -> None:
            if notices:
                for listener in self._listeners:
                    listener(notices)
            for future, result, error in done:
                if future.done():  # the caller gave up waiting
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

        try:
            loop.call_soon_threadsafe(on_loop)
        except RuntimeError:  # the loop is gone: a server that was stopped hard; what is committed stays
            log.warning("store.answer_without_loop", calls=len(done))

    # Checkpoints: on a thread and connection of their own, so that no call waits for one (see design of the store).

    def _ask_for_checkpoint(self) -> None:
        try:
            size = self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:
            return
        if size > WAL_CHECKPOINT_BYTES:
            self._checkpoint_wanted.set()

    def _checkpoint_loop(self) -> None:
        connection = self._connect()
        while True:
            self._checkpoint_wanted.wait()
            if self._closed:
                break
            self._checkpoint_wanted.clear()
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error as error:
                log.warning("store.checkpoint_failed", error=str(error))
        connection.close()

    async def close(self) -> None:
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Finish what is queued, fold the log into the file, close."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        self._checkpoint_wanted.set()
        self._checkpointer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reading:
            connection.close()
        self._writing.close()  # the last connection: SQLite checkpoints and removes the log


def _translated(error: Exception) -> Exception:
    """What the caller gets: a full disk, a read-only folder or failing I/O is a 503 and said in the log."""
    engine_failed = isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError
    )
    if not engine_failed:
        return error
    log.error("store.unavailable", error=f"{type(error).__name__}: {error}")
    return ServiceUnavailable(_UNAVAILABLE)
