"""The process monitor's records as events of `tracescope.processes`.

Input: what monitor.c writes, laid out in `monitor_program`. Integers are in the machine's byte order.
"""

from __future__ import annotations

import mmap
from typing import TypedDict

from tracescope.attach.event_exec import arguments
from tracescope.attach.events import Clock, errno_name
from tracescope.attach.monitor_program import ENDED, FAILED, HEAD, STARTED, Flag, Kind
from tracescope.attach.program_exec import ExecFlag
from tracescope.attach.values import until_nul
from tracescope.printable import decode
from tracescope.processes.events import ExecEvent, ExecFailed, ExitEvent, ForkEvent, ProcessEvent

__all__ = ("decode_record",)

_AT_FDCWD = -100
_EXEC_FLAGS = 0xFF


class _Head(TypedDict):
    """What all events have."""

    time_ns: int
    pid: int
    tid: int
    ppid: int
    uid: int
    comm: str
    start_ns: int
    parent_start_ns: int
    cgroup_id: int
    ns_pid: int | None


def decode_record(record: bytes, clock: Clock) -> ProcessEvent:
    """The event in one record."""
    time_ns, start_ns, parent_ns, cgroup, kind, flags, pid, tid, ppid, uid, ns_pid, _, comm = HEAD.unpack_from(record)
    head = _Head(
        time_ns=time_ns + clock.offset_ns, pid=pid, tid=tid, ppid=ppid, uid=uid, comm=until_nul(comm),
        start_ns=start_ns, parent_start_ns=parent_ns, cgroup_id=cgroup, ns_pid=ns_pid or None,
    )  # fmt: skip
    if kind == Kind.FORK:
        return ForkEvent(**head)
    if kind == Kind.EXIT:
        return _ended(record, head, time_ns)
    return (_started if kind == Kind.EXEC else _failed)(record, head, time_ns, flags)


def _started(record: bytes, head: _Head, time_ns: int, bits: int) -> ExecEvent:
    entered, argv_bytes, fd, at_flags, *sizes, comm_before = STARTED.unpack_from(record, HEAD.size)
    at, parts = HEAD.size + STARTED.size, []
    for size in sizes:
        parts.append(record[at : at + size])
        at += size
    filename, interpreter, argv, exe = parts
    flags = ExecFlag(bits & _EXEC_FLAGS)
    unread = ExecFlag.ARGV_UNREAD in flags
    return ExecEvent(
        **head,
        filename=until_nul(filename) if filename else None,
        filename_error=None if filename else True,
        argv=None if unread else tuple(_words(argv)),
        argv_truncated=ExecFlag.ARGV_CUT in flags or None,
        argv_size=argv_bytes,
        argv_error=unread or None,
        fd=fd if bits & Flag.AT else None,
        at_flags=at_flags if bits & Flag.AT else None,
        ret=0,
        duration_ns=time_ns - entered if entered else None,
        comm_before=None if bits & Flag.NOT_ENTERED else until_nul(comm_before),
        interpreter=until_nul(interpreter) if interpreter else None,
        exe=None if bits & Flag.EXE_CUT else "/" + "/".join(reversed(_words(exe))),
    )


def _failed(record: bytes, head: _Head, time_ns: int, bits: int) -> ExecFailed:
    entered, ret, fd, at_flags, text, argc, _, used, low, high = FAILED.unpack_from(record, HEAD.size)
    at = HEAD.size + FAILED.size
    flags = ExecFlag(text)
    words = _words(record[at : at + used])
    filename = None if ExecFlag.FILENAME_UNREAD in flags else words.pop(0)
    argv = tuple(arguments(words, argc, low | high << 64, flags))
    if bits & Flag.AT and filename is not None:
        filename = _with_descriptor(filename, fd)
    return ExecFailed(
        **head,
        filename=filename,
        filename_error=filename is None or None,
        argv=argv,
        argv_truncated=ExecFlag.ARGV_CUT in flags or None,
        argv_error=None in argv or None,
        fd=fd if bits & Flag.AT else None,
        at_flags=at_flags if bits & Flag.AT else None,
        ret=ret,
        duration_ns=time_ns - entered if entered else None,
        errno=errno_name(ret),
    )


def _ended(record: bytes, head: _Head, time_ns: int) -> ExitEvent:
    started, user_ns, system_ns, cpu_ns, max_rss, status, _ = ENDED.unpack_from(record, HEAD.size)
    signal = status & 0x7F
    return ExitEvent(
        **head,
        lifetime_ns=time_ns - (started or head["start_ns"]),
        age_ns=time_ns - head["start_ns"],
        exit_code=None if signal else status >> 8 & 0xFF,
        signal=signal or None,
        core=bool(status & 0x80) if signal else None,
        cpu_ns=cpu_ns,
        user_ns=user_ns,
        system_ns=system_ns,
        max_rss=max_rss * mmap.PAGESIZE,
    )


def _words(data: bytes) -> list[str]:
    """Text in pieces that each end with a NUL; the last may have lost it."""
    words = [decode(word) for word in data.split(b"\0")]
    return words if words[-1] else words[:-1]


def _with_descriptor(filename: str, fd: int) -> str:
    """A path that is relative to a descriptor, as the kernel names it for an exec that is done."""
    if fd == _AT_FDCWD or filename.startswith("/"):
        return filename
    return f"/dev/fd/{fd}/{filename}" if filename else f"/dev/fd/{fd}"
