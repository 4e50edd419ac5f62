"""What the kernel counted: a table that sorts, and histograms with bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType

from tracescope.ui import keys
from tracescope.ui.look import fit
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.attach.counting.shape import Histogram

__all__ = ("LABEL", "BarList", "CountRow", "CountTable", "bar")

_EIGHTHS = " ▏▎▍▌▋▊▉"
LABEL, _COUNT = 16, 11
"""The cells of a bucket's range, and of its count."""
_TABLE = (("count", 12), ("total", 14), ("average", 12), ("min", 10), ("max", 12))
_WIDE = 100
"""Cells from which there is room for the last two columns beside the key."""


_MISSING = float("-inf")


class CountRow(NamedTuple):
    """A row of the table; `words` are its keys, printable. What is not measured is None."""

    events: int
    total: int | None
    low: int | None
    high: int | None
    words: str
    identity: object
    """What stays the same when the counts change."""

    def value(self, column: str) -> float | str:
        """What a column sorts by."""
        if column == "key":
            return self.words
        average = self.total / self.events if self.total is not None and self.events else None
        numbers = {"count": self.events, "total": self.total, "average": average, "min": self.low, "max": self.high}
        number = numbers[column]
        return _MISSING if number is None else number


def _digits(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


class CountTable(RowList):
    """Rows of counts, the largest first until another order is chosen. The cursor stays on its row."""

    empty_text = "nothing counted yet"

    def __init__(self, *, valued: bool, top: int) -> None:
        super().__init__()
        self.sorted_by, self.descending = "count", True
        self._valued = valued
        self._top = top
        self._all: Sequence[CountRow] = ()
        self._rows: list[CountRow] = []

    @property
    def row_count(self) -> int:
        """The rows."""
        return len(self._rows)

    @property
    def _columns(self) -> tuple[tuple[str, int], ...]:
        """What fits; the key takes the rest."""
        shown = (5 if self.size.width >= _WIDE else 3) if self._valued else 1
        return (*_TABLE[:shown], ("key", 0))

    @property
    def selected(self) -> CountRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def show_rows(self, rows: Sequence[CountRow]) -> None:
        """The counts as they are now."""
        self._all = rows
        held, top = self.selected, self.scroll_offset.y
        largest = sorted(rows, key=lambda row: -row.events)[: self._top]
        self._rows = sorted(largest, key=lambda row: row.value(self.sorted_by), reverse=self.descending)
        place = self.cursor
        # Whoever stays at the top sees the largest; whoever moved stays on the row.
        if held is not None and self.cursor:
            place = next((at for at, row in enumerate(self._rows) if row.identity == held.identity), place)
        self.reset_rows(place)
        if not place:
            self.scroll_rows(min(top, place))

    def sort_by(self, name: str) -> None:
        """Sort by a column, numbers from the top; by the same one the other way round."""
        self.descending = not self.descending if name == self.sorted_by else name != "key"
        self.sorted_by = name
        self.cursor = 0
        self.show_rows(self._all)

    def sort_next(self) -> None:
        """Sort by the next column."""
        names = [name for name, _ in self._columns]
        at = names.index(self.sorted_by) if self.sorted_by in names else -1
        self.sort_by(names[(at + 1) % len(names)])

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles."""
        for name, size in self._columns:
            mark = ("▼" if self.descending else "▲") if name == self.sorted_by else ""
            yield fit(name + mark, size or width, right=bool(size)) + "  ", "rows--typed" if mark else ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One row."""
        row = self._rows[index]
        for name, size in self._columns:
            value = row.value(name)
            text = value if isinstance(value, str) else "" if value == _MISSING else _digits(value)
            yield fit(text, size or width, right=bool(size)) + "  ", "" if name in ("count", "key") else "rows--dim"

    def on_click(self, event: events.Click) -> None:
        """A click on a title sorts, on a row it is a row's."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= self.header_lines:
            super().on_click(event)
            return
        end = 0
        for name, size in self._columns:
            end += size + 2 if size else self.size.width
            if offset.x < end:
                self.sort_by(name)
                return


class BarList(RowList):
    """Histograms below each other: a line for the key where there are keys, a bar a bucket."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.BARS)
    empty_text = "nothing counted yet"
    header_lines = 0

    def __init__(
        self, label: Callable[[int | None], str], title: Callable[[Histogram], str], *, keyed: bool
    ) -> None:  # fmt: skip
        super().__init__()
        self._label, self._title, self._keyed = label, title, keyed
        self._rows: list[tuple[Histogram, int | None, int]] = []
        """With how many are in the bucket; -1: the title."""
        self._most: dict[int, int] = {}

    @property
    def row_count(self) -> int:
        """Titles and buckets."""
        return len(self._rows)

    @property
    def selected(self) -> Histogram | None:
        """The histogram under the cursor."""
        return self._rows[self.cursor][0] if self._rows else None

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """One histogram alone is the same as all together."""
        return action != "choose" or self._keyed

    def show_histograms(self, found: Sequence[Histogram]) -> None:
        """The counts as they are now."""
        held = self._rows[self.cursor] if self._rows and self.cursor else None
        self._rows = []
        for one in found:
            self._rows.append((one, None, -1))
            self._rows += [(one, bucket, one.counts.get(bucket, 0)) for bucket in one.buckets]
        self._most = {id(one): max(one.counts.values(), default=0) for one in found}
        # Whoever stays at the top sees the largest; whoever moved stays on the row.
        self.reset_rows(self.cursor if held is None else self._place(held[0], held[1], held[2] < 0))

    def _place(self, held: Histogram, bucket: int | None, titled: bool) -> int:
        """Where a row is now."""
        same = ((one.place, of, count < 0) for one, of, count in self._rows)
        wanted = held.place, bucket, titled
        return next((at for at, row in enumerate(same) if row == wanted), self.cursor)

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """A title, or a bucket with its bar."""
        one, bucket, count = self._rows[index]
        if count < 0:
            yield fit(f"{self._title(one)}  ({one.total:,})", width), "rows--typed"
            return
        yield fit(self._label(bucket), LABEL, right=True), "rows--dim"
        yield fit(f"{count:,}", _COUNT, right=True) + " ", ""
        yield bar(count, self._most[id(one)], max(1, width - LABEL - _COUNT - 2)), "rows--bar"


def bar(count: int, most: int, cells: int) -> str:
    """A bar of up to so many cells, to an eighth; what is there at all is seen."""
    eighths = count * cells * 8 // most if most else 0
    whole, rest = divmod(max(eighths, bool(count)), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
