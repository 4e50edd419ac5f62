"""One event, whole: every field, lists one element a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from tracescope.attach.events import errno_name
from tracescope.printable import printable
from tracescope.ui.feed import Line
from tracescope.ui.look import amount
from tracescope.ui.screens.text import TextScreen

if TYPE_CHECKING:
    from tracescope.attach.events import Event
    from tracescope.attach.values import Value

__all__ = ("event_screen", "event_text")


def event_screen(event: Event, line: Line) -> TextScreen:
    """The screen of one event."""
    return TextScreen(f"{event.probe} at {line.time}", event_text(event, line))


def event_text(event: Event, line: Line) -> Content:
    """Names left, values right."""
    heads = ("time", "cpu", "probe", "pid", "tid", "ppid", "comm")
    lines = [_fact(name, value, "dim") for name in heads if (value := getattr(line, name))]
    for name, value in event.args.items():
        lines.extend(_argument(name, value))
    if event.ret is not None:
        lines.append(_fact("ret", f"{event.ret} {errno_name(event.ret) or ''}"))
    return Content("\n").join(lines)


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
