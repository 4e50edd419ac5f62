"""A record from the ring as an event, and an event as JSON or as a line of text.

Input: the records that `attach.program` writes, laid out by `attach.plan`. Integers are in the machine's byte order.
"""

from __future__ import annotations

import errno
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracescope.attach.event_exec import exec_values
from tracescope.attach.plan import HEADER, Plan, PlannedProbe, Shape
from tracescope.attach.values import Value, bytes_value, fixed_reader, until_nul
from tracescope.printable import printable
from tracescope.sources.print_fmt import flag_tables

__all__ = ("Clock", "Decoder", "Event", "errno_name", "event_json", "event_words")

# Results that only the kernel itself sees, and tracers: include/linux/errno.h.
_KERNEL_ERRNO = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
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


@dataclass(frozen=True, slots=True)
class Event:
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


def errno_name(ret: int) -> str | None:
    """`ENOENT` for -2; None for what is no error."""
    if not -_MAX_ERRNO <= ret < 0:
        return None
    return errno.errorcode.get(-ret) or _KERNEL_ERRNO.get(-ret)


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
    }
    return {name: value for name, value in fields.items() if value is not None}


def event_words(event: Event) -> str:
    """The arguments and the result on one line, safe for a terminal."""
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


def _shown(value: Value) -> str:
    if value is None:
        return _UNREADABLE
    if isinstance(value, dict):
        return f"raw:{value['raw']}"
    if isinstance(value, list):
        return f"[{', '.join(_UNREADABLE if item is None else _quoted(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """The text in quotes, so that no other text looks the same."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Decoder:
    """Decodes the records of one plan."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._clock = clock
        self._has_parent = plan.offsets is not None
        self._probes = [_ProbeDecoder(probe) for probe in plan.probes]

    def decode(self, record: bytes) -> Event:
        """The event in one record."""
        time_ns, cpu, probe, pid, tid, ppid, flags, comm = HEADER.unpack_from(record)
        decoder = self._probes[probe]
        args = decoder.args(record, flags)
        ret = args.pop("ret") if decoder.returns else None
        return Event(
            time_ns=time_ns + self._clock.offset_ns,
            cpu=cpu,
            probe=decoder.name,
            pid=pid,
            tid=tid,
            ppid=ppid if self._has_parent else None,
            comm=until_nul(comm),
            args=args,
            ret=ret if isinstance(ret, int) else None,
        )


class _ProbeDecoder:
    """Decodes the fields of one probe."""

    def __init__(self, probe: PlannedProbe) -> None:
        self.name = probe.name
        self._probe = probe
        tables = {table.field: table for table in flag_tables(probe.format.print_fmt)}
        # The number of the system call says what the probe's name says already.
        layouts = [layout for layout in probe.fields if layout.field.name != "__syscall_nr"]
        as_argument = probe.shape is not Shape.RECORD
        self._readers = [(layout, fixed_reader(layout, tables, as_argument=as_argument)) for layout in layouts]
        self.returns = as_argument and [layout.field.name for layout in layouts] == ["ret"]

    def args(self, record: bytes, flags: int) -> dict[str, Value]:
        """Values by name, in the order of the format."""
        probe = self._probe
        if probe.dynamic:
            return self._with_dynamic(record, flags)
        values = {layout.field.name: read(record) for layout, read in self._readers}
        return exec_values(values, record) if probe.shape is Shape.EXEC else values

    def _with_dynamic(self, record: bytes, flags: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        at, bit, cap = self._probe.fixed_size, 1, self._probe.cap
        for layout, read in self._readers:
            name = layout.field.name
            if not layout.dynamic:
                values[name] = read(record)
                continue
            size = int.from_bytes(record[layout.offset + 2 : layout.offset + 4], sys.byteorder)
            data = record[at : at + min(size, cap)]
            values[name] = None if flags & bit else bytes_value(layout.field, data)
            if size > cap:
                values[f"{name}_truncated"] = True
            at, bit = at + len(data), bit << 1
        return values
