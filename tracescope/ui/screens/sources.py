"""Every source: its state, what it gave, in what time, or why it gave nothing and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content
from textual.widgets import Static

from tracescope.host import Host
from tracescope.model import SourceReport
from tracescope.printable import printable
from tracescope.ui.look import STATE_STYLE
from tracescope.ui.screens.text import TextScreen

__all__ = ("SourcesScreen",)


class SourcesScreen(TextScreen):
    """Kept up to date while the sources are read."""

    def __init__(self, host: Host, reports: Iterable[SourceReport]) -> None:
        super().__init__(f"sources of {host.label}", _text(host, reports))
        self._host = host

    def show_sources(self, reports: Iterable[SourceReport]) -> None:
        """Take the newest states."""
        self.query_one("#text", Static).update(_text(self._host, reports))


def _text(host: Host, reports: Iterable[SourceReport]) -> Content:
    lines = [line for report in reports for line in _source(report)]
    lines += [Content.styled(printable(note), "$text-warning") for note in host.notes]
    return Content("\n").join(lines or [Content("nothing was read yet")])


def _source(report: SourceReport) -> Iterator[Content]:
    numbers = f"{report.count:>9,} in {report.seconds:6.2f} s" if report.count else ""
    yield Content.assemble(
        (f"{printable(report.name):<12}", "bold"), (f"{report.state.value:<10}", STATE_STYLE[report.state]), numbers
    )
    if report.why:
        yield Content.assemble(("            why  ", "dim"), printable(report.why))
    if report.fix:
        yield Content.assemble(("            fix  ", "dim"), (printable(report.fix), "$text-success"))
