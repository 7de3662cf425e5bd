"""The database as everything above sees it: `Tx` inside a transaction, `Database` around it.

SQL is the portable part of SQLite's and PostgreSQL's dialects, with `:name` parameters; times are milliseconds
since the epoch; rows come back as frozen structs. What differs between engines is in the classes that implement
these two protocols.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound="Row")

Value = str | int | float | None
Position = tuple[Value, ...]

WAITING_CALLS_MAX = 20_000
UNAVAILABLE = "The service's store is not able to take this request now. Try again later."


class CannotOpen(Exception):
    """The database can't be used; the message says why and what to do."""


class Row(msgspec.Struct, frozen=True):
    """A row of a table or a query; the fields are named as the columns and stand in their order."""


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Some rows in key order; `next` is the key of the last one if there are more, else None."""

    rows: list[R]
    next: Position | None


class Question(NamedTuple):
    """A statement that reads, with the values of its parameters as in `Tx.all`."""

    sql: str
    values: Mapping[str, Value | Sequence[str]]


class Tx(Protocol):
    """One transaction. Statements see what it has written; nobody else does before the commit."""

    heads: dict[str, int]
    """The heads of topics that nobody else writes to before the end of the transaction (store/topics.py)."""
    seen: dict[object, Any]
    """What was looked up ahead (`Ahead`), by what it was looked up with."""
    now: int
    """The latest time that a call in the transaction was given: for those behind it time does not go back."""

    def one(self, row: type[R], sql: str, /, **values: Value) -> R | None:
        """The first row, or None."""

    def all(self, row: type[R], sql: str, /, **values: Value | Sequence[str]) -> list[R]:
        """Every row. A sequence stands for the list in `IN (:name)`; it must not be empty."""

    def first(self, sql: str, /, **values: Value) -> tuple[Any, ...] | None:
        """The columns of the first row, or None."""

    def answers(self, questions: Sequence["Question"]) -> list[list[tuple[Any, ...]]]:
        """The columns of every row, for each of several statements that are asked at once."""

    def scalar(self, sql: str, /, **values: Value) -> Any:
        """The first column of the first row, or None."""

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
        """The next `limit` rows behind `after` in the order of the columns `key`.

        `sql` must end in a WHERE clause; `key` must be unique together and end an index that serves that clause.
        """

    def run(self, sql: str, /, **values: Value | Sequence[str]) -> int:
        """Change something; the number of rows concerned."""

    def put(self, sql: str, /, **values: Value) -> None:
        """As `run`, for those who do not look at the number of rows: it need not be waited for.

        It may come after what was put later, unless both are about the same table.
        """

    def put_if(self, refusal: Exception, sql: str, /, **values: Value) -> None:
        """As `put`, for a change that is conditional: if it concerns no row, `refusal` is raised, before the commit."""

    def put_last(self, key: str, sql: str, /, **values: Value) -> None:
        """As `put`, for what a later one with the same key and statement makes pointless: that may be all that is
        written."""

    def lock(self, *resources: str) -> None:
        """Keep other writers of these resources (ARNs) out until the end of the transaction.

        Several at once are taken in an order in which nobody waits for one another. Who needs more later goes on
        to things that are further inside only: from an app instance to channels, from channels to users.
        """

    def try_lock(self, resource: str) -> bool:
        """`lock` if nobody has it; False if somebody has."""

    def announce(self, notice: object) -> None:
        """Hand `notice` to the database's listeners after the commit; never if it rolls back."""


Listener = Callable[[Sequence[object]], None]


class Ahead(NamedTuple):
    """What a call looks up first, so that those that share a transaction can look it up together."""

    look: Callable[[Tx, Sequence[Any]], None]
    """Puts what was found for each `wanted` into `Tx.seen`."""
    wanted: Any


class Database(Protocol):
    """Transactions from the event loop. Work may be run again from the start, so it must have no other effects."""

    exclusive: bool
    """Whether this process alone uses the database: then nobody else holds leases at start."""

    @property
    def silent_s(self) -> float:
        """For how many seconds no server has answered, whether it was asked or not; 0 where there is no server."""

    def read_now(self, work: Callable[[Tx], T]) -> T:
        """`read` for callers without an event loop, on the calling thread."""

    def write_now(self, work: Callable[[Tx], T]) -> T:
        """`write` for callers without an event loop: start-up, commands."""

    def close_now(self) -> None:
        """`close` for callers without an event loop."""

    async def read(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in a transaction that only reads, on a thread."""

    async def peek(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read`, for a look-up or two by key: no more than the way to a thread and back would cost."""

    async def write(self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in a transaction; returns when it is on disk. Raises ServiceUnavailable if that can't be."""

    async def write_in_turn(
        self, resource: str, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, for work that begins with locking the resource: others on it could do nothing but wait."""

    async def write_together(
        self,
        resource: str,
        ahead: Ahead | None,
        work: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `write_in_turn`, for work that writes only what belongs to the resource: those that wait for it may share
        a transaction, and then a commit. A call that is refused undoes only itself all the same.

        The resource is locked before anything is looked up ahead, and nothing that is may be changed by others of those
        that share the transaction, unless they bring `Tx.seen` up to date.
        """

    def listen(self, listener: Listener) -> None:
        """Call `listener` on the event loop with what committed transactions announced.

        One transaction's notices come in its order; those of transactions that ran side by side may come in another
        order than they were committed in.
        """

    async def close(self) -> None:
        """Finish what is queued and let go of everything."""


def page_sql(sql: str, key: tuple[str, ...], after: Position | None, descending: bool) -> str:
    """`sql` with the keyset condition, the order and the limit (parameters `after_0` …, `limit`)."""
    columns = ", ".join(key)
    if after is not None:
        marks = ", ".join(f":after_{index}" for index in range(len(key)))
        sql += f" AND ({columns}) {'<' if descending else '>'} ({marks})"
    order = ", ".join(f"{column} DESC" if descending else column for column in key)
    return f"{sql} ORDER BY {order} LIMIT :limit"


def page_of(rows: list[R], key: tuple[str, ...], limit: int) -> Page[R]:
    """The page that `rows` make, when one more than `limit` was asked for."""
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], tuple(getattr(last, column.rpartition(".")[2]) for column in key))
