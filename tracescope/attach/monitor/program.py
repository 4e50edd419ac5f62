"""The C text of the process monitor, for BCC, and the layout of its records. Pure: monitor.c with numbers put in."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from importlib.resources import files

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.monitor.plan import MonitorPlan
from tracescope.attach.program import RING_BYTES, filter_text
from tracescope.attach.program.exec_text import TEXT, reader_text

__all__ = ("ENDED", "FAILED", "HEAD", "KINDS", "NUMBERS", "STARTED", "Flag", "Kind", "monitor_text", "source")

HEAD = struct.Struct("=4Q8I16s")
"""`struct head`: time_ns, start_ns, parent_start_ns, cgroup, kind, flags, pid, tid, ppid, uid, ns_pid, cpu, comm."""
STARTED = struct.Struct("=2Qi5I16s")
"""`struct started` behind its head: entered_ns, argv_bytes, fd, at_flags, four sizes, comm_before."""
FAILED = struct.Struct("=QqiI" + TEXT.format.removeprefix("="))
"""`struct failed` behind its head: entered_ns, ret, fd, at_flags, and `struct text`."""
ENDED = struct.Struct("=5QII")
"""`struct ended` behind its head: started_ns, user_ns, system_ns, cpu_ns, max_rss, status, padding."""


class Kind(IntEnum):
    """What a record tells; the index of its counter."""

    FORK = 0
    EXEC = 1
    FAILED = 2
    EXIT = 3


class Flag(IntFlag):
    """What a record says about itself; below these bits are those of `ExecFlag`."""

    NOT_ENTERED = 256
    """Nobody saw the call begin."""
    AT = 512
    """The call was execveat."""
    EXE_CUT = 1024
    """The executed file lies deeper than the names that follow."""
    NAME_CUT = 2048
    """The filename is the beginning of a longer one."""


KINDS = {str(one.name): int(one) for one in (*Kind, *Flag)}
"""What names stand for in the text: kinds of records and their flags."""
NUMBERS = {
    "NAME": 4096,
    "INTERPRETER": 1024,
    "KEPT_NAME": 256,
    "ARGV": 4096,
    "EXE_STEPS": 64,
    "BYTES_MASK": 16383,
}
NUMBERS |= {
    "SIGNAL_GROUP_EXIT": 4,
    "CALLS": 16384,
    "PROCESSES": 32768,
    "ENDING": 4096,
    "THREADS": 64,
    "RING": RING_BYTES,
}
"""Sizes and limits, by their names in the text."""

_TITLE = "/* Made by TraceScope, for BCC. */"
_CONTROL = "BPF_ARRAY(control, u32, 1);     /* 1 while the session runs */"


def monitor_text(plan: MonitorPlan) -> str:
    """The whole program as C: numbers, filters, and monitor.c."""
    defines = "".join(f"#define {name} {number}\n" for name, number in _numbers(plan).items())
    filters = filter_text(plan.filters)
    return "\n".join((_TITLE, defines, reader_text(counted=False), _CONTROL, filters, source("monitor.c")))


def source(name: str) -> str:
    """The text of a C file of this room."""
    return files(__package__).joinpath(name).read_text("ascii")


def _numbers(plan: MonitorPlan) -> dict[str, int]:
    switches = {
        "STRICT": plan.strict,
        "FOLLOWS": bool(plan.filters.tree),
        "RECORDS_EXEC": not plan.failed_only,
        "RECORDS_LIFE": plan.records_life,
        "WITH_LIFE": plan.records_life,
        "SAYS_DEAD": plan.says_dead,
        "PERF_BUFFER": plan.transport is Transport.PERF,
    }
    return NUMBERS | KINDS | {name: int(on) for name, on in switches.items()} | plan.words | dict(plan.offsets)
