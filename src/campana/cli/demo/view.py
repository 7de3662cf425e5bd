"""What the demo shows. Lines are only added, so it reads the same in a terminal, a pipe and a file."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from io import TextIOWrapper

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from campana.cli.demo.cases import CREATED, DENIED, FAILED, FORBIDDEN, PENDING, Case, Event, Flow, Outcome
from campana.cli.demo.session import Heard

WIDTH_MAX = 100
TIME = 7
GAP = 2
ABOUT_MESSAGES = "_CHANNEL_MESSAGE"

# event → glyph, style, what has become of the message. Glyphs and words say it all: colour is only a help.
LOOKS = {
    PENDING: ("◌", "yellow", "in the flow"),
    CREATED: ("✓", "cyan", "released to the channel"),
    DENIED: ("✗", "magenta", "denied and dropped"),
    FAILED: ("✗", "magenta", "failed, held back"),
}
OTHER = ("•", "", "")
SHOWN_STATUS = {FORBIDDEN: "403, not stored"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # as any other command here (cli/main.py)


class View:
    """Writes to standard output, at most 100 columns wide."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that has no ✓ shows ?, beside the words
        self._console = console = _Console(highlight=False, markup=False, emoji=False)
        width = console.width if console.is_terminal or "COLUMNS" in os.environ else WIDTH_MAX
        console.width = min(width, WIDTH_MAX)
        self._narrow = console.width < WIDTH_MAX
        lanes = console.width - 1 - TIME - 3 * GAP
        ann = len(PENDING) + GAP + 1 if not self._narrow else lanes * 2 // 5
        self._widths = (TIME, ann, (lanes - ann) // 2, lanes - ann - (lanes - ann) // 2)

    # The beginning

    def title(self) -> None:
        self._blank()
        self._print(Text.assemble(("campana demo", "bold"), " · five messages on their way through channel flows"))
        self._blank()

    def fact(self, name: str, text: str, *, width: int = 8) -> None:
        """One thing that is there now; names stand in a column of `width`."""
        table = Table.grid(padding=(0, GAP, 0, 0))
        table.add_column(width=width)
        table.add_column(overflow="fold")
        table.add_row(Text(name, "dim"), text)
        self._print(table)

    # The messages

    def heading(self) -> None:
        self._blank()
        self._row("", Text("Ann, the sender", "bold"), Text("where the message is", "bold"), Text("Bob", "bold"))
        self._rule()

    def flow(self, flow: Flow) -> None:
        """The channel has another flow now."""
        parts = [f" · processor {flow.processor}: {flow.about}"]
        if not flow.reachable:
            parts.append(f" · FallbackAction {flow.fallback}")
        self._print(Text.assemble(("channel flow ", "dim"), (flow.name, "bold"), *parts))
        self._blank()

    def sends(self, number: int, case: Case) -> None:
        self._row(Text(str(number), "bold"), Text.assemble("sends ", (quoted(case.content), "bold")), "", "")

    def accepted(self, passed_ms: int, ann: Sequence[Heard], status: str) -> None:
        self._row(time(passed_ms), self._heard(ann), Text(f"accepted: 201, {status}"), "")

    def processor(self, passed_ms: int, text: str, status: str | None = None) -> None:
        where = Text(text)
        if status is not None:
            where.append(f"\nstatus {status}", "dim")
        self._row(time(passed_ms), "", where, "")

    def ended(self, passed_ms: int, ann: Sequence[Heard], bob: Sequence[Heard], status: str) -> None:
        """The last word: what Ann heard last, and all that Bob heard."""
        where = Text("\n").join(
            [Text(LOOKS.get(ann[-1].event, OTHER)[2]), Text(f"status {SHOWN_STATUS.get(status, status)}", "dim")]
        )
        nothing = Text("– nothing", "dim")
        self._row(
            time(passed_ms), self._heard(ann[-1:], content=True), where, self._heard(bob, content=True) or nothing
        )
        self._blank()

    # The end

    def verdicts(self, cases: Iterable[tuple[Case, Outcome, Outcome]]) -> None:
        """Cases with what was expected and what happened."""
        table = Table.grid(padding=(0, GAP, 0, 0))
        for _ in range(5):
            table.add_column()
        heads = ("", "message", "should end so", "what happened", "")
        table.add_row(*(Text(head, "bold") for head in heads))
        for number, (case, expected, happened) in enumerate(cases, 1):
            mark = Text("✓ yes", "cyan") if happened == expected else Text("✗ NO", "bold magenta")
            table.add_row(str(number), case.title, case.rule, summary(happened), mark)
        self._rule()
        self._print(table)
        self._rule()

    def differs(self, case: Case, expected: Outcome, happened: Outcome) -> None:
        """A message that went another way: in what."""
        self._print(Text(f"“{case.content}” went another way:", "bold magenta"))
        for part in fields(Outcome):
            should, did = getattr(expected, part.name), getattr(happened, part.name)
            if should != did:
                self._print(Text(part.name, "bold"))
                self.trouble(_in_full(should), _in_full(did))
        self._blank()

    def trouble(self, expected: str, came: str) -> None:
        for name, text in (("expected", expected), ("came", came)):
            self._print(Text.assemble((f"{name:10}", "bold"), text))

    def log(self, lines: Iterable[str]) -> None:
        """The end of the server's log."""
        self._blank()
        self._print(Text("the end of the server's log", "bold"))
        for line in lines:
            self._console.print(Text(f"  {line}"), soft_wrap=True)

    def line(self, text: str = "", style: str = "") -> None:
        self._print(Text(text, style)) if text else self._blank()

    def commands(self, text: str) -> None:
        """To be copied, so never broken into lines."""
        for line in text.splitlines():
            self._console.print(Text(line, "dim" if line.startswith("#") else ""), soft_wrap=True)

    # What happens while the server is kept

    def ann_hears(self, heard: Heard) -> None:
        self._row("", self._heard([heard], content=True), "", "")

    def bob_hears(self, heard: Heard) -> None:
        self._row("", "", "", self._heard([heard], content=True))

    def processor_says(self, text: str) -> None:
        self._row("", "", Text(text), "")

    # Helpers

    def _heard(self, events: Sequence[Heard], *, content: bool = False) -> Text:
        return Text("\n").join(self._event(event, content=content) for event in events)

    def _event(self, heard: Heard, *, content: bool) -> Text:
        glyph, style, _ = LOOKS.get(heard.event, OTHER)
        name = heard.event.removesuffix(ABOUT_MESSAGES) if self._narrow else heard.event
        text = Text.assemble((f"{glyph} {name}", style))
        if content and heard.content:
            text.append(f"\n  {quoted(heard.content)}")
        return text

    def _row(self, *cells: RenderableType) -> None:
        table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for width in self._widths:
            table.add_column(width=width, overflow="fold")
        table.columns[0].justify = "right"
        table.add_row(*cells)
        self._print(table)

    def _rule(self) -> None:
        self._print(Text("─" * (self._console.width - 1), "dim"))

    def _print(self, what: RenderableType) -> None:
        self._console.print(Padding(what, (0, 0, 0, 1), expand=False))

    def _blank(self) -> None:
        self._console.print()


def time(passed_ms: int) -> Text:
    return Text(f"{passed_ms} ms", "dim")


def quoted(text: str) -> str:
    return f"“{text}”"


def summary(outcome: Outcome) -> str:
    """What the sessions heard, and how the message stands at the end: two lines."""
    stands = "not stored" if outcome.status == FORBIDDEN else outcome.status
    listed = "not in Bob's list" if outcome.listed is None else "in Bob's list"
    return f"Ann {_words(outcome.ann)}; Bob {_words(outcome.bob)}\n{stands}, {listed}"


def _words(events: Iterable[Event]) -> str:
    return ", ".join(event.type.removesuffix(ABOUT_MESSAGES).removesuffix("_CREATE") for event in events) or "nothing"


def _in_full(value: str | tuple[Event, ...] | None) -> str:
    if isinstance(value, tuple):
        return "; ".join(f"{event.type} ({event.status}) {quoted(event.content)}" for event in value) or "nothing"
    return value or "nothing"
