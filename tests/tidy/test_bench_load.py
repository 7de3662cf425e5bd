"""Rounds next to the peers: a number is found wherever the bytes are cut, and a wrong count fails the round."""

import asyncio
from collections.abc import Sequence

import pytest
from bench.client import Failed
from bench.peers import load
from bench.peers.load import Ear, Kind, Load, Room, Round


class Repeater:
    """Says to each of its two ears what it was sent, so many times."""

    name = "repeater"
    pid = 0
    first_heard_is_accepted = True
    rendered_per_second = 2_000

    def __init__(self, *times: int) -> None:
        self.rooms = {Kind.PLAIN: Room()}
        self._ears = [(Ear(self.rooms[Kind.PLAIN]), each) for each in times]

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def archived(self) -> int | None: ...

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        return [f"<body>{load.content(number)}</body>".encode() for number in numbers]

    async def lines(self, kind: Kind, senders: int, load: Load) -> Sequence["RepeaterLine"]:
        return [RepeaterLine(self) for _ in range(senders)]

    def repeat(self, message: bytes) -> None:
        for ear, times in self._ears:
            for _ in range(times):
                for start in range(0, len(message), 7):
                    ear.take(message[start : start + 7])


class RepeaterLine:
    def __init__(self, repeater: Repeater) -> None:
        self._repeater = repeater

    def send(self, message: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._repeater.repeat, message)

    def close(self) -> None: ...


def round_of(*times: int) -> tuple[Round, int]:
    async def story() -> tuple[Round, int]:
        loaded = Load(Repeater(*times), Kind.PLAIN, until_heard=True)
        return await loaded.run(3, 0.0, 0.02), loaded.sent

    return asyncio.run(story())


def test_what_both_sessions_have_heard_is_delivered() -> None:
    measured, sent = round_of(1, 1)

    assert sent >= 3
    assert 0 < measured.p50 <= measured.p99


@pytest.mark.parametrize(
    ("times", "why"), [((1, 2), "too often"), ((2, 1), "too often"), ((1, 0), "did not get through")]
)
def test_a_round_in_which_a_session_has_not_heard_exactly_what_was_sent_fails(
    times: tuple[int, int], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ANSWER_TIMEOUT_S", 0.1)

    with pytest.raises(Failed, match=why):
        round_of(*times)
