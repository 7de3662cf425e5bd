"""SQLite: waiting calls are run together and committed together, with one flush to disk for all of them.

Full durability (`synchronous=FULL`) at many thousand calls a second. A refused call undoes only itself: mostly it has
written nothing; if it has, the whole batch is rolled back and run once more, each call with a savepoint, which costs
too much to give one to every call. The calls of a batch run on the event loop and its commit on a thread: a writer
thread would have to win the interpreter's lock back from the loop after each statement, which costs a send more than
the statements do. While a batch is being committed the loop takes requests in, and those make the next batch. Reads
have threads.
"""

import asyncio
import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import cache, lru_cache
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any, Concatenate, Final

import msgspec

from campana import log
from campana.clock import stopwatch
from campana.errors import ServiceUnavailable
from campana.metrics import Metrics
from campana.store.database import (
    UNAVAILABLE,
    WAITING_CALLS_MAX,
    Ahead,
    CannotOpen,
    Listener,
    P,
    Page,
    Position,
    Question,
    R,
    T,
    Value,
    page_of,
    page_sql,
)
from campana.store.pending import Pending

OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
BATCH_CALLS_MAX = 128
READER_THREADS = 4
FOREIGN_WRITER_S = 10
FOREIGN_WRITER_PAUSE_S = 0.01
CHECKPOINT_EVERY_CHANGES = 8_000  # rows; a message changes nine, and fourteen pages if it comes alone
LOG_PAGES_MAX = 16_384  # 64 MiB: the longer the log, the more has to be searched for each page that is read


class SqliteTx:
    """A transaction on one connection."""

    __slots__ = ("_connection", "_pending", "heads", "notices", "now", "seen", "wrote")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending = Pending()
        self.heads: dict[str, int] = {}
        self.seen: dict[object, Any] = {}
        self.now = 0
        self.notices: list[object] = []
        self.wrote = False
        """Whether anything was put, or what was put was written, since it was last set to False."""

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        text, in_order = _numbered(sql)
        found = self._execute(text, in_order(values)).fetchone()
        return None if found is None else row(*found)

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        return [row(*found) for found in self._execute(*_expanded(sql, values))]

    def first(self, sql: str, /, **values: Value) -> tuple[Any, ...] | None:
        text, in_order = _numbered(sql)
        found: tuple[Any, ...] | None = self._execute(text, in_order(values)).fetchone()
        return found

    def answers(self, questions: Sequence[Question]) -> list[list[tuple[Any, ...]]]:
        return [self._execute(*_expanded(*each)).fetchall() for each in questions]

    def scalar(self, sql: str, /, **values: Value) -> Any:
        text, in_order = _numbered(sql)
        found = self._execute(text, in_order(values)).fetchone()
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
        rows = self._execute(*_expanded(page_sql(sql, key, after, descending), values))
        return page_of([row(*found) for found in rows], key, limit)

    def run(self, sql: str, /, **values: Value | Sequence[str]) -> int:
        return self._execute(*_expanded(sql, values)).rowcount

    def put(self, sql: str, /, **values: Value) -> None:
        self.wrote = True
        self._pending.add(sql, values)

    def put_if(self, refusal: Exception, sql: str, /, **values: Value) -> None:
        if self.run(sql, **values) == 0:
            raise refusal

    def put_last(self, key: str, sql: str, /, **values: Value) -> None:
        self.wrote = True
        self._pending.add(sql, values, key)

    def lock(self, *resources: str) -> None:
        """Nothing to do: there is one writer."""

    def try_lock(self, resource: str) -> bool:
        """There is one writer."""
        return True

    def announce(self, notice: object) -> None:
        self.notices.append(notice)

    def look_ahead(self, aheads: Iterable[Ahead]) -> None:
        """For calls that follow one another from here on."""
        by_look: dict[Callable[[Any, Sequence[Any]], None], list[Any]] = {}
        for each in aheads:
            by_look.setdefault(each.look, []).append(each.wanted)
        for look, wanted in by_look.items():
            look(self, wanted)

    def forget(self) -> None:
        """What was looked up ahead: who comes now may change it."""
        self.heads.clear()
        self.seen.clear()

    def flush(self) -> None:
        """Write what was put."""
        if self._pending.groups:
            self.wrote = (
                True  # maybe what others put: fails it here, it must not be taken for this call's refusal alone
            )
        for rows in self._pending.take():
            text, in_order = _numbered(rows.sql)
            if len(rows.by_key) == 1:
                self._connection.execute(text, *map(in_order, rows.by_key.values()))
            else:
                self._connection.executemany(text, map(in_order, rows.by_key.values()))

    def drop(self) -> None:
        """What was put is not to be written."""
        self._pending.take()

    def _execute(self, text: str, in_order: Sequence[Any]) -> sqlite3.Cursor:
        if self._pending.groups:
            self.flush()
        return self._connection.execute(text, in_order)


