"""One event, whole: every field, lists one element a line, the stack, and the bytes that the kernel handed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tracescope.attach.decode.events import errno_name
from tracescope.attach.record.layout import HEADER
from tracescope.printable import printable
from tracescope.processes import duration_words
from tracescope.ui.event_line import HEADS, Line
from tracescope.ui.look import amount
from tracescope.ui.screens.text import TextScreen

if TYPE_CHECKING:
    from tracescope.attach.decode.events import Event
    from tracescope.attach.record.values import Value

__all__ = ("EventScreen", "event_text")

_MAX_DUMP = 4096
_PER_LINE = 16


class EventScreen(TextScreen):
    """One event; its words may come later. `stack` from the innermost frame on."""

    def __init__(self, event: Event, line: Line, record: bytes, stack: Sequence[str] = ()) -> None:
        super().__init__(f"{event.probe} at {line.time}", event_text(event, line, record, stack))
        self._event = event, line, record, stack

    def show_words(self, words: str | None) -> None:
        """The kernel's words, now that they are known."""
        self.show_text(event_text(*self._event, words))


def event_text(event: Event, line: Line, record: bytes, stack: Sequence[str] = (), words: str | None = None) -> Content:
    """Names left, values right; `stack` from the innermost frame on; the kernel's words; the record in hexadecimal."""
    lines = [_fact(name, value, "dim") for name in HEADS if (value := getattr(line, name))]
    for name, value in event.args.items():
        lines.extend(_argument(name, value))
    if event.ret is not None:
        lines.append(_fact("ret", f"{event.ret} {errno_name(event.ret) or ''}"))
    if event.duration_ns is not None:
        lines.append(_fact("duration", f"{duration_words(event.duration_ns)}  ({event.duration_ns:,} ns)"))
    lines.extend(_fact("stack" if depth == 0 else "", frame, "dim") for depth, frame in enumerate(stack))
    if words is not None:
        lines.append(_fact("kernel's words", words, "dim"))
    lines.append(
        Content.styled(f"\n{amount(len(record), 'byte')} from the kernel, {HEADER.size} of them header", "dim")
    )
    lines.extend(_dump(record[:_MAX_DUMP]))
    if len(record) > _MAX_DUMP:
        lines.append(Content.styled(f"  … {len(record) - _MAX_DUMP:,} more", "dim"))
    return Content("\n").join(lines)


def _dump(record: bytes) -> Iterator[Content]:
    """Offset, bytes, and what of them is ASCII."""
    for at in range(0, len(record), _PER_LINE):
        part = record[at : at + _PER_LINE]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        digits = f"{part[:8].hex(' '):<23}  {part[8:].hex(' '):<23}"
        yield Content.assemble((f"{at:>6}  ", "dim"), (digits, "dim" if at < HEADER.size else ""), (f"  {text}", "dim"))


def _argument(name: str, value: Value) -> Iterator[Content]:
    if isinstance(value, list):
        yield _fact(name, amount(len(value), "element"))
        for index, element in enumerate(value):
            yield _fact(f"[{index}]", _text(element), "dim")
    else:
        yield _fact(name, _text(value))


def _text(value: Value) -> str:
    if value is None:
        return "(could not be read)"
    if isinstance(value, dict):
        return f"not decoded: {value['raw']}"
    return str(value)


def _fact(name: str, value: str, style: str = "$text-primary") -> Content:
    return Content.assemble((f"{printable(name):>16}  ", style), printable(value))
