"""A connection to PostgreSQL that gives up a server which keeps silent."""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.types.numeric import Int8Dumper

from campana.clock import stopwatch

CONNECTION: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    # A server that vanished without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
STATEMENT_TIMEOUT_MS: Final = 15_000
"""No statement of ours needs a second; the wait for a lock is part of it."""
SILENCE_MAX_S: Final = STATEMENT_TIMEOUT_MS / 1000 + 2
"""How long the answer to a statement may take that the server would have ended by itself: nobody is there, though the
connection may stay for hours, with a server or a proxy that is frozen."""
IDLE_IN_TRANSACTION_MS: Final = 5_000
"""A node that is paused in a transaction must not keep its locks from the others: what it then does fails, and runs
again. Well below STATEMENT_TIMEOUT_MS, so that those who wait get their turn."""
WAITS_S: Final = 0.1


class Silent(psycopg.OperationalError):
    """The server did not answer; what it was asked it may do yet."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """libpq alone would wait for ever."""

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
            raise Silent(f"no answer within {SILENCE_MAX_S:g} s") from None


def configure(connection: Connection) -> None:
    """Once, when it is new."""
    connection.adapters.register_dumper(int, Int8Dumper)  # one type for all sizes, so one prepared statement
    connection.execute(
        f"SET statement_timeout = {STATEMENT_TIMEOUT_MS};"
        f" SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}",
        prepare=False,
    )
