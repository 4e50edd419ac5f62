"""New executable mappings and forks of all processes, as the kernel tells them: a process may be gone when it is asked.

Source: include/uapi/linux/perf_event.h, PERF_RECORD_MMAP2 and PERF_RECORD_FORK in the memory of one dummy event a CPU.
A page tells the positions (`struct perf_event_mmap_page`), the data pages are a ring of records with 8-byte headers.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from tracescope.attach.kernel import bpf
from tracescope.attach.symbols.mappings import Mapping, Mappings
from tracescope.host import LiveHost
from tracescope.printable import decode

__all__ = ("MapEvents", "parse_record", "records")

_SOFTWARE, _DUMMY = 1, 9
_MMAP, _TASK, _MMAP2 = 1 << 8, 1 << 13, 1 << 23
_PAGES = 128
_HEADER = struct.Struct("=IHH")
_MAP2 = struct.Struct("=IIQQQIIQQII")
_FORK = struct.Struct("=IIII")
_MAP2_RECORD, _FORK_RECORD = 10, 7
# Of the page with the positions: data_head, data_tail.
_HEAD, _TAIL = 1024 // 8, 1032 // 8


def records(ring: memoryview, tail: int, head: int) -> Iterator[bytes]:
    """The records between two positions of a ring, each with its header; stops at one that cannot be."""
    size = len(ring)
    while tail < head:
        at = tail % size
        _, _, length = _HEADER.unpack(_around(ring, at, _HEADER.size))
        if length < _HEADER.size or tail + length > head:
            return
        yield _around(ring, at, length)
        tail += length


def _around(ring: memoryview, at: int, length: int) -> bytes:
    """Bytes that may go on at the ring's beginning."""
    first = bytes(ring[at : at + length])
    return first + bytes(ring[: length - len(first)])


def parse_record(record: bytes) -> tuple[int, Mapping | int] | None:
    """A process and what it mapped, or a process and its parent; None for every other record."""
    kind, _, length = _HEADER.unpack_from(record)
    if kind == _MAP2_RECORD and length >= _HEADER.size + _MAP2.size:
        pid, _, start, size, offset, _, _, inode, _, _, _ = _MAP2.unpack_from(record, _HEADER.size)
        path = record[_HEADER.size + _MAP2.size :].partition(b"\0")[0]
        # Memory without a file; the kernel's words for it begin with `//`.
        path = b"" if path.startswith(b"//") else path
        return pid, Mapping(start, start + size, offset, inode, decode(path))
    if kind == _FORK_RECORD and length >= _HEADER.size + _FORK.size:
        pid, parent, _, _ = _FORK.unpack_from(record, _HEADER.size)
        return None if pid == parent else (pid, parent)
    return None


class MapEvents:
    """Puts what processes map into `mappings` at each `read()`, from now until it is closed. For one thread.

    Where the kernel refuses it nothing comes: then /proc has to do.
    """

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings
        self._events: list[int] = []
        self._rings: list[mmap.mmap] = []
        attr = bpf.PerfAttr(_SOFTWARE, _DUMMY, flags=_MMAP | _TASK | _MMAP2)
        with suppress(OSError):
            for cpu in bpf.online_cpus(LiveHost()):
                event = bpf.open_event(attr, cpu=cpu)
                self._events.append(event)
                self._rings.append(mmap.mmap(event, (1 + _PAGES) * mmap.PAGESIZE))
                bpf.enable_event(event)

    def read(self) -> None:
        """Take what is new."""
        for ring in self._rings:
            with memoryview(ring) as whole, whole[: mmap.PAGESIZE].cast("Q") as words, whole[mmap.PAGESIZE :] as data:
                head = words[_HEAD]
                for record in records(data, words[_TAIL], head):
                    self._take(record)
                words[_TAIL] = head

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
        for event in self._events:
            os.close(event)
        self._rings.clear()
        self._events.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
