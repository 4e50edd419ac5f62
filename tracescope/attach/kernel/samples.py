"""Programs that run every so often: on software, hardware and cache events of perf, and on a timer.

Source: include/uapi/linux/perf_event.h, perf_event_open(2). Names as perf and bpftrace (src/list.h) spell them. A
counter belongs to a CPU, so one for each is opened.
"""

from __future__ import annotations

import difflib
import errno
import os
from contextlib import ExitStack

from tracescope.attach.kernel import bpf, reasons
from tracescope.attach.kernel.bpf import EVERY_PROCESS, PerfAttr
from tracescope.attach.kernel.perf_event import hang
from tracescope.errors import AttachError
from tracescope.host import LiveHost
from tracescope.model import ProbeKind
from tracescope.sources.perf_events import PerfEvent, config_of, names_of

__all__ = ("SampledEvent", "attach_interval", "attach_samples", "default_period", "sampled_event")

SampledEvent = tuple[int, int]
"""The type and config of perf_event_open(2)."""

_INHERIT, _FREQUENCY = 1 << 1, 1 << 10
_CPU_CLOCK: SampledEvent = (1, 0)
_LEAST_INTERVAL = 10_000
# What bpftrace spells in its own way.
_ALIASES = {
    ProbeKind.SOFTWARE: {"cpu": "cpu-clock"},
    ProbeKind.HARDWARE: {"frontend-stalls": "stalled-cycles-frontend", "backend-stalls": "stalled-cycles-backend"},
}
# By the spelling of perf, with bpftrace's numbers but for its one of task-clock: 1 ns.
_PERIODS = {
    ProbeKind.SOFTWARE: {
        "cpu-clock": 1_000_000,
        "task-clock": 1_000_000,
        "context-switches": 1000,
        "page-faults": 100,
        "minor-faults": 100,
    },
    ProbeKind.HARDWARE: {"branch-instructions": 100_000, "branch-misses": 100_000, "bus-cycles": 100_000},
}


def sampled_event(kind: ProbeKind, name: str) -> SampledEvent:
    """The event of `software:NAME`, `hardware:NAME` or `cache:NAME`; raises AttachError with near names."""
    spelled = _ALIASES.get(kind, {}).get(name, name)
    found = config_of(PerfEvent(spelled, kind.value))
    if found is None:
        close = difflib.get_close_matches(name.lower(), names_of(kind.value), n=3)
        fix = f"near it: {', '.join(close)}" if close else "perf list shows the events"
        raise AttachError(f"{kind}:{name} cannot be attached", f"perf has no {kind} event of this name", fix)
    return found


def default_period(kind: ProbeKind, name: str) -> int:
    """After how many events to take a sample when nothing else is said; a clock's events are nanoseconds."""
    event = sampled_event(kind, name)
    periods = {sampled_event(kind, known): period for known, period in _PERIODS.get(kind, {}).items()}
    return periods.get(event, 1 if kind is ProbeKind.SOFTWARE else 1_000_000)


def attach_samples(
    program: int, event: SampledEvent, *, period: int = 0, frequency: int = 0, tid: int = EVERY_PROCESS,
    cookie: int | None = None, probe: str = "",
) -> tuple[int, ...]:  # fmt: skip
    """Run the program after every `period` events on each CPU, or about `frequency` times a second.

    With `tid` only for that thread, and for those it starts from then on. A program of type PERF_EVENT. Returns the
    file descriptors that undo it; raises AttachError, which names `probe`.
    """
    flags = (_FREQUENCY if frequency else 0) | (0 if tid == EVERY_PROCESS else _INHERIT)
    attr = PerfAttr(*event, period=frequency or period or 1, flags=flags)
    cpus = bpf.online_cpus(LiveHost()) if tid == EVERY_PROCESS else [-1]
    try:
        return _open(attr, program, cpus, tid, cookie)
    except OSError as error:
        raise reasons.refused(probe or f"perf event {event[0]}:{event[1]:#x}", error, reasons.SAMPLE) from error


def _open(attr: PerfAttr, program: int, cpus: list[int], tid: int, cookie: int | None) -> tuple[int, ...]:
    """All of them or none; raises OSError."""
    found = []
    gone: OSError | None = None
    with ExitStack() as undo:
        for cpu in cpus:
            try:
                event = hang(bpf.open_event(attr, pid=tid, cpu=cpu), program, cookie)
            except OSError as error:
                # A CPU that went offline since the list was read counts nothing.
                if error.errno != errno.ENODEV:
                    raise
                gone = error
            else:
                undo.callback(os.close, event)
                found.append(event)
        if not found:
            raise gone or OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        undo.pop_all()
    return tuple(found)


def attach_interval(program: int, nanoseconds: int, *, cpu: int | None = None, cookie: int | None = None) -> int:
    """Run the program every so many nanoseconds, at least 10,000, on one CPU: the first, unless given.

    A program of type PERF_EVENT. Returns the file descriptor that undoes it; raises AttachError.
    """
    probe = f"interval:ns:{nanoseconds}"
    if nanoseconds < _LEAST_INTERVAL:
        why = f"the kernel's timer takes {_LEAST_INTERVAL:,} ns or more"
        raise AttachError(f"{probe} cannot be attached", why, f"interval:us:{_LEAST_INTERVAL // 1000}")
    where = bpf.online_cpus(LiveHost())[0] if cpu is None else cpu
    try:
        return hang(bpf.open_event(PerfAttr(*_CPU_CLOCK, period=nanoseconds), cpu=where), program, cookie)
    except OSError as error:
        raise reasons.refused(probe, error, reasons.SAMPLE) from error
