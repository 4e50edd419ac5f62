"""Which of our programs the kernel holds now, and who holds them.

Source: include/uapi/linux/bpf.h (BPF_PROG_GET_NEXT_ID, `struct bpf_prog_info`, BPF_TASK_FD_QUERY), proc_pid_fdinfo(5).
A program lives as long as a descriptor of it, of its link or of its perf event is open, or a pin in a BPF file system.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tracescope.attach.kernel import bpf

__all__ = ("PREFIX", "HeldProgram", "Holder", "held_programs")

PREFIX = "ts_"
"""What the names of our programs begin with."""

_OBJECT_GET, _NEXT_ID, _FD_BY_ID, _OBJECT_INFO, _TASK_FD_QUERY = 7, 11, 13, 15, 20
# The part of struct bpf_prog_info up to its name.
_INFO = struct.Struct("=II8sIIQQQIIQ16s")
_QUERY = struct.Struct("=IIIIQIIQQ")
_START_TIME = 19
_MOST_PINS = 10_000


@dataclass(frozen=True, slots=True)
class Holder:
    """A process with a descriptor; `started_ns` since boot, in the clock's ticks. `command` is the traced world's."""

    pid: int
    command: str
    started_ns: int


@dataclass(frozen=True, slots=True)
class HeldProgram:
    """One of our programs; `loaded_ns` since boot."""

    id: int
    name: str
    loaded_ns: int
    holders: tuple[Holder, ...] = ()
    pins: tuple[str, ...] = ()

    @property
    def owners(self) -> tuple[Holder, ...]:
        """Those that were there when it was loaded: one of them is the session. The others got it by a fork."""
        return tuple(holder for holder in self.holders if holder.started_ns <= self.loaded_ns)


def held_programs() -> list[HeldProgram]:
    """The programs named as ours are, by id. Raises OSError: EPERM without the rights to list programs."""
    found = {id_: info for id_ in _ids() if (info := _info(id_)) and info[0].startswith(PREFIX)}
    if not found:
        return []
    holders: dict[int, list[Holder]] = {id_: [] for id_ in found}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        held = _held_by(pid) & found.keys()
        holder = _holder(pid) if held else None
        if holder:
            for id_ in held:
                holders[id_].append(holder)
    pins = list(_pins())
    return [
        HeldProgram(id_, name, loaded, tuple(holders[id_]), tuple(path for pinned, path in pins if pinned == id_))
        for id_, (name, loaded) in found.items()
    ]


def _ids() -> Iterator[int]:
    at = 0
    with suppress(FileNotFoundError):
        while True:
            attr = ctypes.create_string_buffer(struct.pack("=III", at, 0, 0), 12)
            bpf.bpf(_NEXT_ID, attr)
            _, at, _ = struct.unpack("=III", attr.raw)
            yield at


def _info(id_: int) -> tuple[str, int] | None:
    """The name and the time of the load; None when it is gone."""
    try:
        fd = bpf.bpf(_FD_BY_ID, struct.pack("=III", id_, 0, 0))
    except FileNotFoundError:
        return None
    try:
        return _about(fd)[1:]
    finally:
        os.close(fd)


def _about(fd: int) -> tuple[int, str, int]:
    """Id, name, time of the load."""
    info = ctypes.create_string_buffer(_INFO.size)
    bpf.bpf(_OBJECT_INFO, struct.pack("=IIQ", fd, _INFO.size, ctypes.addressof(info)))
    _, id_, _, _, _, _, _, loaded, _, _, _, name = _INFO.unpack(info.raw)
    return id_, name.rstrip(b"\0").decode("ascii", "replace"), loaded


def _held_by(pid: int) -> set[int]:
    """The ids of all programs that a process has descriptors of; none when it is gone."""
    found: set[int] = set()
    with suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
                if link in ("anon_inode:bpf-prog", "anon_inode:bpf_link"):
                    found |= _ids_in(f"/proc/{pid}/fdinfo/{fd}")
                elif link == "anon_inode:[perf_event]":
                    found.add(_program_of_event(pid, int(fd)))
    return found


def _ids_in(path: str) -> set[int]:
    with open(path, encoding="ascii", errors="replace") as info:
        return {int(line.split()[1]) for line in info if line.startswith("prog_id:")}


def _program_of_event(pid: int, fd: int) -> int:
    """The program on a perf event; raises OSError when there is none."""
    attr = ctypes.create_string_buffer(_QUERY.pack(pid, fd, 0, 0, 0, 0, 0, 0, 0), _QUERY.size)
    bpf.bpf(_TASK_FD_QUERY, attr)
    return int(_QUERY.unpack(attr.raw)[5])


def _holder(pid: int) -> Holder | None:
    with suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything.
            ticks = int(file.read().rpartition(b")")[2].split()[_START_TIME])
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        return Holder(pid, command, ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    return None


def _pins() -> Iterator[tuple[int, str]]:
    """Program ids and paths in the BPF file systems that are mounted here."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        # proc(5): spaces in a name are written as octal numbers.
        roots = {line.split()[1].replace("\\040", " ") for line in mounts if line.split()[2] == "bpf"}
    seen = 0
    for root in sorted(roots):
        for folder, _, names in os.walk(root):
            for name in names:
                seen += 1
                if seen > _MOST_PINS:
                    return
                with suppress(OSError):
                    yield _pinned(os.path.join(folder, name)), os.path.join(folder, name)


def _pinned(path: str) -> int:
    """The id of the pinned program, or of a pinned link's; raises OSError for other objects."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    fd = bpf.bpf(_OBJECT_GET, struct.pack("=QII", ctypes.addressof(text), 0, 0))
    try:
        return next(iter(_ids_in(f"/proc/self/fdinfo/{fd}")), 0)
    finally:
        os.close(fd)
