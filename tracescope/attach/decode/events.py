"""An event, as JSON and as a line of text."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tracescope.attach.record.values import Value
from tracescope.printable import printable

__all__ = ("Clock", "Event", "errno_name", "event_json", "event_words", "value_words")

# Results that only the kernel itself sees, and tracers: include/linux/errno.h.
_KERNEL_ERRNO = {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}  # Python names other aliases
_KERNEL_ERRNO |= {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_MAX_ERRNO = 4095
_UNREADABLE = "(unreadable)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """From the kernel's monotonic time to the time of day."""

    offset_ns: int

    @classmethod
    def now(cls) -> Clock:
        """The difference between the two clocks, as it is now."""
        return cls(time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC))


class Event(NamedTuple):
    """One event; `time_ns` is the time of day since 1970."""

    time_ns: int
    cpu: int
    probe: str
    pid: int
    tid: int
    ppid: int | None
    comm: str
    args: dict[str, Value]
    ret: int | None = None
    duration_ns: int | None = None
    kstack: tuple[str, ...] | None = None
    """The kernel's functions that led to it, the innermost first; `ustack` are the process's own."""
    ustack: tuple[str, ...] | None = None
    words: str | None = None
    """The same in the kernel's own words, where they were asked for."""


def errno_name(ret: int) -> str | None:
    """`ENOENT` for -2; None for what is no error."""
    if not -_MAX_ERRNO <= ret < 0:
        return None
    return _KERNEL_ERRNO.get(-ret) or errno.errorcode.get(-ret)


def event_json(event: Event) -> dict[str, object]:
    """The event as `attach --json` writes it; what is not known is absent."""
    moment = _EPOCH + timedelta(microseconds=event.time_ns // 1000)
    fields: dict[str, object] = {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "cpu": event.cpu,
        "probe": event.probe,
        "pid": event.pid,
        "tid": event.tid,
        "ppid": event.ppid,
        "comm": event.comm,
        "args": event.args,
        "ret": event.ret,
        "errno": None if event.ret is None else errno_name(event.ret),
        "duration_ns": event.duration_ns,
        "kstack": event.kstack,
        "ustack": event.ustack,
        "words": event.words,
    }
    return {name: value for name, value in fields.items() if value is not None}


def event_words(event: Event) -> str:
    """The arguments and the result on one line, or the kernel's own words; safe for a terminal."""
    if event.words is not None:
        return printable(event.words)
    words: list[str] = []
    for name, value in event.args.items():
        if name.endswith("_truncated"):
            words[-1] += "…"
        else:
            words.append(f"{name}={_shown(value)}")
    if event.ret is not None:
        name_of_error = errno_name(event.ret)
        words.append(f"ret={event.ret} {name_of_error}" if name_of_error else f"ret={event.ret}")
    return printable(" ".join(words))


def value_words(value: Value) -> str:
    """One argument's value on one line, safe for a terminal."""
    return printable(_shown(value))


def _shown(value: object) -> str:
    if type(value) is int or type(value) is str:
        return str(value)
    if value is None:
        return _UNREADABLE
    if isinstance(value, Mapping):
        for kind in ("raw", "address"):
            if value.keys() == {kind}:
                return "NULL" if value[kind] == "0x0" else f"{kind}:{value[kind]}"
        return "{" + ", ".join(f"{name}={_shown(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_quoted(item) if isinstance(item, str) else _shown(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """The text in quotes, so that no other text looks the same."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
