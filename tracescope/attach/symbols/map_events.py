"""New executable mappings and forks of all processes, as the kernel tells them: a process may be gone when it is asked.

Source: include/uapi/linux/perf_event.h, PERF_RECORD_MMAP2 and PERF_RECORD_FORK in the memory of one dummy event a CPU.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Self

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.perf_ring import HEADER, PerfRing
from tracescope.attach.symbols.mappings import Mapping, Mappings
from tracescope.host import LiveHost
from tracescope.printable import decode

__all__ = ("MapEvents", "parse_record")

_SOFTWARE, _DUMMY = 1, 9
_MMAP, _TASK, _MMAP2 = 1 << 8, 1 << 13, 1 << 23
_PAGES = 128
_MAP2 = struct.Struct("=IIQQQIIQQII")
_FORK = struct.Struct("=IIII")
_MAP2_RECORD, _FORK_RECORD = 10, 7


def parse_record(record: bytes) -> tuple[int, Mapping | int] | None:
    """A process and what it mapped, or a process and its parent; None for every other record."""
    kind, _, length = HEADER.unpack_from(record)
    if kind == _MAP2_RECORD and length >= HEADER.size + _MAP2.size:
        pid, _, start, size, offset, _, _, inode, _, _, _ = _MAP2.unpack_from(record, HEADER.size)
        path = record[HEADER.size + _MAP2.size :].partition(b"\0")[0]
        # Memory without a file; the kernel's words for it begin with `//`.
        path = b"" if path.startswith(b"//") else path
        return pid, Mapping(start, start + size, offset, inode, decode(path))
    if kind == _FORK_RECORD and length >= HEADER.size + _FORK.size:
        pid, parent, _, _ = _FORK.unpack_from(record, HEADER.size)
        return None if pid == parent else (pid, parent)
    return None


class MapEvents:
    """Puts what processes map into `mappings` at each `read()`, from now until it is closed. For one thread.

    Where the kernel refuses it nothing comes: then /proc has to do.
    """

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings
        self._rings: list[PerfRing] = []
        attr = bpf.PerfAttr(_SOFTWARE, _DUMMY, flags=_MMAP | _TASK | _MMAP2)
        with suppress(OSError):
            for cpu in bpf.online_cpus(LiveHost()):
                self._rings.append(PerfRing(attr, cpu, _PAGES))

    def read(self) -> None:
        """Take what is new."""
        for ring in self._rings:
            for record in ring.read():
                self._take(record)

    def _take(self, record: bytes) -> None:
        found = parse_record(record)
        if found is None:
            return
        pid, what = found
        if isinstance(what, Mapping):
            self._mappings.add(pid, [what])
        else:
            self._mappings.forked(pid, what)

    def close(self) -> None:
        """Let go of the events."""
        for ring in self._rings:
            ring.close()
        self._rings.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
