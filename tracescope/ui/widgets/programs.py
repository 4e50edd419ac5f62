"""The program table: one row a program, sorted by any column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from textual import events

from tracescope.printable import printable
from tracescope.processes import ProgramSummary, duration_words, share_words
from tracescope.ui.look import fit
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("ProgramTable",)


class _Column(NamedTuple):
    title: str
    width: int
    """0: what the others leave."""
    shown_from: int
    text: Callable[[ProgramSummary], str]
    key: Callable[[ProgramSummary], Any]
    numeric: bool = True


def _share(row: ProgramSummary) -> str:
    return share_words(row.seen_share if row.cpu_share is None else row.cpu_share)


def _exit(row: ProgramSummary) -> str:
    if not row.exits:
        return ""
    words, count = row.exits[0]
    return words if len(row.exits) == 1 else f"{share_words(count / max(row.ended, 1))} {words}"


def _parent(row: ProgramSummary) -> str:
    parent = row.parents[0][0] if row.parents else None
    if parent is None:
        return ""
    more = f" +{len(row.parents) - 1}" if len(row.parents) > 1 else ""
    return f"{parent.program.rpartition('/')[2]} {parent.pid}{more}"


def _life(row: ProgramSummary) -> str:
    return "" if row.median_life_ns is None else duration_words(row.median_life_ns)


_COLUMNS = (
    _Column("program", 0, 0, lambda row: row.program or "(others)", lambda row: row.program, numeric=False),
    _Column("starts", 8, 0, lambda row: f"{row.starts:,}", lambda row: row.starts),
    _Column("/min", 7, 60, lambda row: f"{row.starts_per_minute:,.0f}", lambda row: row.starts_per_minute),
    _Column("failed", 7, 100, lambda row: f"{row.failures:,}", lambda row: row.failures),
    _Column("alive", 6, 90, lambda row: f"{row.alive:,}", lambda row: row.alive),
    _Column("CPU", 5, 0, _share, lambda row: (row.seen_share, row.recent_starts, row.starts)),
    _Column("CPU time", 8, 110, lambda row: duration_words(row.cpu_ns), lambda row: row.cpu_ns),
    _Column("life", 7, 50, _life, lambda row: -1 if row.median_life_ns is None else row.median_life_ns),
    _Column("exit", 15, 70, _exit, _exit, numeric=False),
    _Column("parent", 22, 130, _parent, _parent, numeric=False),
)
_TITLES = tuple(column.title for column in _COLUMNS)
_MARK = 2


class ProgramTable(RowList):
    """A loop is marked ↻ and red, a program that mostly lives short is yellow."""

    empty_text = "no program has started yet"

    def __init__(self, short_lived_ns: int) -> None:
        super().__init__()
        self._short_lived_ns = short_lived_ns
        self.sorted_by = "CPU"
        self.descending = True
        self._rows: list[ProgramSummary] = []
        self._loops: frozenset[str] = frozenset()
        self._held: str | None = None

    @property
    def row_count(self) -> int:
        """The programs."""
        return len(self._rows)

    @property
    def selected(self) -> ProgramSummary | None:
        """The program under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def show_programs(self, rows: Sequence[ProgramSummary], loops: frozenset[str]) -> None:
        """Take other rows; the cursor stays on the program that was chosen."""
        self._rows, self._loops = list(rows), loops
        self._arrange()

    def sort_next(self) -> None:
        """Sort by the next column that is shown."""
        shown = [column.title for column, _ in _layout(self.size.width)]
        at = shown.index(self.sorted_by) if self.sorted_by in shown else -1
        self.sort_by(shown[(at + 1) % len(shown)])

    def sort_by(self, title: str) -> None:
        """Sort by a column, numbers from the top; by the same column the other way round."""
        column = _COLUMNS[_TITLES.index(title)]
        self.descending = not self.descending if title == self.sorted_by else column.numeric
        self.sorted_by = title
        self._arrange()

    def _arrange(self) -> None:
        key = _COLUMNS[_TITLES.index(self.sorted_by)].key
        self._rows.sort(key=lambda row: row.program)
        self._rows.sort(key=key, reverse=self.descending)
        place = next((at for at, row in enumerate(self._rows) if row.program == self._held), 0)
        self.reset_rows(place)

    def watch_cursor(self, before: int, after: int) -> None:
        """Remember the program that the user chose; at the top, whatever is there."""
        self._held = self._rows[after].program if self._rows and after else None
        super().watch_cursor(before, after)

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles; the one that is sorted by with its direction."""
        yield " " * _MARK, ""
        for column, size in _layout(width):
            sorted_ = column.title == self.sorted_by
            title = column.title + ("▼" if self.descending else "▲") if sorted_ else column.title
            yield fit(title, size, right=column.numeric) + " ", "rows--typed" if sorted_ else ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One program."""
        row = self._rows[index]
        loop = row.program in self._loops
        short = row.median_life_ns is not None and row.median_life_ns < self._short_lived_ns
        yield "↻ " if loop else " " * _MARK, "rows--bad"
        styles = {"failed": "rows--bad" if row.failures else "", "parent": "rows--dim"}
        styles["program"] = "rows--bad" if loop else ""
        styles["life"] = "rows--unstable" if short else ""
        for column, size in _layout(width):
            text = printable(column.text(row))
            yield fit(text, size, right=column.numeric) + " ", styles.get(column.title, "")

    def on_click(self, event: events.Click) -> None:
        """A click on a title sorts."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= self.header_lines:
            return
        end = _MARK
        for column, size in _layout(self.scrollable_content_region.width):
            end += size + 1
            if offset.x < end:
                self.sort_by(column.title)
                return


def _layout(width: int) -> list[tuple[_Column, int]]:
    """The columns that fit, each with its width."""
    shown = [column for column in _COLUMNS if width >= column.shown_from]
    room = width - _MARK - sum(column.width for column in shown) - len(shown)
    return [(column, column.width or room) for column in shown]
