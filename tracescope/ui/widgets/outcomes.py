"""The live list of the Processes screen: the latest execs, failed execs and ends, formatted when they are drawn."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from textual.reactive import reactive

from tracescope.printable import printable
from tracescope.processes import ExecEvent, ExitEvent, argv_words, duration_words, exit_words, program_of
from tracescope.ui.look import fit
from tracescope.ui.process_feed import Outcome, ProcessFeed
from tracescope.ui.process_filter import NO_FILTER, ProcessFilter
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("OutcomeList", "clock_words", "outcome_command")


class _Column(NamedTuple):
    title: str
    width: int
    shown_from: int
    right: bool = False


_COLUMNS = (
    _Column("time", 12, 50),
    _Column("pid", 7, 0, right=True),
    _Column("ppid", 7, 70, right=True),
    _Column("uid", 5, 110, right=True),
    _Column("comm", 20, 130),
    _Column("result", 14, 40),
    _Column("life", 7, 60, right=True),
)


class OutcomeList(RowList):
    """Follows the newest outcome until the user moves away from it."""

    empty_text = "nothing has happened yet"

    following: reactive[bool] = reactive(True, repaint=False, init=False)

    def __init__(self, feed: ProcessFeed) -> None:
        super().__init__()
        self._feed = feed
        self._rows: Sequence[Outcome] = ()
        self._held = 0

    @property
    def row_count(self) -> int:
        """The outcomes that are kept and match."""
        return len(self._rows)

    @property
    def selected(self) -> Outcome | None:
        """The outcome under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def show_outcomes(self, wanted: ProcessFilter) -> None:
        """Take what the feed has; stay at the end, or on the same outcome though older ones were dropped."""
        table = self._feed.table
        rows = self._feed.outcomes
        self._rows = rows if wanted == NO_FILTER else [row for row in rows if wanted.takes_outcome(row, table)]
        if self.following:
            self.reset_rows(self.row_count - 1)
            return
        above = self.cursor - self.scroll_offset.y
        self.reset_rows(bisect_left(self._rows, self._held, key=lambda row: row.number))
        self.scroll_rows(max(0, self.cursor - above))

    def watch_cursor(self, before: int, after: int) -> None:
        """Moving up holds the list still."""
        if after < before:
            self.following = False
        if self._rows:
            self._held = self._rows[after].number
        super().watch_cursor(before, after)

    def on_mouse_scroll_up(self) -> None:
        """The wheel holds the list still, too."""
        self.hold()

    def hold(self) -> None:
        """Stay on the selected outcome."""
        self.following = False
        if self._rows:
            self._held = self._rows[self.cursor].number

    def action_last(self) -> None:
        """Go to the end and follow."""
        self.following = True
        super().action_last()

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles of the columns that fit."""
        for column in _COLUMNS:
            if width >= column.shown_from:
                yield fit(column.title, column.width, right=column.right) + " ", ""
        yield "command", ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One outcome."""
        outcome = self._rows[index]
        failed = outcome.walk is not None and not outcome.walk.found
        styles = {"result": _result_style(outcome), "comm": "rows--typed"}
        life = outcome.life_ns
        styles["life"] = "rows--unstable" if life is not None and life < self._feed.table.short_lived_ns else ""
        texts = _texts(outcome)
        room = width
        for column in _COLUMNS:
            if width >= column.shown_from:
                text = fit(printable(texts[column.title]), column.width, right=column.right)
                yield text + " ", styles.get(column.title, "rows--dim")
                room -= column.width + 1
        yield fit(printable(outcome_command(outcome)), room), "rows--bad" if failed else ""


def _texts(outcome: Outcome) -> dict[str, str]:
    event, life = outcome.event, outcome.life_ns
    return {
        "time": clock_words(event.time_ns),
        "pid": str(event.pid),
        "ppid": "" if event.ppid is None else str(event.ppid),
        "uid": "" if event.uid is None else str(event.uid),
        "comm": _comm(outcome),
        "result": _result(outcome),
        "life": "" if life is None else duration_words(life),
    }


def clock_words(time_ns: int) -> str:
    """The time of day with milliseconds, in this machine's zone."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{rest // 1_000_000:03}"


def _comm(outcome: Outcome) -> str:
    event = outcome.event
    if isinstance(event, ExecEvent) and event.comm_before and event.comm_before != event.comm:
        return f"{event.comm_before}→{event.comm}"
    return event.comm or ""


def _result(outcome: Outcome) -> str:
    event, process = outcome.event, outcome.process
    if outcome.walk is not None:
        return "found" if outcome.walk.found else outcome.walk.errno
    if isinstance(event, ExitEvent):
        return exit_words(event)
    if outcome.over and process is not None:
        return process.exit_words
    return "runs" if process is None or not process.runs or process.runs[-1] is event else "then ran more"


def _result_style(outcome: Outcome) -> str:
    result = _result(outcome)
    if result in ("runs", "then ran more", "found"):
        return "rows--good" if result == "runs" else "rows--dim"
    return "" if result == "exit 0" else "rows--bad"


def outcome_command(outcome: Outcome) -> str:
    """What was run, with its arguments, or what came of the walk; not safe for a terminal."""
    event = outcome.event
    if outcome.walk is not None:
        tried = f"  ({outcome.walk.words()})" if outcome.walk.tried > 1 or outcome.walk.found else ""
        return f"{outcome.walk.program or '(unreadable)'} {_arguments(outcome)}{tried}"
    if isinstance(event, ExecEvent):
        return f"{program_of(event)} {_arguments(outcome)}"
    return f"({outcome.process.program if outcome.process else event.comm or '?'}, no exec)"


def _arguments(outcome: Outcome) -> str:
    event = outcome.event
    if isinstance(event, ExitEvent):
        return ""
    words = argv_words(event)
    return f"[{words}]" if words else ""
