"""Nothing is lost and nothing happens twice when the server is killed, whatever it was doing.

A failure is looked into with its seed: CRASH_SEED=7 CRASH_KILLS=20 pytest tests/stories/test_crash.py
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness import LAMBDA, App
from tests.stories.crash_history import (
    PLAIN,
    Callback,
    Connection,
    Delivery,
    Edit,
    Event,
    History,
    Listed,
    Sent,
    complaints,
)
from tests.stories.crash_world import PATIENCE_S, SETTINGS, World
from tests.stories.serving import serving

SEED = int(os.environ.get("CRASH_SEED", "1"))
KILLS = int(os.environ.get("CRASH_KILLS", "12"))
FIVE_OUTCOMES = {
    ("moderated", "pass"),
    ("moderated", "change"),
    ("moderated", "deny"),
    ("lenient", "pass"),  # nobody answers: CONTINUE
    ("strict", "pass"),  # nobody answers: ABORT
}


def test_every_accepted_message_has_one_verdict_whenever_the_server_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, environment=SETTINGS) as server:
        world = World(server, SEED)
        print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}")

        history = world.live_through(KILLS)

        print("killed when", *(f"\n  {moment}" for moment, _ in world.kills))
        print(world.summary(history))
        found = complaints(history)
        assert not found, "\n".join([f"{len(found)} complaints:", *found[:20]])
        assert len(world.kills) == KILLS
        assert world.unfinished() == 0
        assert world.in_flight() >= FIVE_OUTCOMES, "not every outcome was in flight at a kill"


# Functions in the server's own workers end with it.


class Invocation:
    """A function that has its event and waits to be told to go on."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self._connection = connection
        self._lines = connection.makefile("rw")
        event = json.loads(self._lines.readline())
        self.message_id: str = event["ChannelMessage"]["MessageId"]
        self.callback_id: str = event["CallbackId"]

    def calls_back(self) -> None:
        """Let it call back, and wait until it has. It does not end by this."""
        print("go on", file=self._lines, flush=True)
        assert self._lines.readline() == "called back\n"

    def was_killed(self) -> bool:
        """Wait for the end of its process."""
        try:
            return self._connection.recv(1) == b""
        except ConnectionResetError:
            return True

    def ends(self) -> None:
        self._lines.close()
        self._connection.close()


