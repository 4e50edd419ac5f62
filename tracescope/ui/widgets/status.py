"""The status line: every source's state, what runs, and the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content
from textual.widgets import Static

from tracescope.attach.backend_names import BACKENDS
from tracescope.model import SourceReport, SourceState
from tracescope.printable import printable
from tracescope.ui.feed import Feed
from tracescope.ui.look import STATE_STYLE, amount

__all__ = ("StatusLine", "session_words")

_GAP = Content("  ")


class StatusLine(Static):
    """One row. Sources that read well shrink to name and count when there is little room."""

    def __init__(self, host: str) -> None:
        super().__init__("", markup=False)
        self._host = printable(host)
        self._reports: list[SourceReport] = []
        self._session: Content = Content("")

    def show_sources(self, reports: Iterable[SourceReport]) -> None:
        """Take the sources' newest states."""
        self._reports = list(reports)
        self._draw()

    def show_session(self, session: Content) -> None:
        """Take the words on what is attached."""
        if session.plain != self._session.plain:
            self._session = session
            self._draw()

    def on_resize(self) -> None:
        """More or less room."""
        self._draw()

    def _draw(self) -> None:
        host = Content.styled(f" {self._host} ", "dim")
        lead = Content.assemble(self._session, " ") if self._session.plain else Content("")
        room = self.size.width - lead.cell_length - host.cell_length
        wordings = ([_source(report, brief=brief) for report in self._reports] for brief in (False, True))
        sources = next((text for parts in wordings if (text := _GAP.join(parts)).cell_length <= room), self._problems())
        self.update(Content.assemble(lead, sources.truncate(max(0, room), ellipsis=True, pad=True), host), layout=False)

    def _problems(self) -> Content:
        """For little room: what is not well, and how many are."""
        by_state: dict[SourceState, list[str]] = {}
        for report in self._reports:
            by_state.setdefault(report.state, []).append(printable(report.name))
        well = len(by_state.pop(SourceState.OK, ()))
        words = [Content.styled(f"{amount(well, 'source')} ok", STATE_STYLE[SourceState.OK])] if well else []
        words += [
            Content.assemble((state.value, STATE_STYLE[state]), f" {', '.join(names)}")
            for state, names in by_state.items()
        ]
        return _GAP.join(words)


def _source(report: SourceReport, *, brief: bool) -> Content:
    style = STATE_STYLE[report.state]
    match report.state:
        case SourceState.OK:
            tail = f" {report.count:,}" if brief else f" {report.count:,} in {report.seconds:.2f} s"
        case SourceState.READING:
            tail = f" {report.count:,}…" if report.count else " …"
        case SourceState.WAITING:
            tail = " ·"
        case _:
            tail = f" {report.state.value}"
    return Content.assemble((printable(report.name), style), (tail, "dim"))


def session_words(feed: Feed) -> Iterator[tuple[str, str]]:
    """Each session's state, and what runs it where that is not the usual; nothing when none is there."""
    for state, backend in dict.fromkeys((str(session.state), session.backend) for session in feed.sessions):
        words = f"● {state}" if backend == BACKENDS[0] else f"● {state} on {backend}"
        yield words, "$text-success" if state == "run" else "$text-warning"
        yield "  ", ""
