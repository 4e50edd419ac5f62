"""The columns of the event list: the same for every event, or made from the arguments of one probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tracescope.ui.event_line import Line

__all__ = ("Column", "ProbeColumns", "cell", "general_columns")

_WIDEST = 48
"""No argument asks for more cells."""
_WIDE = 100
_NARROWEST = 6
_LEAST = 4


class Column(NamedTuple):
    """A name, by which one sorts and filters too; a width in cells; where the text stands; the class of its style."""

    name: str
    width: int
    right: bool = False
    style: str = "rows--dim"


class _Head(NamedTuple):
    column: Column
    narrow: int
    """Its width in a list of under _WIDE cells."""
    shown_from: int
    """Cells of the list."""
    alone_from: int
    """The same, when the probe's arguments have columns too."""


_HEADS = (
    _Head(Column("time", 15), 12, 0, 0),
    _Head(Column("cpu", 3, right=True), 3, 110, 130),
    _Head(Column("probe", 24, style="rows--stable"), 18, 50, 9999),
    _Head(Column("pid", 7, right=True, style=""), 7, 40, 40),
    _Head(Column("tid", 7, right=True), 7, 120, 150),
    _Head(Column("ppid", 7, right=True), 7, 90, 170),
    _Head(Column("comm", 15, style=""), 10, 60, 70),
)


def general_columns(width: int) -> list[Column]:
    """What fits; the arguments, as words, take the rest."""
    heads = [_sized(head, width) for head in _HEADS if width >= head.shown_from]
    return [*heads, Column("arguments", max(0, width - _room(heads)), style="")]


class ProbeColumns:
    """A column an argument of one probe, as wide as what was seen of it so far."""

    def __init__(self) -> None:
        self.numbers: set[str] = set()
        """The arguments that are numbers."""
        self._widths: dict[str, int] = {}

    def note(self, cells: Mapping[str, str]) -> None:
        """Take an event's arguments into account."""
        for name, text in cells.items():
            self._widths[name] = min(_WIDEST, max(self._widths.get(name, 0), len(text)))
            if text and (name == "duration" or text.lstrip("-").isdecimal()):
                self.numbers.add(name)

    def columns(self, width: int) -> list[Column]:
        """What fits: the last ones may be left out. As for every event as long as no argument was seen."""
        if not self._widths:
            return general_columns(width)
        heads = [_sized(head, width) for head in _HEADS if width >= head.alone_from]
        room = width - _room(heads)
        fitting = max(1, min(len(self._widths), room // (_NARROWEST + 1)))
        wanted = {name: max(_LEAST, len(name) + 1, size) for name, size in list(self._widths.items())[:fitting]}
        widths = _shared(wanted, room - len(wanted))
        return heads + [Column(name, size, name in self.numbers, "") for name, size in widths.items()]


def cell(name: str, line: Line, cells: Mapping[str, str]) -> str:
    """The text of an event under a column."""
    if name == "arguments":
        return line.words
    if name == "probe":
        return line.probe.rpartition(":")[2]
    if name in Line._fields:
        # An argument may be named as a head is: then the head is meant.
        return str(getattr(line, name))
    return cells.get(name, "")


def _sized(head: _Head, width: int) -> Column:
    return head.column if width >= _WIDE else head.column._replace(width=head.narrow)


def _room(columns: Iterable[Column]) -> int:
    return sum(column.width + 1 for column in columns)


def _shared(wanted: Mapping[str, int], room: int) -> dict[str, int]:
    """Widths of together `room` cells at most: what asks for the most gives; what is left over goes to the last."""
    widths = dict(wanted)
    over = sum(widths.values()) - room
    while over > 0 and max(widths.values()) > 1:
        # All of the widest come down to the next lower step at once.
        top = max(widths.values())
        tallest = [name for name, size in widths.items() if size == top]
        below = max((size for size in widths.values() if size < top), default=1)
        cut = min(top - below, max(1, over // len(tallest)))
        for name in tallest:
            take = min(cut, over)
            widths[name] -= take
            over -= take
    if widths and over < 0:
        widths[next(reversed(widths))] -= over
    return widths
