"""What the kernel counted: a table that sorts, histograms with bars, and a heat map over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual import events

from tracescope.ui.look import fit
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.attach.counting.shape import Histogram, Slices

__all__ = ("BarList", "CountRow", "CountTable", "HeatMap", "bar", "heat")

_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHADES = " ░▒▓█"
_DENSEST = len(_SHADES) - 1
_LABEL, _COUNT = 16, 11
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


class _Picture(RowList):
    """A list whose rows lead nowhere."""

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to open."""
        return action != "choose"


class BarList(_Picture):
    """Histograms below each other: a line for the key where there are keys, a bar a bucket."""

    empty_text = "nothing counted yet"
    header_lines = 0

    def __init__(self, label: Callable[[int | None], str], title: Callable[[Histogram], str]) -> None:
        super().__init__()
        self._label, self._title = label, title
        self._rows: list[tuple[Histogram, int | None, int]] = []
        """With how many are in the bucket; -1: the title."""
        self._most: dict[int, int] = {}

    @property
    def row_count(self) -> int:
        """Titles and buckets."""
        return len(self._rows)

    def show_histograms(self, found: Sequence[Histogram]) -> None:
        """The counts as they are now."""
        self._rows = []
        for one in found:
            self._rows.append((one, None, -1))
            self._rows += [(one, bucket, one.counts.get(bucket, 0)) for bucket in one.buckets]
        self._most = {id(one): max(one.counts.values(), default=0) for one in found}
        self.reset_rows(self.cursor)

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """A title, or a bucket with its bar."""
        one, bucket, count = self._rows[index]
        if count < 0:
            yield fit(f"{self._title(one)}  ({one.total:,})", width), "rows--typed"
            return
        yield fit(self._label(bucket), _LABEL, right=True), "rows--dim"
        yield fit(f"{count:,}", _COUNT, right=True) + " ", ""
        yield bar(count, self._most[id(one)], max(1, width - _LABEL - _COUNT - 2)), "rows--bar"


def bar(count: int, most: int, cells: int) -> str:
    """A bar of up to so many cells, to an eighth; what is there at all is seen."""
    eighths = count * cells * 8 // most if most else 0
    whole, rest = divmod(max(eighths, bool(count)), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


class HeatMap(_Picture):
    """Columns are slices of time, the newest at the right; rows are buckets, the highest at the top; shade is count."""

    empty_text = "nothing counted yet"

    def __init__(self, slices: Slices, label: Callable[[int | None], str], seconds: float) -> None:
        super().__init__()
        self._slices, self._label, self._seconds = slices, label, seconds
        self._buckets: Sequence[int] = ()
        self._most = 0

    @property
    def row_count(self) -> int:
        """The buckets."""
        return len(self._buckets)

    def show_slices(self) -> None:
        """Draw what came since the last time."""
        cells = self._cells(self.scrollable_content_region.width)
        shown = list(self._slices.slices)[-cells:]
        self._buckets = self._slices.buckets[::-1]
        self._most = max((count for one in shown for count in one.values()), default=0)
        self.reset_rows(self.cursor)

    def _cells(self, width: int) -> int:
        return max(1, width - _LABEL - 1)

    def header_parts(self, width: int) -> Iterator[Part]:
        """How long a column is, and what the shades mean."""
        yield fit(f"{self._seconds:g} s a column", _LABEL + 1), "rows--dim"
        steps = sorted(
            {least for shade in range(1, _DENSEST + 1) if (least := _least(shade, self._most)) <= self._most}
        )
        for least in steps if self._most else ():
            sign, style = heat(least, self._most)
            yield f"{sign}{sign} ", style
            yield f"{least:,}+  ", "rows--dim"
        yield fit("", width), ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One bucket through time."""
        bucket, cells = self._buckets[index], self._cells(width)
        yield fit(self._label(bucket), _LABEL, right=True) + " ", "rows--dim"
        shown = list(self._slices.slices)[-cells:]
        yield " " * (cells - len(shown)), ""
        for one in shown:
            yield heat(one[bucket], self._most)


def heat(count: int, most: int) -> Part:
    """A cell: the denser and lighter the more; steps of equal factors, for counts differ by powers of ten."""
    shade = next((shade for shade in range(_DENSEST, 0, -1) if count >= _least(shade, most)), 0) if count else 0
    return _SHADES[shade], f"rows--heat{shade}" if shade else ""


def _least(shade: int, most: int) -> int:
    """The smallest count of a shade from 1 on."""
    return 1 if shade == 1 else max(shade, -int(-(most ** ((shade - 1) / _DENSEST)) // 1))
