"""Answers of functions in this process, gathered: those that come until a transaction begins are written in it.

Of messages that were sent together the answers come together; one look at all of them and one entry for all in what
their channel keeps cost much less than one for each.
"""

import asyncio
from threading import Lock

from campana.errors import BadRequest, ServiceUnavailable
from campana.flows import execution
from campana.flows.execution import Answer
from campana.store.database import Database
from campana.unit_of_work import UnitOfWork, Units

ANSWERS_MAX = 32
"""In one transaction: others wait for its end."""


class Gathering:
    """One for each node; on its event loop."""

    def __init__(self, db: Database, units: Units) -> None:
        self._db = db
        self._units = units
        self._open: dict[str, _Batch] = {}

    async def write(self, channel_arn: str, answer: Answer) -> None:
        """Raises BadRequest for an answer that a callback would be refused for, Conflict, ServiceUnavailable."""
        batch = self._open.get(channel_arn)
        if batch is None or (outcome := batch.add(answer)) is None:
            before, batch = batch, _Batch(answer)
            self._open[channel_arn] = batch
            await self._write(channel_arn, batch, before)
            outcome = batch.outcomes[0]
        try:
            refusal = await outcome
        except ServiceUnavailable:
            raise
        except Exception:
            if len(batch.outcomes) == 1:
                raise
            # One of them has failed, and another is not to suffer for it.
            alone = _Batch(answer)
            await self._write(channel_arn, alone, None)
            refusal = await alone.outcomes[0]
        if refusal is not None:
            raise refusal

    async def _write(self, channel_arn: str, batch: "_Batch", before: "_Batch | None") -> None:
        try:
            if before is not None and not before.begun:  # it is full, and the two would share a transaction
                await asyncio.wait(before.outcomes[:1])
            refusals = await self._db.write_together(
                channel_arn, None, self._units.run_on, channel_arn, _answers, batch
            )
        except Exception as error:
            batch.failed(error)
        except BaseException:
            batch.failed(ServiceUnavailable("The server is stopping."))
            raise
        else:
            batch.written(refusals)
        finally:
            if self._open.get(channel_arn) is batch:
                del self._open[channel_arn]


class _Batch:
    """Answers on the way to one transaction. It may begin on another thread, and more than once."""

    def __init__(self, first: Answer) -> None:
        self.outcomes: list[asyncio.Future[BadRequest | None]] = []
        self._answers: list[Answer] = []
        self.begun = False
        self._lock = Lock()
        self.add(first)

    def add(self, answer: Answer) -> "asyncio.Future[BadRequest | None] | None":
        """What becomes of it; None: it is too late."""
        with self._lock:
            if self.begun or len(self._answers) == ANSWERS_MAX:
                return None
            self._answers.append(answer)
        self.outcomes.append(asyncio.get_running_loop().create_future())
        return self.outcomes[-1]

    def begin(self) -> list[Answer]:
        """All there are; no more are taken."""
        with self._lock:
            self.begun = True
        return self._answers

    def written(self, refusals: list[BadRequest | None]) -> None:
        for outcome, refusal in zip(self.outcomes, refusals, strict=True):
            if not outcome.done():  # nobody waits any more
                outcome.set_result(refusal)

    def failed(self, error: Exception) -> None:
        for outcome in self.outcomes:
            if not outcome.done():
                outcome.set_exception(error)
                outcome.exception()  # is not to be missed if nobody waits any more


def _answers(unit: UnitOfWork, batch: _Batch) -> list[BadRequest | None]:
    return execution.answers(unit, batch.begin())
