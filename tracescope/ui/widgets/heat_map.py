"""What the kernel counted, bucket by bucket through time: a heat map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.message import Message

from tracescope.ui import keys
from tracescope.ui.look import fit
from tracescope.ui.widgets.counts import LABEL
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.attach.counting.shape import Place
    from tracescope.attach.counting.slices import Column, Slices

__all__ = ("HeatMap", "heat")

_SHADES = " ░▒▓█"
_DENSEST = len(_SHADES) - 1
_UNKNOWN = "·"
"""A slice of time of which the counts of this key alone were not kept."""


class HeatMap(RowList):
    """Columns are slices of time, the newest at the right; rows are buckets, the highest at the top; shade is count.

    Of all keys together, or of one: which one, the screen says.
    """

    BINDINGS: ClassVar[list[BindingType]] = list(keys.HEAT)
    empty_text = "nothing counted yet"

    @dataclass
    class Stepped(Message):
        """The next key is wanted, or with -1 the one before."""

        step: int

    def __init__(
        self, slices: Slices, label: Callable[[int | None], str], seconds: float, *, keyed: bool
    ) -> None:  # fmt: skip
        super().__init__()
        self._slices, self._label, self._seconds, self._keyed = slices, label, seconds, keyed
        self._place: Place | None = None
        self._shown: list[Column | None] = []
        self._buckets: Sequence[int] = ()
        self._most = 0

    @property
    def row_count(self) -> int:
        """The buckets."""
        return len(self._buckets)

    @property
    def gaps(self) -> bool:
        """Some of the columns were not kept of this key."""
        return None in self._newest(self.scrollable_content_region.width)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to open, and without keys there is one map."""
        return action != "choose" and (action != "key" or self._keyed)

    def action_key(self, step: int) -> None:
        """Show the next key's map, or the one's before."""
        self.post_message(self.Stepped(step))

    def show_key(self, place: Place | None) -> None:
        """Show one key's map; None: of all together."""
        self._place = place
        self.cursor = 0
        self.show_slices()

    def show_slices(self) -> None:
        """Draw what came since the last time."""
        from tracescope.attach.counting.slices import bucket_range

        self._shown = self._slices.columns(self._place)
        self._buckets = bucket_range(self._shown)[::-1]
        newest = self._newest(self.scrollable_content_region.width)
        self._most = max((count for one in newest if one for count in one.values()), default=0)
        self.reset_rows(self.cursor)

    def _newest(self, width: int) -> list[Column | None]:
        """The columns that fit."""
        return self._shown[-self._cells(width) :]

    def _cells(self, width: int) -> int:
        return max(1, width - LABEL - 1)

    def header_parts(self, width: int) -> Iterator[Part]:
        """How long a column is, and what the shades mean."""
        yield fit(f"{self._seconds:g} s a column", LABEL + 1), "rows--dim"
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
        yield fit(self._label(bucket), LABEL, right=True) + " ", "rows--dim"
        shown = self._newest(width)
        yield " " * (cells - len(shown)), ""
        for one in shown:
            yield (_UNKNOWN, "rows--dim") if one is None else heat(one.get(bucket, 0), self._most)


def heat(count: int, most: int) -> Part:
    """A cell: the denser and lighter the more; steps of equal factors, for counts differ by powers of ten."""
    shade = next((shade for shade in range(_DENSEST, 0, -1) if count >= _least(shade, most)), 0) if count else 0
    return _SHADES[shade], f"rows--heat{shade}" if shade else ""


def _least(shade: int, most: int) -> int:
    """The smallest count of a shade from 1 on."""
    return 1 if shade == 1 else max(shade, -int(-(most ** ((shade - 1) / _DENSEST)) // 1))