def _expanded(sql: str, values: Mapping[str, Value | Sequence[str]]) -> tuple[str, Sequence[Any]]:
    """`:name` of a sequence becomes a parameter for each element; then all are numbered."""
    numbered = _numbered
    if "IN (:" in sql:
        numbered = _numbered_list
        flat: dict[str, Value | Sequence[str]] = {}
        for name, value in values.items():
            if isinstance(value, str) or not isinstance(value, Sequence):
                flat[name] = value
                continue
            names = [f"{name}_{index}" for index in range(len(value))]
            sql = sql.replace(f"(:{name})", "(" + ", ".join(f":{each}" for each in names) + ")")
            flat.update(zip(names, value, strict=True))
        values = flat
    text, in_order = numbered(sql)
    return text, in_order(values)


@cache
def _numbered(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], Sequence[Any]]]:
    """The statement with `?1` … for `:name`, and what puts values in the order of these numbers.

    The module asks SQLite for the name of each parameter again each time, and lets go of the interpreter's lock for it.
    """
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"?{numbers.setdefault(found[1], len(numbers) + 1)}"

    text = _NAME.sub(numbered, sql)
    if len(numbers) > 1:
        return text, itemgetter(*numbers)
    return text, lambda values: [values[name] for name in numbers]


_numbered_list: Final = lru_cache(2_000)(_numbered.__wrapped__)  # one for each number of elements
_NAME: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")

# The module would ask None for `__conform__` and what it adapts to for `__adapt__`, each time: a hundredth of a send.
sqlite3.register_adapter(type(None), {None: None}.get)


class _Waiting(msgspec.Struct):
    """A call that waits for its turn, and for its commit."""

    work: Callable[[SqliteTx], Any]
    future: asyncio.Future[Any]
    context: Context
    """The caller's: which request the log lines and spans of the work belong to."""
    together: bool
    """Whether it writes only what belongs to its resource, so that others like it may look up ahead with it."""
    ahead: Ahead | None


class _Done(msgspec.Struct):
    """A call that has run; its answer leaves after the commit."""

    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class _WroteBeforeRefusal(Exception):
    """A call without a savepoint was refused after it had changed rows."""


