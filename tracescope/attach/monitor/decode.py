"""The process monitor's records as events of `tracescope.processes`.

Input: what monitor.c writes, laid out in `monitor.program`. Integers are in the machine's byte order.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from typing import TypeAlias

from tracescope.attach.decode.events import Clock, errno_name
from tracescope.attach.decode.exec_calls import arguments
from tracescope.attach.monitor.program import ENDED, FAILED, HEAD, STARTED, Flag, Kind
from tracescope.attach.program.exec_text import ExecFlag
from tracescope.attach.record.values import until_nul
from tracescope.printable import decode
from tracescope.processes.events import ExecEvent, ExecFailed, ExitEvent, ForkEvent, ProcessEvent

__all__ = ("decode_record",)

_AT_FDCWD = -100
# As plain numbers: an operation on members of an enum takes 2 µs.
_ARGV_UNREAD, _ARGV_CUT, _NAME_UNREAD = map(int, (ExecFlag.ARGV_UNREAD, ExecFlag.ARGV_CUT, ExecFlag.FILENAME_UNREAD))
_NOT_ENTERED, _AT, _EXE_CUT, _NAME_CUT = map(int, Flag)
_FORK, _EXEC, _, _EXIT = map(int, Kind)
_HEAD, _STARTED, _ENDED = HEAD.unpack_from, STARTED.unpack_from, ENDED.unpack_from


_Head: TypeAlias = tuple[int, int, int, int, int, str, int, int, int, int | None]
"""What all events have, in the order of their fields: `time_ns` to `ns_pid`."""


def decode_record(record: bytes, clock: Clock) -> ProcessEvent:
    """The event in one record."""
    time_ns, start_ns, parent_ns, cgroup, kind, flags, pid, tid, ppid, uid, ns_pid, _, comm = _HEAD(record)
    head = (
        time_ns + clock.offset_ns, pid, tid, ppid, uid, _name(comm),
        start_ns, parent_ns, cgroup, ns_pid or None,
    )  # fmt: skip
    if kind == _FORK:
        return ForkEvent(*head)
    if kind == _EXIT:
        return _ended(record, head, time_ns, start_ns)
    return (_started if kind == _EXEC else _failed)(record, head, time_ns, flags)


def _started(record: bytes, head: _Head, time_ns: int, bits: int) -> ExecEvent:
    entered, argv_bytes, fd, at_flags, names, interpreters, argvs, exes, comm_before = _STARTED(record, HEAD.size)
    at_interpreter = HEAD.size + STARTED.size + names
    at_argv = at_interpreter + interpreters
    at_exe = at_argv + argvs
    unread, at = bits & _ARGV_UNREAD, bits & _AT
    return ExecEvent(
        *head,
        filename=until_nul(record[at_interpreter - names : at_interpreter]) if names else None,
        filename_error=not names or bits & _NAME_CUT != 0 or None,
        argv=None if unread else tuple(_words(record[at_argv:at_exe])),
        argv_truncated=True if bits & _ARGV_CUT else None,
        argv_size=argv_bytes,
        argv_error=True if unread else None,
        fd=fd if at else None,
        at_flags=at_flags if at else None,
        ret=0,
        duration_ns=time_ns - entered if entered else None,
        comm_before=None if bits & _NOT_ENTERED else _name(comm_before),
        interpreter=until_nul(record[at_interpreter:at_argv]) if interpreters else None,
        exe=None if bits & _EXE_CUT else _path(record[at_exe : at_exe + exes]),
    )


def _failed(record: bytes, head: _Head, time_ns: int, bits: int) -> ExecFailed:
    entered, ret, fd, at_flags, text, argc, _, used, low, high = FAILED.unpack_from(record, HEAD.size)
    at = HEAD.size + FAILED.size
    words = _words(record[at : at + used])
    filename = None if text & _NAME_UNREAD else words.pop(0)
    argv = tuple(arguments(words, argc, low | high << 64, ExecFlag(text)))
    if bits & _AT and filename is not None:
        filename = _with_descriptor(filename, fd)
    return ExecFailed(
        *head,
        filename=filename,
        filename_error=filename is None or bits & _NAME_CUT != 0 or None,
        argv=argv,
        argv_truncated=text & _ARGV_CUT != 0 or None,
        argv_error=None in argv or None,
        fd=fd if bits & _AT else None,
        at_flags=at_flags if bits & _AT else None,
        ret=ret,
        duration_ns=time_ns - entered if entered else None,
        errno=errno_name(ret),
    )


def _ended(record: bytes, head: _Head, time_ns: int, start_ns: int) -> ExitEvent:
    started, user_ns, system_ns, cpu_ns, max_rss, status, _ = _ENDED(record, HEAD.size)
    signal = status & 0x7F
    return ExitEvent(
        *head,
        lifetime_ns=time_ns - (started or start_ns),
        age_ns=time_ns - start_ns,
        exit_code=None if signal else status >> 8 & 0xFF,
        signal=signal or None,
        core=bool(status & 0x80) if signal else None,
        cpu_ns=cpu_ns,
        user_ns=user_ns,
        system_ns=system_ns,
        max_rss=max_rss * mmap.PAGESIZE,
    )


# A storm has few names and few files.
_name = lru_cache(maxsize=256)(until_nul)


@lru_cache(maxsize=256)
def _path(names: bytes) -> str:
    """The path of a file by its name and those of its folders up to the root."""
    return "/" + "/".join(reversed(_words(names)))


def _words(data: bytes) -> list[str]:
    """Text in pieces that each end with a NUL; the last may have lost it."""
    words = decode(data).split("\0")
    return words if words[-1] else words[:-1]


def _with_descriptor(filename: str, fd: int) -> str:
    """A path that is relative to a descriptor, as the kernel names it for an exec that is done."""
    if fd == _AT_FDCWD or filename.startswith("/"):
        return filename
    return f"/dev/fd/{fd}/{filename}" if filename else f"/dev/fd/{fd}"
