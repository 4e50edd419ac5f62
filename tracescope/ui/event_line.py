"""An event as texts: the cells of its line, and each of its values by name."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tracescope.printable import printable

if TYPE_CHECKING:
    from tracescope.attach.decode.events import Event
    from tracescope.attach.record.values import Value

__all__ = ("HEADS", "Line", "SortKey", "cells_of", "line_of", "sort_key", "value_of")

HEADS = ("time", "cpu", "probe", "pid", "tid", "ppid", "comm")
"""What every event has, beside its arguments."""
_ENDS = ("ret", "duration")

SortKey = tuple[int, float, str]


class Line(NamedTuple):
    """An event as the texts of its columns, all printable."""

    time: str
    cpu: str
    probe: str
    pid: str
    tid: str
    ppid: str
    comm: str
    words: str
    failed: bool
    """The call returned an error."""


def line_of(event: Event) -> Line:
    """The line of an event, its time in this machine's zone."""
    from tracescope.attach.decode.events import event_words

    seconds, nanoseconds = divmod(event.time_ns, 1_000_000_000)
    ids = (event.pid, event.tid, event.ppid)
    pid, tid, ppid = ("" if value is None else str(value) for value in ids)
    words = printable(event_words(event))
    if event.duration_ns is not None:
        words = f"{words} took={_duration(event.duration_ns)}".lstrip()
    clock = f"{_second(seconds)}.{nanoseconds // 1000:06}"
    comm = printable(event.comm or "")
    return Line(clock, str(event.cpu), printable(event.probe), pid, tid, ppid, comm, words, (event.ret or 0) < 0)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _duration(nanoseconds: int) -> str:
    from tracescope.processes import duration_words

    return duration_words(nanoseconds)


def cells_of(event: Event) -> dict[str, str]:
    """The arguments by name, then the result and the duration, as printable texts; a cut value ends in `…`."""
    from tracescope.attach.decode.events import errno_name, value_words

    cells: dict[str, str] = {}
    for name, value in event.args.items():
        cut = name.removesuffix("_truncated")
        if cut != name and cut in cells:
            cells[cut] += "…"
        else:
            cells[printable(name)] = value_words(value)
    if event.ret is not None:
        cells["ret"] = f"{event.ret} {errno_name(event.ret) or ''}".rstrip()
    if event.duration_ns is not None:
        cells["duration"] = _duration(event.duration_ns)
    return cells


def value_of(event: Event, name: str) -> Value | None:
    """The value under a column's name; None where the event has none."""
    match name:
        case "time":
            return event.time_ns
        case "duration":
            return event.duration_ns
        case "errno":
            from tracescope.attach.decode.events import errno_name

            return None if event.ret is None else errno_name(event.ret)
    if name in HEADS or name == "ret":
        value: Value | None = getattr(event, name)
        return value
    return event.args.get(name)


def sort_key(event: Event, name: str) -> SortKey:
    """Numbers by size, then texts, then what is not known; `arguments` sorts by all of them in one text."""
    if name == "arguments":
        return 1, 0.0, line_of(event).words
    value = value_of(event, name)
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int):
        return 0, value, ""
    from tracescope.attach.decode.events import value_words

    return 1, 0.0, value_words(value)
