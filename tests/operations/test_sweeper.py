"""How the timed work goes on when a step of it fails."""

import asyncio
from pathlib import Path

import pytest

from campana import sweeper
from campana.clock import Ids
from campana.settings import Settings
from campana.store import migrate
from campana.store.sqlite import SqliteDatabase
from campana.unit_of_work import UnitOfWork, Units

ROUNDS = 12
BEARABLE = 1_000


class RoundsClock:
    """Stands still, and ends the work after so many rounds."""

    def __init__(self) -> None:
        self.left = ROUNDS

    def now(self) -> int:
        return 10**12

    async def sleep(self, seconds: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise asyncio.CancelledError


def test_a_step_that_is_too_much_for_the_database_goes_on_with_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    removed: list[int] = []
    others: set[int] = set()

    def slow(unit: UnitOfWork, batch: int) -> int:
        asked.append(batch)
        if batch > BEARABLE:
            raise TimeoutError("the statement took too long")
        removed.append(batch)
        return batch

    def idle(unit: UnitOfWork, batch: int) -> int:
        others.add(batch)
        return 0

    steps = tuple(sweeper.Step(work, 200, 4_000) for work in (slow, idle))
    db = SqliteDatabase(tmp_path / "campana.db")
    monkeypatch.setattr(db, "exclusive", False)
    clock = RoundsClock()
    db.write_now(lambda tx: migrate.apply(tx, clock.now()))

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await sweeper.Sweeper(db, Units(clock, Ids(1), Settings()), clock, steps=steps).run()
        await db.close()

    asyncio.run(run())

    assert asked[:4] == [4_000, 2_000, 1_000, 2_000]
    assert len(removed) >= ROUNDS // 2 - 1
    assert others == {4_000}  # another step's trouble is none of theirs
