"""A recording's events as CSV and as a trace for Perfetto or chrome://tracing.

CSV: one column a key of `--json`, always the same ones; lists and objects as JSON. Text that a spreadsheet would take
for a formula (it begins with = + - @, a tab or a return) gets an apostrophe in front; numbers do not.
Trace: the Trace Event Format, JSON object form: processes as slices (ph X), failed execs and plain events as instants.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracescope.errors import Damaged
from tracescope.printable import printable
from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    ForkEvent,
    ProcessEvent,
    event_from_json,
    exit_words,
    program_of,
    time_of,
)

__all__ = ("COLUMNS", "csv_lines", "perfetto_lines")

COLUMNS = {
    "attach": ("time", "cpu", "probe", "pid", "tid", "ppid", "comm", "args", "ret", "errno", "duration_ns"),
    "exec": (
        *("event", "time", "pid", "tid", "ppid", "uid", "comm", "filename", "argv", "argv_truncated", "ret", "errno"),
        *("duration_ns", "lifetime_ns", "exit_code", "signal", "cpu_ns"),
        *("core", "user_ns", "system_ns", "age_ns", "max_rss", "comm_before", "interpreter", "exe", "fd", "at_flags"),
        *("argv_size", "argv_error", "filename_error", "start_ns", "parent_start_ns", "cgroup_id", "ns_pid"),
    ),
}
"""The columns of a CSV for each kind of recording; new ones come behind."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(kind: str, events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The events as CSV (RFC 4180), a heading first; lines end with CR LF."""
    columns = COLUMNS[kind]
    yield _csv_line(columns)
    for event in events:
        yield _csv_line([_cell(event.get(column)) for column in columns])


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        return json.dumps(value, separators=(",", ":"))
    text = printable(value)
    return f"'{text}" if value.startswith(_FORMULA) else text


def perfetto_lines(kind: str, events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The events as the lines of one JSON object; times are microseconds since 1970."""
    rows = _Slices().rows(events) if kind == "exec" else _marks(events)
    yield '{"displayTimeUnit":"ms","traceEvents":[\n'
    before = ""
    for row in rows:
        yield before + json.dumps(row, separators=(",", ":"))
        before = ",\n"
    yield "\n]}\n"


def _safe(value: Any) -> Any:
    """The same value without what a JSON reader may choke on: half surrogates, control characters."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (list, tuple)):
        return [_safe(item) for item in value]
    if isinstance(value, dict):
        return {printable(str(key)): _safe(item) for key, item in value.items()}
    return value


def _known(**values: object) -> dict[str, Any]:
    return {name: _safe(value) for name, value in values.items() if value is not None}


def _marks(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Events of `attach`: a slice when it has a duration (the event came at its end), else an instant."""
    for event in events:
        try:
            moment = time_of(event["time"]) // 1000
        except (KeyError, TypeError, ValueError):
            continue
        row = {"name": printable(str(event.get("probe", ""))), "cat": "probe", "pid": event.get("pid", 0)}
        row |= {"tid": event.get("tid", row["pid"])}
        keys = ("args", "ret", "errno", "comm", "cpu")
        row["args"] = _known(**{key: event.get(key) for key in keys})
        duration = event.get("duration_ns")
        if type(duration) is int:
            yield row | {"ph": "X", "ts": moment - duration // 1000, "dur": duration // 1000}
        else:
            yield row | {"ph": "i", "ts": moment, "s": "t"}


class _Slices:
    """Processes as slices on their own tracks: each program that one runs, and a fork that never called exec."""

    def __init__(self) -> None:
        self._open: dict[int, ExecEvent | ForkEvent] = {}
        self._last = 0

    def rows(self, events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for data in events:
            try:
                event = event_from_json(data)
            except Damaged:
                continue
            self._last = max(self._last, event.time_ns)
            yield from self._row(event)
        for pid in list(self._open):
            yield from self._close(pid, self._last, {"exit": "alive at the end"})

    def _row(self, event: ProcessEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, ExecFailed):
            name = f"{event.errno or 'failed'} {event.filename or event.comm or ''}"
            args = _known(argv=event.argv, ret=event.ret)
            yield _row(event, name, "exec_failed") | {"ph": "i", "s": "t", "args": args}
            return
        if isinstance(event, ExitEvent):
            yield from self._close(event.pid, event.time_ns, _known(exit=exit_words(event), cpu_ns=event.cpu_ns))
            return
        replaced = isinstance(event, ExecEvent) and isinstance(self._open.get(event.pid), ExecEvent)
        if replaced or isinstance(event, ForkEvent):
            yield from self._close(event.pid, event.time_ns, {"exit": "exec" if replaced else "not seen"})
        self._open[event.pid] = event
        yield _row(event, "process_name", "__metadata") | {"ph": "M", "args": {"name": _name(event)}}

    def _close(self, pid: int, end_ns: int, args: dict[str, Any]) -> Iterator[dict[str, Any]]:
        event = self._open.pop(pid, None)
        if event is None:
            return
        row = _row(event, _name(event), "process")
        if isinstance(event, ExecEvent):
            args = _known(program=program_of(event), argv=event.argv, argv_truncated=event.argv_truncated) | args
        args = args | _known(ppid=event.ppid, uid=event.uid)
        yield row | {"ph": "X", "dur": max(end_ns // 1000 - row["ts"], 0), "args": args}


def _name(event: ExecEvent | ForkEvent) -> str:
    program = program_of(event) if isinstance(event, ExecEvent) else event.comm or ""
    return printable(program.rstrip("/").rpartition("/")[2]) or f"pid {event.pid}"


def _row(event: ProcessEvent, name: str, category: str) -> dict[str, Any]:
    row = {"name": printable(name), "cat": category, "ts": event.time_ns // 1000}
    # A process is one track, whichever of its threads called exec.
    return row | {"pid": event.pid, "tid": event.pid}