class SqliteDatabase:
    """The database in one file. Construct it, then use it from one event loop."""

    exclusive = True
    silent_s = 0.0

    def __init__(self, path: Path, metrics: Metrics | None = None) -> None:
        """Opens (or makes) the file; raises `CannotOpen`."""
        self._metrics = metrics or Metrics()
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            needed = ".".join(map(str, OLDEST_SQLITE))
            raise CannotOpen(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or later is needed.")
        self._path = path
        try:
            self._writing = self._connect_for_writing()
        except sqlite3.Error as error:
            raise CannotOpen(f"{path} can't be opened as a SQLite database: {error}.") from error
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._waiting: deque[_Waiting] = deque()
        self._busy = False
        self._lost = False  # the connection that writes: the next batch makes another
        self._idle: asyncio.Event | None = None
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="campana-commit")
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="campana-read")
        self._listeners: list[Listener] = []
        self._metrics.store_waiting.reads(lambda: len(self._waiting))
        self._metrics.sqlite_wal.reads(lambda: _size(Path(f"{path}-wal")))
        self._closed = False
        self._checkpoint_wanted = threading.Event()
        self._changes_seen = 0
        self._log_is_long = False
        self._checkpointer = threading.Thread(target=self._checkpoint_loop, name="campana-checkpoint", daemon=True)
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

    def _connect_for_writing(self) -> sqlite3.Connection:
        connection = self._connect()
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise CannotOpen(f"{self._path} lies where SQLite can't use its write-ahead log.")
        connection.execute("PRAGMA busy_timeout = 0")  # it is the event loop that would wait
        return connection

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # Reading

    async def read(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: context.run(self.read_now, lambda tx: work(tx, *args, **kwargs))
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
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    async def peek(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.read_now(lambda tx: work(tx, *args, **kwargs))

    # Writing

    def write(
        self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        return self._write(lambda tx: work(tx, *args, **kwargs))

    async def _write(self, call: Callable[[SqliteTx], T], *, together: bool = False, ahead: Ahead | None = None) -> T:
        if self._closed or len(self._waiting) >= WAITING_CALLS_MAX:
            raise ServiceUnavailable(UNAVAILABLE)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(call, future, copy_context(), together, ahead))
        if not self._busy:
            self._busy = True
            # Soon: what else this turn of the loop brings comes along. For them all, so in the name of none.
            loop.call_soon(self._run_batch, loop, context=Context())
        return await future

    def write_in_turn(
        self, resource: str, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        return self.write(work, *args, **kwargs)  # there is one writer

    def write_together(
        self,
        resource: str,
        ahead: Ahead | None,
        work: Callable[Concatenate[Any, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T]:
        return self._write(lambda tx: work(tx, *args, **kwargs), together=True, ahead=ahead)

    def write_now(self, work: Callable[[SqliteTx], T]) -> T:
        """`write` for callers without an event loop: start-up, commands. Blocks until it is on disk."""

        async def alone() -> T:
            return await self.write(work)

        return asyncio.run(alone())

    def _run_batch(self, loop: asyncio.AbstractEventLoop, kept_out_s: float = 0.0, savepoints: bool = False) -> None:
        """The calls that wait, in one transaction. While another process writes (a command, a backup), the loop goes
        on and comes back in a while."""
        if self._log_is_long:
            self._log_is_long = False
            folding = loop.run_in_executor(self._committer, self._checkpoint, self._writing)
            folding.add_done_callback(lambda _: self._run_batch(loop, kept_out_s, savepoints))
            return
        kept_out = self._begin()
        if kept_out is not None and _is_busy(kept_out) and kept_out_s < FOREIGN_WRITER_S:
            later_s = kept_out_s + FOREIGN_WRITER_PAUSE_S
            loop.call_later(FOREIGN_WRITER_PAUSE_S, self._run_batch, loop, later_s, savepoints)
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_CALLS_MAX))]
        if kept_out is not None:
            self._refuse(loop, batch, kept_out)
            return
        done: list[_Done] = []
        tx = SqliteTx(self._writing)
        run = self._run_apart if savepoints else self._run_alone if len(batch) == 1 else self._run
        try:
            for index, waiting in enumerate(batch):
                if savepoints or not waiting.together or index == 0 or not batch[index - 1].together:
                    tx.forget()
                    following = [waiting] if savepoints else takewhile(lambda each: each.together, batch[index:])
                    tx.look_ahead(each.ahead for each in following if each.ahead is not None)
                done.append(run(tx, waiting))
            tx.flush()
        except (_WroteBeforeRefusal, sqlite3.IntegrityError) as error:
            if savepoints or len(batch) == 1:
                self._refuse(loop, batch, error)
            else:
                self._run_again(loop, batch, kept_out_s)
            return
        except Exception as error:
            self._refuse(loop, batch, error)
            return
        notices = tx.notices
        self._metrics.store_batch.observe(len(batch))
        self._committer.submit(self._commit, loop, lambda commit: self._committed(loop, batch, done, notices, commit))

    def _run_again(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], kept_out_s: float) -> None:
        try:
            self._writing.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._refuse(loop, batch, error)
            return
        self._waiting.extendleft(reversed(batch))
        self._run_batch(loop, kept_out_s, savepoints=True)

    def _commit(self, loop: asyncio.AbstractEventLoop, then: Callable[[float | BaseException], None]) -> None:
        """On its thread; then, on the loop, `then` with how many seconds it took, or why it failed."""
        begun = stopwatch()
        outcome: float | BaseException
        try:
            self._writing.execute("COMMIT")
            outcome = stopwatch() - begun
        except BaseException as error:
            outcome = error
        loop.call_soon_threadsafe(then, outcome)

    def _begin(self) -> sqlite3.Error | None:
        try:
            if self._lost:
                self._writing, self._lost = self._connect_for_writing(), False
            self._writing.execute("BEGIN IMMEDIATE")
        except CannotOpen as error:
            return sqlite3.OperationalError(str(error))
        except sqlite3.Error as error:
            return error
        return None

    def _run_alone(self, tx: SqliteTx, waiting: _Waiting) -> _Done:
        """A batch of one: refused, it takes the transaction with it. Only these define tables (migrations)."""
        return _Done(waiting.future, waiting.context.run(waiting.work, tx), None)

    def _run(self, tx: SqliteTx, waiting: _Waiting) -> _Done:
        """One of several; raises _WroteBeforeRefusal if there is something of it to undo."""
        connection = self._writing
        changes, announced, tx.wrote = connection.total_changes, len(tx.notices), False
        try:
            return self._run_alone(tx, waiting)
        except Exception as error:
            if not connection.in_transaction:
                raise
            if tx.wrote or connection.total_changes != changes:
                raise _WroteBeforeRefusal from error
            del tx.notices[announced:]
            return _Done(waiting.future, None, _translated(error))

    def _run_apart(self, tx: SqliteTx, waiting: _Waiting) -> _Done:
        """One of several, with a savepoint."""
        connection, announced = self._writing, len(tx.notices)
        connection.execute("SAVEPOINT call")
        try:
            done = self._run_alone(tx, waiting)
            tx.flush()
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO call")
            tx.drop()
            del tx.notices[announced:]
            done = _Done(waiting.future, None, _translated(error))
        connection.execute("RELEASE call")
        return done

    def _committed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        done: list[_Done],
        notices: list[object],
        commit: float | BaseException,
    ) -> None:
        if isinstance(commit, BaseException):
            self._refuse(loop, batch, commit)
            return
        self._metrics.store_commit.observe(commit)
        if notices:
            self._announce(notices)
        _answer(done)
        self._ask_for_checkpoint()
        self._next_batch(loop)

    def _announce(self, notices: list[object]) -> None:
        for listener in self._listeners:
            try:
                listener(notices)
            except Exception:  # the callers below are owed their answers, and those who wait their turn
                log.exception("store.listener_failed")

    def _refuse(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], error: BaseException) -> None:
        """Some errors (a full disk, I/O) take the whole transaction with them: then nothing of the batch is kept."""
        try:
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
        except sqlite3.Error as failed:
            log.error("store.rollback_failed", error=str(failed))
            self._writing.close()  # which rolls back
            self._lost = True
        refusal = _translated(error)
        _answer([_Done(waiting.future, None, refusal) for waiting in batch])
        self._next_batch(loop)

    def _next_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            loop.call_soon(self._run_batch, loop)
        elif self._idle is not None:
            self._idle.set()

    # Checkpoints: on a thread and connection of their own, so that no call waits for one (see design of the store).
    # The log begins anew only when a checkpoint has caught up with the writer. Under load it never does; when the log
    # has become long, the next batch waits for what little is left to fold.

    def _ask_for_checkpoint(self) -> None:
        changes = self._writing.total_changes
        if abs(changes - self._changes_seen) >= CHECKPOINT_EVERY_CHANGES:  # 32 bits that overflow; and the file's size
            self._changes_seen = changes  # says nothing, since a log that begins anew keeps it
            self._checkpoint_wanted.set()

    def _checkpoint_loop(self) -> None:
        connection = self._connect()
        while True:
            self._checkpoint_wanted.wait()
            if self._closed:
                break
            self._checkpoint_wanted.clear()
            self._log_is_long = self._checkpoint(connection) > LOG_PAGES_MAX
        connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> int:
        """Fold what is in the log into the file; how many pages the log has."""
        try:
            pages: int = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        except sqlite3.Error as error:
            log.warning("store.checkpoint_failed", error=str(error))
            return 0
        return pages

    async def close(self) -> None:
        self._closed = True
        if self._busy:
            self._idle = asyncio.Event()
            await self._idle.wait()
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Fold the log into the file and let go of it; `close` for callers without an event loop."""
        self._closed = True
        self._committer.shutdown(wait=True)
        self._checkpoint_wanted.set()
        self._checkpointer.join()
        self._readers.shutdown(wait=True)
        for connection in self._reading:
            connection.close()
        self._writing.close()  # the last connection: SQLite checkpoints and removes the log


def _answer(done: list[_Done]) -> None:
    for each in done:
        if each.future.done():  # the caller gave up waiting
            continue
        if each.error is None:
            each.future.set_result(each.result)
        else:
            each.future.set_exception(each.error)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds the write lock."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # what is not SQLite's own word has none
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _translated(error: BaseException) -> BaseException:
    """What the caller gets: a full disk, a read-only folder or failing I/O is a 503 and said in the log."""
    engine_failed = isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError
    )
    if not engine_failed:
        return error
    log.error("store.unavailable", error=f"{type(error).__name__}: {error}")
    return ServiceUnavailable(UNAVAILABLE)
