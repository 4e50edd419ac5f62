"""A list of any length that draws only the rows on the screen: the base of table, facets and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracescope.ui import keys

__all__ = ("Part", "RowList")

Part = tuple[str, str]
"""A piece of a line and the component class that styles it ("" for plain). The text must be printable."""


class _Line(Strip):
    """Textual's line keeps its parts; one that is its own only part would wait for the collector to be gone."""

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """A whole line in one part is that line."""
        places = list(cuts)
        return [self] if places == [self.cell_length] else super().divide(places)


class RowList(ScrollView, can_focus=True):
    """A cursor over `row_count` rows. Subclasses say how many there are and what each one looks like."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--header",
        "rows--cursor",
        "rows--hit",
        "rows--dim",
        "rows--stable",
        "rows--typed",
        "rows--unstable",
        "rows--good",
        "rows--bad",
        "rows--bar",
        *(f"rows--heat{shade}" for shade in range(1, 5)),
    }
    BINDINGS: ClassVar[list[BindingType]] = list(keys.ROWS)

    header_lines: ClassVar[int] = 1
    empty_text: str = ""
    """Drawn in place of the first row when there is none."""

    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    _frame: tuple[int, int, Style] = (0, 0, Style())

    @dataclass
    class Moved(Message):
        """The cursor stands on another row, or the row under it is another one."""

        rows: RowList
        index: int

        @property
        def control(self) -> RowList:
            """The list that moved."""
            return self.rows

        def can_replace(self, message: Message) -> bool:
            """Only the newest place matters."""
            return isinstance(message, RowList.Moved) and message.rows is self.rows

    @dataclass
    class Chosen(Message):
        """Enter or a double click on a row."""

        rows: RowList
        index: int

        @property
        def control(self) -> RowList:
            """The list that was chosen from."""
            return self.rows

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def row_parts(self, index: int, width: int) -> Iterable[Part]:
        """The pieces of one row; what is over `width` cells is cut."""
        raise NotImplementedError

    def header_parts(self, _width: int) -> Iterable[Part]:
        """The pieces of the header line."""
        return ()

    @property
    def page(self) -> int:
        """The rows that fit on the screen."""
        return max(1, self.size.height - self.header_lines)

    def reset_rows(self, cursor: int, *, draw: bool = True) -> None:
        """The rows changed: take the new length and put the cursor on row `cursor`."""
        self.virtual_size = Size(1, self.row_count + self.header_lines)
        self.set_reactive(RowList.cursor, self.validate_cursor(cursor))
        self.show_cursor()
        if draw:
            self.refresh()

    def show_cursor(self) -> None:
        """Scroll just so far that the cursor is on the screen."""
        top, page = self.scroll_offset.y, self.page
        if self.cursor < top:
            self.scroll_rows(self.cursor)
        elif self.cursor >= top + page:
            self.scroll_rows(self.cursor - page + 1)

    def scroll_rows(self, top: int) -> None:
        """Make `top` the first row on the screen, at once."""
        self.scroll_to(y=top, animate=False, force=True)

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, self.row_count - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        """Redraw the two lines that changed and tell who listens."""
        for index in (before, after):
            self.refresh(Region(0, index - self.scroll_offset.y + self.header_lines, self.size.width, 1))
        self.show_cursor()
        self.post_message(self.Moved(self, after))

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of one frame: what they share is worked out once.

        A list without border, padding and opacity goes without Textual's cache of styled lines: a fifth of a frame.
        """
        whole = self.region.width
        self._frame = self.scrollable_content_region.width, whole, self.rich_style
        if self.styles.gutter or self.opacity < 1:
            return super().render_lines(crop)
        _, background = self.background_colors
        strips = [self.render_line(y) for y in crop.line_range]
        for filter_ in self.get_line_filters():
            strips = [_Line(filter_.apply(list(strip), background), whole) for strip in strips]
        return strips if crop.column_span == (0, whole) else [strip.crop(*crop.column_span) for strip in strips]

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the header, a row, or nothing."""
        width, whole, base = self._frame
        index = y - self.header_lines + self.scroll_offset.y
        if y < self.header_lines:
            base += self.get_component_rich_style("rows--header")
            parts = self.header_parts(width)
        elif index < self.row_count:
            if index == self.cursor:
                base += self.get_component_rich_style("rows--cursor")
            parts = self.row_parts(index, width)
        else:
            parts = [(self.empty_text, "rows--dim")] if index == 0 else ()
        return self._strip(parts, whole, base)

    def _strip(self, parts: Iterable[Part], width: int, base: Style) -> Strip:
        """The pieces in exactly `width` cells. A line of one byte a cell needs nobody to measure it."""
        style, line, room = self.get_component_rich_style, list[Segment](), width
        for text, name in parts:
            if not text.isascii():
                room = -1
            piece = text[:room] if room >= 0 else text
            room -= len(piece) if room >= 0 else 0
            if piece:
                line.append(Segment(piece, base + style(name, partial=True) if name else base))
        if room < 0:
            return _Line(line).adjust_cell_length(width, base)
        if room:
            line.append(Segment(" " * room, base))
        return _Line(line, width)

    def on_resize(self) -> None:
        """Keep the cursor on the screen."""
        self.show_cursor()

    def on_focus(self) -> None:
        """The cursor looks different."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a second one chooses."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self.header_lines:
            return
        index = offset.y - self.header_lines + self.scroll_offset.y
        if index < self.row_count:
            self.cursor = index
            if event.chain == 2:
                self.action_choose()

    def action_move(self, rows: int) -> None:
        """Move the cursor by some rows."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor by a page; the page moves with it."""
        self.scroll_rows(self.scroll_offset.y + pages * self.page)
        self.cursor += pages * self.page

    def action_first(self) -> None:
        """Go to the first row."""
        self.cursor = 0

    def action_last(self) -> None:
        """Go to the last row."""
        self.cursor = self.row_count - 1

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.row_count:
            self.post_message(self.Chosen(self, self.cursor))
