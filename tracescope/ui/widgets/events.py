"""The event list: rows are record numbers of the feed, decoded and formatted only when they are drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import Reactive, reactive

from tracescope.ui.event_columns import Column, ProbeColumns, cell, general_columns
from tracescope.ui.event_rows import Order, Search, Selection
from tracescope.ui.feed import Feed
from tracescope.ui.look import fit, with_hits
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("EventList",)

_SLICE, _AT_ONCE = 0.01, 0.002
"""Seconds a tick for filtering, for sorting, and for finding: no key waits longer; and before a key is answered."""


class EventList(RowList):
    """Follows the newest event, or sorted the first row, until the user moves; held, it stays on the same events."""

    empty_text = "no events yet"

    # More rows are no reason to lay the whole screen out again, a dozen times a second.
    virtual_size = Reactive(Size(0, 0), layout=False)

    following: reactive[bool] = reactive(True, repaint=False, init=False)

    @dataclass
    class Searched(Message):
        """A search came to its end."""

        text: str
        found: bool

    class Followed(Message):
        """The list follows now, or it does not any more."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.sorted_by = "time"
        self.descending = False
        self._feed = feed
        self._rows: Sequence[int] = range(0)
        self._selection: Selection | None = None
        self._order: Order | None = None
        self._search: Search | None = None
        self._hits: re.Pattern[str] | None = None
        self._probe: str | None = None
        """The only probe whose events are shown: its arguments have columns."""
        self._own = ProbeColumns()
        self._made: tuple[int, list[Column]] = (-1, [])
        """The width, and the columns that are drawn in it until the next update."""
        self._drawn: tuple[object, ...] = ()
        """What the last update had drawn."""

    @property
    def row_count(self) -> int:
        """The records that are kept and match."""
        return len(self._rows)

    @property
    def numbers(self) -> list[int]:
        """The record numbers of the rows, in their order."""
        return list(self._rows)

    @property
    def selected(self) -> int | None:
        """The record number under the cursor."""
        return self._rows[self.cursor] if self.row_count else None

    @property
    def behind(self) -> int:
        """How many records filter and order have not looked at yet."""
        unsorted = self._order.behind if self._order and self.following else 0
        return (self._selection.behind if self._selection else 0) + unsorted

    @property
    def searching(self) -> bool:
        """A search goes on."""
        return self._search is not None

    def show_filter(self, text: str) -> None:
        """Show only events that the filter takes."""
        self._selection = Selection(self._feed, text) if text.strip() else None
        self.empty_text = "nothing matches" if self._selection else "no events yet"
        self._rows, self._search = (), None
        self.sort_by(self.sorted_by, descending=self.descending)

    def sort_next(self) -> None:
        """Sort by the next column that is shown; behind the last comes the order of time again."""
        shown = [column.name for column in self.columns(self.size.width)]
        at = shown.index(self.sorted_by) if self.sorted_by in shown else -1
        self.sort_by(shown[(at + 1) % len(shown)])

    def sort_by(self, name: str, *, descending: bool | None = None) -> None:
        """Sort by a column, numbers among the arguments from the top; by the same column the other way round."""
        if descending is None:
            descending = not self.descending if name == self.sorted_by else name in self._own.numbers
        self.sorted_by, self.descending = name, descending
        in_time = name == "time" and not descending
        self._order = None if in_time else Order(self._feed, self._selection, name, descending=descending)
        self.following = True
        self.update_rows(_AT_ONCE)

    def update_rows(self, seconds: float = _SLICE) -> None:
        """Take what the feed got since the last time, for so long at most."""
        was_empty, held, before = not self.row_count, self.selected, self._rows
        dropped = self._selection.advance(seconds) if self._selection is not None else 0
        if self._order is not None:
            # Held still, nothing new is sorted in.
            if self.following:
                self._order.advance(seconds)
            self._order.prune()
            self._rows = self._order.numbers
        elif self._selection is not None:
            self._rows = self._selection.numbers
        else:
            self._rows = range(self._feed.first, self._feed.end)
            dropped = self._rows[0] - before[0] if before and self._rows else 0
        self._place(held, dropped)
        self._find_on()
        self._measure()
        self._draw()
        if was_empty != (not self.row_count):
            self.screen.refresh_bindings()

    def _place(self, held: int | None, dropped: int) -> None:
        """Stay at the end, or sorted at the top; or on the same events though older ones were dropped."""
        top = self.scroll_offset.y
        if self.following:
            self.reset_rows(0 if self._order else self.row_count - 1, draw=False)
            return
        place = self.cursor - dropped
        if self._order is not None and self.selected != held:
            place = self._rows.index(held) if held in self._rows else self.cursor
            dropped = self.cursor - place
        self.reset_rows(place, draw=False)
        self.scroll_rows(max(0, top - dropped))

    def _draw(self) -> None:
        """Held still, the same events need not be drawn again."""
        shown = [self._rows[index] for index in self._visible()]
        place = self.cursor - self.scroll_offset.y
        drawn = (shown, place, self._probe, self.sorted_by, self.descending, self._order is None)
        if drawn != self._drawn or not shown:
            self._drawn = drawn
            self.refresh()

    def _visible(self) -> range:
        top = self.scroll_offset.y
        return range(top, min(top + self.page, self.row_count))

    def _measure(self) -> None:
        """When one probe is shown, the columns are as wide as what has been on the screen asks for."""
        probe = self._only_probe()
        if probe != self._probe:
            self._probe, self._own = probe, ProbeColumns()
        self._made = (-1, [])
        if probe is not None:
            for index in self._visible():
                self._own.note(self._feed.cells(self._rows[index]))

    def _only_probe(self) -> str | None:
        if self._feed.in_words:
            return None
        if self._selection is not None and (named := self._selection.filter.only_probe):
            return named
        probes = self._feed.shown_probes
        return next(iter(probes)) if len(probes) == 1 else None

    def columns(self, width: int) -> list[Column]:
        """The columns in a list of so many cells."""
        if self._made[0] != width:
            self._made = width, general_columns(width) if self._probe is None else self._own.columns(width)
        return self._made[1]

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles; the one that is sorted by with its direction."""
        for column in self.columns(width):
            sorted_ = column.name == self.sorted_by and self._order is not None
            title = column.name + ("▼" if self.descending else "▲") if sorted_ else column.name
            yield fit(title, column.width, right=column.right) + " ", "rows--typed" if sorted_ else ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One event."""
        number = self._rows[index]
        line = self._feed.line(number)
        cells = self._feed.cells(number) if self._probe is not None else {}
        for column in self.columns(width):
            text = cell(column.name, line, cells)
            if column.name == "time":
                text = text[: column.width]
            failed = line.failed and column.name in ("arguments", "ret")
            style = "rows--bad" if failed else column.style
            yield from with_hits(fit(text, column.width, right=column.right) + " ", self._hits, style)

    # Finding

    def find(self, text: str, step: int) -> None:
        """Go to the next event that the text takes: `step` 1 down the list, -1 up, round at its end."""
        words = [re.escape(word) for word in re.findall(r'[^\s":*?<>=-]+', text)]
        self._hits = re.compile("|".join(words), re.IGNORECASE) if words else None
        self.following = False
        if self.row_count:
            self._search = Search(self._feed, self._rows, text, self.cursor, step)
            self._find_on()
        else:
            self.post_message(self.Searched(text, found=False))
        self.refresh()

    def forget_find(self) -> None:
        """Nothing stands out any more."""
        self._hits = self._search = None
        self.refresh()

    def _find_on(self) -> None:
        search = self._search
        if search is None:
            return
        search.advance(_SLICE)
        if search.over:
            self._search = None
            found = search.found is not None and search.found in self._rows
            if search.found is not None and found:
                self.cursor = self._rows.index(search.found)
            self.following = False
            self.post_message(self.Searched(search.text, found))

    # Moving

    def watch_following(self) -> None:
        """Who says so says it at once."""
        self.post_message(self.Followed())

    def watch_virtual_size(self, size: Size) -> None:
        """The scroll bar shows how many rows there are."""
        self._scroll_update(size)

    def watch_cursor(self, before: int, after: int) -> None:
        """Moving up holds the list still, sorted any move does; reaching the end does not start it again by itself."""
        if after < before or (self._order is not None and after != before):
            self.following = False
        super().watch_cursor(before, after)

    def on_mouse_scroll_up(self) -> None:
        """The wheel holds the list still, too."""
        self.following = False

    def action_last(self) -> None:
        """Go to the end; in the order of time, follow."""
        self.following = self._order is None
        super().action_last()

    def follow(self) -> None:
        """Follow again."""
        self.following = True
        self.update_rows(_AT_ONCE)

    def on_click(self, event: events.Click) -> None:
        """A click on a title sorts."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= self.header_lines:
            return
        end = 0
        for column in self.columns(self.scrollable_content_region.width):
            end += column.width + 1
            if offset.x < end:
                self.sort_by(column.name)
                return
