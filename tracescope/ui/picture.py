"""A tracepoint's record drawn as memory: bytes in order, fields as boxes, gaps as padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from textual.content import Content

from tracescope.model import EventFormat, Field
from tracescope.printable import printable
from tracescope.ui.look import fit

__all__ = ("memory_picture",)

# So large a record is drawn up to here; the field table below has the rest.
_MAX_BYTES = 4096
_OFFSET = 6
_TINTS = ("on $primary 22%", "on $accent 20%")
_COMMON, _PADDING = "dim on $surface-lighten-2", "dim"


def memory_picture(event: EventFormat, width: int) -> Content:
    """The record in rows of 16 bytes (8 when it is narrow), a box a field; rows inside one field are folded."""
    per_row, cell = (16, 3) if width >= _OFFSET + 49 else (8, max(3, min(4, (width - _OFFSET - 1) // 8)))
    owners = _owners(event)
    styles = {field: _TINTS[at % 2] for at, field in enumerate(event.fields)}
    lines: list[Content] = []
    folded = 0
    for start in range(0, len(owners), per_row):
        row = owners[start : start + per_row]
        if _is_inside(owners, start, per_row):
            folded += per_row
            continue
        if folded:
            lines.append(Content.styled(f"{'⋮':>{_OFFSET - 1}} {folded:,} bytes of {_name(row[0])}", "dim"))
            folded = 0
        lines.append(Content.assemble((f"{start:>{_OFFSET - 1}} ", "dim"), *_boxes(row, start, cell, styles), "│"))
    return Content("\n").join(lines)


def _owners(event: EventFormat) -> list[Field | None]:
    """For each byte of the record the field that holds it, or None for padding."""
    owners: list[Field | None] = [None] * min(event.size, _MAX_BYTES)
    for field in (*event.common, *event.fields):
        for at in range(max(0, field.offset), min(field.offset + field.size, len(owners))):
            owners[at] = field
    return owners


def _is_inside(owners: Sequence[Field | None], start: int, per_row: int) -> bool:
    """True for a row in the middle of a field, with the field in the rows before and after."""
    around = owners[start - per_row : start + 2 * per_row]
    return start >= per_row and len(around) == 3 * per_row and around[0] is not None and len(set(around)) == 1


def _boxes(
    row: Sequence[Field | None], start: int, cell: int, styles: dict[Field, str]
) -> Iterator[str | tuple[str, str]]:
    at = start
    for field, run in groupby(row):
        size = len(list(run))
        room = size * cell - 1
        if field is None:
            yield "│"
            yield "░" * room, _PADDING
        else:
            goes_on = field.offset < at
            yield " " if goes_on else "│"
            yield fit("…" if goes_on else _name(field), room), styles.get(field, _COMMON)
        at += size


def _name(field: Field | None) -> str:
    return printable(field.name.removeprefix("common_")) if field else "padding"