class Function:
    """The file of a slow function, and its invocations as they begin."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self._listener = listener
        folder.mkdir()
        shutil.copy(Path(__file__).with_name("crash_function.py"), folder / "slow.py")
        (folder / "port").write_text(str(listener.getsockname()[1]))
        self.target = f"{folder / 'slow.py'}:handler"

    def invoked(self) -> Invocation:
        """The next one."""
        self._listener.settimeout(PATIENCE_S)
        return Invocation(self._listener.accept()[0])

    def waits(self) -> bool:
        """Whether one has begun that was not taken."""
        self._listener.setblocking(False)
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def slow_function(folder: Path) -> Iterator[Function]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Function(folder, listener)


@pytest.mark.skipif(sys.platform != "linux", reason="on Linux alone workers end with a server that is killed")
def test_a_function_that_was_at_work_is_invoked_again_unless_it_had_called_back(tmp_path: Path) -> None:
    slow = LAMBDA + "slow"
    with (
        slow_function(tmp_path / "slow") as function,
        serving(tmp_path, processors={slow: function.target}) as server,
    ):
        app = App(cast(Any, server))  # it wants its clients only
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob], flow=app.flow(slow))
        sent = [ann.sends(channel, f"message {number}") for number in range(6)]
        at_work = [function.invoked() for _ in range(4)]  # as many as run at once; two wait
        answered, *unanswered = at_work
        answered.calls_back()

        server.kill()
        assert all(invocation.was_killed() for invocation in at_work)
        server.start()

        again = {}
        for _ in range(5):
            invocation = function.invoked()
            again[invocation.message_id] = invocation.callback_id
            invocation.calls_back()
            invocation.ends()
        assert again.keys() == {*sent} - {answered.message_id}
        assert {each.message_id: each.callback_id for each in unanswered}.items() <= again.items()
        assert [message["Content"] for message in bob.reads(channel)] == [
            f"<message {number}>" for number in reversed(range(6))
        ]
        assert not function.waits()


# The checks prove themselves: a small good history, and what they say of it with one thing wrong.

ANN, BOB = "ann", "bob"
CREATED = Event("CREATE_CHANNEL_MESSAGE", "a", "<change 1>")
DENIED = Event("DENIED_CREATE_CHANNEL_MESSAGE", "b", "deny 2")
UPDATED = Event("UPDATE_CHANNEL_MESSAGE", "a", "pass 4")
SEEN_ONCE = Event("CREATE_CHANNEL_MESSAGE", "d", "pass 5")
MODERATED = (
    Event("PENDING_CREATE_CHANNEL_MESSAGE", "a", "change 1"),
    Event("PENDING_CREATE_CHANNEL_MESSAGE", "b", "deny 2"),
    CREATED,
    DENIED,
    Event("PENDING_UPDATE_CHANNEL_MESSAGE", "a", "pass 4"),
    UPDATED,
    Event("PENDING_CREATE_CHANNEL_MESSAGE", "d", "pass 5"),
    SEEN_ONCE,
)
STRICT = (
    Event("PENDING_CREATE_CHANNEL_MESSAGE", "c", "pass 3"),
    Event("FAILED_CREATE_CHANNEL_MESSAGE", "c", "pass 3"),
)
LISTED = Listed("a", "pass 4", "SENT")
GOOD = History(
    sent=(
        Sent("moderated", ANN, "change 1", persistent=True, began=11, ids=("a", "a")),
        Sent("moderated", ANN, "deny 2", persistent=True, began=12, ids=()),
        Sent("strict", BOB, "pass 3", persistent=True, began=13, ids=("c",)),
        Sent("moderated", BOB, "pass 5", persistent=False, began=15, ids=("d",)),
        Sent("moderated", BOB, "pass 6", persistent=True, began=16, ids=()),  # it never arrived
    ),
    edits=(Edit("a", "pass 4", began=14, accepted=True),),
    deliveries=(
        Delivery("obey", "callback 1", "a", "change 1"),
        Delivery("obey", "callback 1", "a", "change 1"),
        Delivery("obey", "callback 2", "b", "deny 2"),
        Delivery("obey", "callback 4", "a", "pass 4"),
        Delivery("obey", "callback 5", "d", "pass 5"),
    ),
    callbacks=(
        Callback("callback 1", None),
        Callback("callback 1", 400),
        Callback("callback 2", 200),
        Callback("callback 4", 200),
        Callback("callback 4", 409),
        Callback("callback 5", 200),
    ),
    connections=(
        Connection(ANN, 1, to_the_end=True, heard={"moderated": (*MODERATED[:6], SEEN_ONCE), "strict": ()}),
        Connection(BOB, 2, to_the_end=False, heard={"moderated": (CREATED,), "strict": STRICT}),
        Connection(BOB, 13, to_the_end=True, heard={"moderated": (UPDATED, *MODERATED[6:]), "strict": ()}),
    ),
    listings={
        (ANN, "moderated"): (LISTED,),
        (BOB, "moderated"): (LISTED,),
        (ANN, "strict"): (),
        (BOB, "strict"): (Listed("c", "pass 3", "FAILED"),),
    },
    statuses={"a": "SENT", "c": "FAILED", "d": None},
    journal={"moderated": MODERATED, "strict": STRICT},
    known={(ANN, "moderated"): {"a": "pass 4"}, (BOB, "strict"): {"c": "pass 3"}},
)
SAID = (Event("CREATE_CHANNEL_MESSAGE", "p", "pass 7"), Event("CREATE_CHANNEL_MESSAGE", "q", "deny 8"))
GOOD = replace(
    GOOD,
    sent=(
        *GOOD.sent,
        Sent(PLAIN, ANN, "pass 7", persistent=True, began=17, ids=("p",)),
        Sent(PLAIN, ANN, "deny 8", persistent=True, began=18, ids=("q", "q")),  # nobody is there to deny it
    ),
    connections=(
        *GOOD.connections,
        Connection(BOB, 16, to_the_end=True, heard={PLAIN: SAID}),
    ),
    listings={**GOOD.listings, (BOB, PLAIN): (Listed("q", "deny 8", "SENT"), Listed("p", "pass 7", "SENT"))},
    statuses={**GOOD.statuses, "p": "SENT"},
    journal={**GOOD.journal, PLAIN: SAID},
    known={**GOOD.known, (BOB, PLAIN): {"p": "pass 7", "q": "deny 8"}},
)


def test_a_good_history_gives_no_reason_to_complain() -> None:
    assert complaints(GOOD) == []


def journal(*events: Event) -> History:
    return replace(GOOD, journal={**GOOD.journal, "moderated": events})


def hears(connection: int, *events: Event, lane: str = "moderated") -> History:
    changed = [*GOOD.connections]
    changed[connection] = replace(changed[connection], heard={**changed[connection].heard, lane: events})
    return replace(GOOD, connections=changed)


def listing(user: str, *listed: Listed, lane: str = "moderated") -> History:
    return replace(GOOD, listings={**GOOD.listings, (user, lane): listed})


def sent(number: int, **changes: Any) -> History:
    changed = [*GOOD.sent]
    changed[number] = replace(changed[number], **changes)
    return replace(GOOD, sent=changed)


def delivered(*more: Delivery) -> History:
    return replace(GOOD, deliveries=(*GOOD.deliveries, *more))


def called_back(*callbacks: Callback) -> History:
    return replace(GOOD, callbacks=(*GOOD.callbacks, *callbacks))


def knows(user: str, lane: str, **contents: str) -> History:
    return replace(GOOD, known={**GOOD.known, (user, lane): contents})


def without(events: tuple[Event, ...], *gone: Event) -> tuple[Event, ...]:
    return tuple(event for event in events if event not in gone)


def instead(events: tuple[Event, ...], old: Event, new: Event) -> tuple[Event, ...]:
    return tuple(new if event == old else event for event in events)


ANN_HEARD = cast(tuple[Event, ...], GOOD.connections[0].heard["moderated"])
BOB_HEARD = cast(tuple[Event, ...], GOOD.connections[2].heard["moderated"])
FAILED_TOO = Event("FAILED_CREATE_CHANNEL_MESSAGE", "b", "deny 2")
SENT_TOO = Event("CREATE_CHANNEL_MESSAGE", "b", "deny 2")
UNCHANGED = Event("CREATE_CHANNEL_MESSAGE", "a", "change 1")
CHANGED_TWICE = Event("CREATE_CHANNEL_MESSAGE", "a", "<<change 1>>")
STRANGER = Event("CREATE_CHANNEL_MESSAGE", "x", "pass 9")

WRONG: dict[str, tuple[Callable[[], History], str]] = {
    # What became of messages
    "an accepted message is gone": (lambda: sent(4, ids=("e",)), "accepted and lost (CREATE)"),
    "an accepted edit is gone": (lambda: journal(*without(MODERATED, *MODERATED[4:6])), "accepted and lost (UPDATE)"),
    "one token made two messages": (lambda: sent(0, ids=("a", "z")), "with one token and made 2 messages"),
    "a send that was given up made two": (
        lambda: journal(*MODERATED, Event("PENDING_CREATE_CHANNEL_MESSAGE", "y", "deny 2")),
        "with one token and made 2 messages",
    ),
    "no verdict": (lambda: journal(*without(MODERATED, DENIED)), "'deny 2' in moderated (b): 0 verdicts"),
    "no verdict of an edit": (lambda: journal(*without(MODERATED, UPDATED)), "0 verdicts (UPDATE)"),
    "another verdict as well": (lambda: journal(*MODERATED, FAILED_TOO), "2 verdicts (CREATE)"),
    "the same verdict twice": (lambda: journal(*MODERATED, CREATED), "2 verdicts (CREATE)"),
    "the wrong verdict": (lambda: journal(*instead(MODERATED, DENIED, SENT_TOO)), "instead of"),
    "a verdict before its beginning": (
        lambda: journal(DENIED, *without(MODERATED, DENIED)),
        "instead of",
    ),
    "a change forgotten": (lambda: journal(*instead(MODERATED, CREATED, UNCHANGED)), "instead of"),
    "a change made twice": (lambda: journal(*instead(MODERATED, CREATED, CHANGED_TWICE)), "instead of"),
    "a message of nobody": (lambda: journal(*MODERATED, STRANGER), "message x was seen, and nobody sent it"),
    "still pending": (lambda: replace(GOOD, statuses={"a": "PENDING"}), "the status is PENDING instead of SENT"),
    "a failure forgotten": (lambda: replace(GOOD, statuses={"c": None}), "the status is None instead of FAILED"),
    # What connections heard
    "heard twice": (lambda: hears(0, *ANN_HEARD[:3], CREATED, *ANN_HEARD[3:]), "2 times"),
    "pending after its verdict": (
        lambda: hears(0, ANN_HEARD[1], CREATED, ANN_HEARD[0], *ANN_HEARD[3:]),
        "after its verdict",
    ),
    "a denial heard by another": (lambda: hears(1, CREATED, DENIED), "what is for the sender alone"),
    "wrong content heard": (lambda: hears(1, UNCHANGED), "did not happen"),
    "a gap": (lambda: hears(0, *without(ANN_HEARD, CREATED)), "not one stretch"),
    "another order": (lambda: hears(0, *ANN_HEARD[:2], DENIED, CREATED, *ANN_HEARD[4:]), "not one stretch"),
    "the end missed by one that stayed open": (lambda: hears(2, *without(BOB_HEARD, SEEN_ONCE)), "open and missed"),
    "everything missed by one that stayed open": (lambda: hears(2), "missed what began after it was opened"),
    "the beginning missed": (lambda: hears(0, *ANN_HEARD[1:]), "missed what began after it was opened"),
    # What is listed
    "listed twice": (lambda: listing(BOB, LISTED, LISTED), "listed 2 times"),
    "not listed": (lambda: listing(BOB), "as None instead of"),
    "wrong content listed": (lambda: listing(BOB, replace(LISTED, content="<change 1>")), "instead of"),
    "a denied one listed": (lambda: listing(ANN, LISTED, Listed("b", "deny 2", "SENT")), "instead of None"),
    "a failed one listed for another": (
        lambda: listing(ANN, Listed("c", "pass 3", "FAILED"), lane="strict"),
        "listed for ann",
    ),
    "one that is not kept listed": (lambda: listing(BOB, LISTED, Listed("d", "pass 5", "SENT")), "instead of None"),
    "a stranger listed": (lambda: listing(BOB, LISTED, Listed("x", "pass 9", "SENT")), "nobody sent it"),
    "listed in another order": (
        lambda: listing(BOB, *reversed(GOOD.listings[BOB, PLAIN]), lane=PLAIN),
        "p, which was told of earlier",
    ),
    # Where there is no flow
    "one that nobody had to allow is gone": (
        lambda: replace(GOOD, journal={**GOOD.journal, PLAIN: SAID[:1]}),
        "accepted and lost (CREATE)",
    ),
    "one that nobody had to allow is there twice": (
        lambda: replace(GOOD, journal={**GOOD.journal, PLAIN: (*SAID, SAID[0])}),
        "2 verdicts",
    ),
    "one token made two messages without a flow": (
        lambda: replace(GOOD, journal={**GOOD.journal, PLAIN: (*SAID, replace(SAID[0], message_id="g"))}),
        "with one token and made 2 messages",
    ),
    "live in another order": (lambda: hears(3, *reversed(SAID), lane=PLAIN), "not one stretch"),
    # What users know who came back
    "one that came back misses something": (lambda: knows(BOB, PLAIN, p="pass 7"), "bob never came to know of it"),
    "one that came back was shown another's denied one": (
        lambda: knows(BOB, "moderated", a="pass 4", b="deny 2"),
        "bob was shown 'deny 2' instead of None",
    ),
    "one that came back was shown what is not yet changed": (
        lambda: knows(ANN, "moderated", a="change 1"),
        "ann was shown 'change 1'",
    ),
    # What processors saw
    "never handed over": (lambda: replace(GOOD, deliveries=GOOD.deliveries[:-1]), "was never handed"),
    "handed over with wrong content": (
        lambda: delivered(Delivery("obey", "callback 1", "a", "<change 1>")),
        "was handed what it must not be",
    ),
    "handed to whom it was not for": (
        lambda: delivered(Delivery("stamp", "callback 9", "a", "<change 1>")),
        "was handed what it must not be",
    ),
    "another callback id when invoked again": (
        lambda: delivered(Delivery("obey", "callback 9", "a", "change 1")),
        "2 callback ids for one step",
    ),
    "one callback id for two": (
        lambda: delivered(Delivery("obey", "callback 1", "b", "deny 2")),
        "is for several steps",
    ),
    "a callback taken twice": (lambda: called_back(Callback("callback 2", 200)), "was taken 2 times"),
    "a first callback refused": (lambda: called_back(Callback("callback 9", 403)), "none had been taken"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_checks_see(wrong: str) -> None:
    history, words = WRONG[wrong]

    assert [complaint for complaint in complaints(history()) if words in complaint], complaints(history())
