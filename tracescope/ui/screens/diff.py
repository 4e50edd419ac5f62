"""What differs between a snapshot and the host that is browsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from tracescope.errors import TraceScopeError
from tracescope.host import open_host
from tracescope.model import SourceReport
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.look import fit
from tracescope.ui.messages import DiffReady, SourceChanged
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog

__all__ = ("DiffLines", "DiffScreen")

_STYLES = {"  -": "rows--bad", "  +": "rows--good", "  ~": "rows--unstable", "  !": "rows--unstable"}
_DETAIL = " " * 6
"""How a line begins that belongs to the change above it."""


class DiffLines(RowList):
    """The diff's lines; a filter keeps the changes that have the text in any of their lines."""

    header_lines = 0

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[list[str]] = []
        self._shown: list[str] = []
        self.empty_text = "comparing …"

    @property
    def row_count(self) -> int:
        """The lines that are shown."""
        return len(self._shown)

    def show_lines(self, lines: Iterable[str]) -> None:
        """Take the whole diff."""
        self._blocks = list(_blocks(lines))
        self.empty_text = "nothing has this text"
        self.show_filter("")

    def show_filter(self, text: str) -> None:
        """Show only the changes with this text."""
        low = text.lower()
        self._shown = [line for block in self._blocks if any(low in line.lower() for line in block) for line in block]
        self.reset_rows(0)

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One line."""
        line = self._shown[index]
        yield fit(printable(line), width), "rows--dim" if line.startswith(_DETAIL) else _STYLES.get(line[:3], "")


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if block and not line.startswith(_DETAIL):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


class DiffScreen(Screen[None]):
    """Reads the snapshot in a worker, then compares."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.DIFF)
    AUTO_FOCUS = "DiffLines"

    def __init__(self, path: Path, catalog: Catalog, label: str) -> None:
        super().__init__()
        self._path = path
        self._catalog = catalog
        self._label = label

    def compose(self) -> ComposeResult:
        """Title, filter, lines."""
        yield Static(
            Content(f"from {printable(str(self._path))} to {printable(self._label)}"), classes="title", markup=False
        )
        yield FilterLine("text in a change: sched, tracepoint:, retyped")
        yield DiffLines()
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin."""
        self._compare()

    @work(thread=True, group="diff")
    def _compare(self) -> None:
        from tracescope.catalog.diff import diff
        from tracescope.catalog.diff_text import diff_lines
        from tracescope.catalog.read import ALL_SOURCES, read_sources

        def report(state: SourceReport) -> None:
            self.post_message(SourceChanged(state))

        try:
            host = open_host(str(self._path))
            try:
                # bpftrace's listing is slow to read, and decides nothing of what is compared.
                before = read_sources(host, [name for name in ALL_SOURCES if name != "bpftrace"], report)
            finally:
                host.close()
            found: Sequence[str] | TraceScopeError = list(diff_lines(diff(before, self._catalog)))
        except TraceScopeError as error:
            found = error
        self.post_message(DiffReady(found))

    @on(SourceChanged)
    def _show_progress(self, event: SourceChanged) -> None:
        event.stop()
        lines = self.query_one(DiffLines)
        lines.empty_text = f"{event.report.name}: {event.report.state.value} {event.report.count or ''}"
        lines.refresh()

    @on(DiffReady)
    def _show(self, event: DiffReady) -> None:
        if isinstance(event.lines, TraceScopeError):
            self.app.switch_screen(RefusalScreen(event.lines))
        else:
            self.query_one(DiffLines).show_lines(event.lines)
            self._filter()

    @on(Input.Changed)
    def _filter(self) -> None:
        lines, line = self.query_one(DiffLines), self.query_one(FilterLine)
        lines.show_filter(line.input.value)
        line.show_hits(f"{lines.row_count:,} ")

    @on(FilterInput.Left)
    def _leave(self) -> None:
        self.query_one(DiffLines).focus()

    def action_filter(self) -> None:
        """Go to the filter line."""
        self.query_one(FilterInput).focus()

    def action_close(self) -> None:
        """Back to the screen before."""
        self.dismiss()
