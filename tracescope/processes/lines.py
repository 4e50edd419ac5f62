"""One event of a process on one line of text, as `exec` and `replay` print it."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from functools import lru_cache

from tracescope.printable import printable
from tracescope.processes.events import ExecEvent, ExecFailed, ExitEvent, ProcessEvent
from tracescope.processes.words import duration_words, exit_words

__all__ = ("argv_words", "event_line")

_UNREADABLE = "(unreadable)"
# What shlex.quote() quotes for.
_QUOTED = re.compile(r"[^\w@%+=:,./-]", re.ASCII)


def event_line(event: ProcessEvent) -> str:
    """Time, pid, parent, command name, what happened; safe for a terminal, times in this machine's zone."""
    comm, words = event.comm or "-", _words(event)
    line = _line(event, comm, words)
    # Most of the time there is nothing to escape, and one look tells.
    return line if line.isprintable() else _line(event, printable(comm), printable(words))


def _line(event: ProcessEvent, comm: str, words: str) -> str:
    seconds, rest = divmod(event.time_ns // 1000, 1_000_000)
    ppid = "-" if event.ppid is None else event.ppid
    where = "%s.%06d %7d %7s %-15s" % (_second(seconds), rest, event.pid, ppid, comm)  # noqa: UP031 - half the time
    return f"{where} {event.name:11} {words}".rstrip()


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")  # noqa: DTZ006 - local


def argv_words(event: ExecEvent | ExecFailed) -> str:
    """The arguments as a shell would take them; what could not be read or was cut is said. Not safe for a terminal."""
    if event.argv is None:
        return _UNREADABLE if event.argv_error else ""
    if not event.argv_error and not event.argv_truncated and _plain(event.argv):
        return " ".join(event.argv)  # type: ignore[arg-type]
    words = [_UNREADABLE if word is None else shlex.quote(word) for word in event.argv]
    if event.argv_error and None not in event.argv:
        words.append(_UNREADABLE)
    return " ".join([*words, "…"] if event.argv_truncated else words)


def _plain(argv: tuple[str | None, ...]) -> bool:
    """Whether a shell takes all of them as they are: one look for all, as most are plain."""
    return None not in argv and "" not in argv and not _QUOTED.search("".join(argv))  # type: ignore[arg-type]


def _words(event: ProcessEvent) -> str:
    if isinstance(event, ExitEvent):
        words = [exit_words(event)]
        if event.lifetime_ns is not None:
            words.append(f"after {duration_words(event.lifetime_ns)}")
        if event.cpu_ns is not None:
            words.append(f"cpu {duration_words(event.cpu_ns)}")
        return ", ".join(words)
    if isinstance(event, (ExecEvent, ExecFailed)):
        path = _UNREADABLE if event.filename_error or event.filename is None else event.filename
        failed = [event.errno or f"ret {event.ret}"] if isinstance(event, ExecFailed) else []
        return " ".join([*failed, path, f"[{argv_words(event)}]"])
    return ""
