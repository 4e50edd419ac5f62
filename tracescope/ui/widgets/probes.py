"""The probes panel: every session with its state, every probe with its counts, its rate, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from tracescope.errors import TraceScopeError
from tracescope.printable import printable
from tracescope.ui.costs import Costs, Price
from tracescope.ui.feed import Feed, ProbeState
from tracescope.ui.look import fit
from tracescope.ui.session_text import state_words
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession

__all__ = ("PanelRow", "ProbePanel")

_MOST_ROWS = 8


class PanelRow(NamedTuple):
    """A session (`probe` is None), or one of its probes."""

    session: EventSession
    probe: ProbeState | None
    price: Price = Price()


class _Column(NamedTuple):
    title: str
    width: int
    shown_from: int


_COLUMNS = (
    _Column("events", 11, 0),
    _Column("/s", 9, 0),
    _Column("lost", 7, 46),
    _Column("skipped", 9, 60),
    _Column("ns/run", 7, 70),
    _Column("CPU", 6, 70),
)


class ProbePanel(RowList):
    """As high as it must be, up to a limit."""

    empty_text = "nothing is attached"

    def __init__(self, feed: Feed, costs: Costs) -> None:
        super().__init__()
        self._feed = feed
        self._costs = costs
        self._rows: list[PanelRow] = []

    @property
    def row_count(self) -> int:
        """Sessions and probes."""
        return len(self._rows)

    @property
    def selected(self) -> PanelRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def update_probes(self) -> None:
        """Take the newest numbers."""
        before, self._rows = len(self._rows), list(self._made())
        if len(self._rows) != before:
            self.styles.height = min(len(self._rows), _MOST_ROWS) + self.header_lines + self.styles.gutter.height
        self.reset_rows(self.cursor)

    def _made(self) -> Iterator[PanelRow]:
        for session in self._feed.sessions:
            yield PanelRow(session, None)
            for index, state in enumerate(self._feed.states(session)):
                yield PanelRow(session, state, self._costs.of(session, index))

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles; why costs are not known."""
        problem = self._costs.problem
        name = f"probes ({problem.what}: {problem.why})" if problem is not None else "probes"
        yield fit(printable(name), _name_width(width)), ""
        for column in _shown(width):
            yield " " + fit(column.title, column.width, right=True), ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """A session's state; a probe's numbers, or why it is not attached."""
        session, probe, price = self._rows[index]
        if probe is None:
            good = "rows--good" if session.state == "run" else "rows--unstable"
            yield fit(f"● {state_words(session)}", width), good
        elif probe.error is not None:
            yield from _failed(probe.name, probe.error, width)
        else:
            yield fit(f"  {printable(probe.name)}", _name_width(width)), "rows--stable"
            texts = _texts(probe, price)
            for column in _shown(width):
                text = texts[column.title]
                yield " " + fit(text, column.width, right=True), _style(column.title, text)


def _failed(name: str, error: TraceScopeError, width: int) -> Iterator[Part]:
    half = min(len(name) + 5, max(20, width // 2))
    yield fit(f"  ✗ {printable(name)}", half), "rows--bad"
    yield fit(printable(error.why or error.what), max(0, width - half)), "rows--dim"


def _texts(probe: ProbeState, price: Price) -> dict[str, str]:
    counts = probe.counts
    return {
        "events": f"{counts.events:,}",
        "/s": f"{probe.rate:,}",
        "lost": f"{counts.lost + counts.missed:,}",
        "skipped": f"{counts.skipped:,}",
        "ns/run": "" if price.run_ns is None else f"{price.run_ns:,.0f}",
        "CPU": "" if price.share is None else f"{price.share:.1%}",
    }


def _style(title: str, text: str) -> str:
    if text == "0":
        return "rows--dim"
    return {"lost": "rows--bad", "skipped": "rows--unstable"}.get(title, "")


def _shown(width: int) -> list[_Column]:
    return [column for column in _COLUMNS if width >= column.shown_from]


def _name_width(width: int) -> int:
    return max(0, width - sum(column.width + 1 for column in _shown(width)))
