"""Turns: how many calls of one bearer are under way at once."""

import asyncio
from collections.abc import Awaitable, Callable

from campana.server.turns import OTHERS_S, Turns


def played(play: Callable[[Turns], Awaitable[None]]) -> None:
    """With two turns for each."""
    asyncio.run(play(Turns(2, 2)))  # type: ignore[arg-type]


async def waiting(turns: Turns, who: str) -> asyncio.Task[None]:
    task = asyncio.create_task(turns.take(who))
    await asyncio.sleep(0)
    return task


def test_more_than_so_many_of_one_wait_in_order_and_others_do_not() -> None:
    async def play(turns: Turns) -> None:
        await turns.take("ann")
        await turns.take("ann")
        third, fourth = await waiting(turns, "ann"), await waiting(turns, "ann")
        await turns.take("bob")
        assert not third.done()

        turns.give_back("ann")
        await asyncio.sleep(0)
        assert (third.done(), fourth.done()) == (True, False)
        turns.give_back("bob")
        await asyncio.sleep(0)
        assert not fourth.done()
        turns.give_back("ann")
        await fourth

    played(play)


def test_who_gives_up_while_waiting_takes_no_turn() -> None:
    async def play(turns: Turns) -> None:
        await turns.take("ann")
        await turns.take("ann")
        third, fourth = await waiting(turns, "ann"), await waiting(turns, "ann")
        third.cancel()
        turns.give_back("ann")
        await fourth

    played(play)


def test_who_gives_up_when_it_is_their_turn_hands_it_on() -> None:
    async def play(turns: Turns) -> None:
        await turns.take("ann")
        await turns.take("ann")
        third, fourth = await waiting(turns, "ann"), await waiting(turns, "ann")
        turns.give_back("ann")
        third.cancel()
        await fourth

    played(play)


def test_nothing_is_kept_of_those_who_are_gone() -> None:
    async def play(turns: Turns) -> None:
        for name in map(str, range(100)):
            await turns.take(name)
            await turns.take(name)
            later = await waiting(turns, name)
            for _ in range(3):
                turns.give_back(name)
            await later
        assert not turns._under_way
        assert not turns._waiting

    played(play)


def test_one_alone_has_more_turns_than_one_beside_others() -> None:
    async def play() -> None:
        now = [0.0]
        turns = Turns(4, 2, lambda: now[0])
        for _ in range(4):
            await turns.take("ann")
        fifth = await waiting(turns, "ann")

        await turns.take("bob")
        turns.give_back("bob")
        turns.give_back("ann")
        turns.give_back("ann")
        await asyncio.sleep(0)
        assert not fifth.done()  # two are under way, as many as may be
        turns.give_back("ann")
        await fifth

        sixth, seventh = await waiting(turns, "ann"), await waiting(turns, "ann")
        assert not sixth.done()
        now[0] += OTHERS_S  # nobody else has called since
        turns.give_back("ann")
        await asyncio.gather(sixth, seventh)

    asyncio.run(play())
