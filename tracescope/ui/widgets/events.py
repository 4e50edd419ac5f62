"""The event list: rows are record numbers of the feed, decoded and formatted only when they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.reactive import reactive

from tracescope.ui.feed import Feed, Selection
from tracescope.ui.look import fit
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("EventList",)

_SLICE = 0.03
"""Seconds of filtering a tick."""
# title, width, right-aligned, shown from this list width on
_COLUMNS = (
    ("time", 15, False, 0),
    ("cpu", 3, True, 110),
    ("probe", 24, False, 50),
    ("pid", 7, True, 40),
    ("tid", 7, True, 120),
    ("ppid", 7, True, 90),
    ("comm", 15, False, 60),
)


class EventList(RowList):
    """Follows the newest event until the user moves away from it; held still, it stays on the same events."""

    empty_text = "no events yet"

    following: reactive[bool] = reactive(True, repaint=False, init=False)

    def __init__(self, feed: Feed, *, id: str | None = None) -> None:
        super().__init__(id=id)
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
        before = self._rows
        if self._selection is not None:
            dropped = self._selection.advance(_SLICE)
            self._rows = self._selection.numbers
        else:
            self._rows = range(self._feed.first, self._feed.end)
            dropped = self._rows[0] - before[0] if before and self._rows else 0
        self._place(dropped)

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
        for title, size, right, shown_from in _COLUMNS:
            if width >= shown_from:
                yield fit(title, size, right=right) + " ", ""
        yield "arguments", ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One event."""
        line = self._feed.line(self._rows[index])
        room = width
        for title, size, right, shown_from in _COLUMNS:
            if width >= shown_from:
                value = getattr(line, title)
                text = value.rpartition(":")[2] if title == "probe" else value
                style = "rows--stable" if title == "probe" else "" if title in ("pid", "comm") else "rows--dim"
                yield fit(text, size, right=right) + " ", style
                room -= size + 1
        yield fit(line.words, room), ""

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
