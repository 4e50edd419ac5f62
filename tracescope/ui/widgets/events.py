"""The event list: rows are record numbers of the feed, decoded and formatted only when they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from textual.reactive import reactive

from tracescope.ui.feed import Feed, Selection
from tracescope.ui.look import fit
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("EventList",)

_SLICE = 0.03
"""Seconds of filtering a tick."""


class _Column(NamedTuple):
    title: str
    width: int
    narrow: int
    """Its width in a list of under _WIDE cells."""
    shown_from: int
    right: bool = False


_WIDE = 100
_STYLES = {"probe": "rows--stable", "pid": "", "comm": ""}
_COLUMNS = (
    _Column("time", 15, 12, 0),
    _Column("cpu", 3, 3, 110, right=True),
    _Column("probe", 24, 18, 50),
    _Column("pid", 7, 7, 40, right=True),
    _Column("tid", 7, 7, 120, right=True),
    _Column("ppid", 7, 7, 90, right=True),
    _Column("comm", 15, 10, 60),
)


def _columns(width: int) -> Iterator[tuple[_Column, int]]:
    """The columns that fit, each with its width; the arguments take the rest."""
    return ((c, c.width if width >= _WIDE else c.narrow) for c in _COLUMNS if width >= c.shown_from)


class EventList(RowList):
    """Follows the newest event until the user moves away from it; held still, it stays on the same events."""

    empty_text = "no events yet"

    following: reactive[bool] = reactive(True, repaint=False, init=False)

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._rows: Sequence[int] = range(0)
        self._selection: Selection | None = None

    @property
    def row_count(self) -> int:
        """The records that are kept and match."""
        return len(self._rows)

    @property
    def selected(self) -> int | None:
        """The record number under the cursor."""
        return self._rows[self.cursor] if self.row_count else None

    @property
    def behind(self) -> int:
        """How many records the filter has not looked at yet."""
        return self._selection.behind if self._selection else 0

    def show_filter(self, text: str) -> None:
        """Show only events whose line holds the text."""
        self._selection = Selection(self._feed, text) if text.strip() else None
        self.empty_text = "nothing matches" if self._selection else "no events yet"
        self._rows = ()
        self.update_rows()

    def update_rows(self) -> None:
        """Take what the feed got since the last time."""
        was_empty = not self.row_count
        before = self._rows
        if self._selection is not None:
            dropped = self._selection.advance(_SLICE)
            self._rows = self._selection.numbers
        else:
            self._rows = range(self._feed.first, self._feed.end)
            dropped = self._rows[0] - before[0] if before and self._rows else 0
        self._place(dropped)
        if was_empty != (not self.row_count):
            self.screen.refresh_bindings()

    def _place(self, dropped: int) -> None:
        """Stay at the end, or on the same events though older ones were dropped."""
        top = self.scroll_offset.y
        if self.following:
            self.reset_rows(self.row_count - 1)
        else:
            self.reset_rows(self.cursor - dropped)
            self.scroll_rows(max(0, top - dropped))

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles of the columns that fit."""
        for column, size in _columns(width):
            yield fit(column.title, size, right=column.right) + " ", ""
        yield "arguments", ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One event."""
        line = self._feed.line(self._rows[index])
        room = width
        for column, size in _columns(width):
            text = getattr(line, column.title)
            if column.title == "time":
                text = text[:size]
            elif column.title == "probe":
                text = text.rpartition(":")[2]
            yield fit(text, size, right=column.right) + " ", _STYLES.get(column.title, "rows--dim")
            room -= size + 1
        yield fit(line.words, room), "rows--bad" if line.failed else ""

    def watch_cursor(self, before: int, after: int) -> None:
        """Moving up holds the list still; reaching the end does not start it again by itself."""
        if after < before:
            self.following = False
        super().watch_cursor(before, after)

    def on_mouse_scroll_up(self) -> None:
        """The wheel holds the list still, too."""
        self.following = False

    def action_last(self) -> None:
        """Go to the end and follow."""
        self.following = True
        super().action_last()
