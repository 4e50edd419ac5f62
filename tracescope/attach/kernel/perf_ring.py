"""One perf event's memory: records that the kernel writes and this process reads, without a system call.

Source: include/uapi/linux/perf_event.h, kernel/events/ring_buffer.c. A page tells the positions (`struct
perf_event_mmap_page`), the data pages are a ring of records with 8-byte headers (`struct perf_event_header`).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

from tracescope.attach.kernel import bpf

__all__ = ("HEADER", "PerfRing", "between", "records")

HEADER = struct.Struct("=IHH")
"""`struct perf_event_header`: type, misc, size with the header."""
# Of the page with the positions: data_head, data_tail.
_HEAD, _TAIL = 1024 // 8, 1032 // 8


def between(ring: memoryview, tail: int, head: int) -> bytes:
    """A copy of what lies between two positions, which only grow; it may go on at the ring's beginning."""
    at, length = tail % len(ring), head - tail
    first = bytes(ring[at : at + length])
    return first + bytes(ring[: length - len(first)])


def records(data: bytes) -> Iterator[bytes]:
    """Records one behind the other, each with its header; stops at one that cannot be."""
    at, end, unpack = 0, len(data), HEADER.unpack_from
    while at + HEADER.size <= end:
        _, _, length = unpack(data, at)
        if length < HEADER.size or at + length > end:
            return
        yield data[at : at + length]
        at += length


class PerfRing:
    """A perf event of all processes on one CPU with `pages` (a power of two) of data. Raises OSError."""

    def __init__(self, attr: bpf.PerfAttr, cpu: int, pages: int) -> None:
        self.event = bpf.open_event(attr, cpu=cpu)
        """Its file descriptor."""
        try:
            self._memory = mmap.mmap(self.event, (1 + pages) * mmap.PAGESIZE)
        except OSError:
            os.close(self.event)
            raise
        whole = memoryview(self._memory)
        self._positions = whole[: mmap.PAGESIZE].cast("Q")
        self._data = whole[mmap.PAGESIZE :]
        whole.release()
        bpf.enable_event(self.event)

    @property
    def fill(self) -> float:
        """Which part of the ring holds records that were not read: 0 to 1."""
        return (self._positions[_HEAD] - self._positions[_TAIL]) / len(self._data)

    def read(self) -> list[bytes]:
        """The records that are there now, each with its header; from then on the kernel may write over them."""
        head = self._positions[_HEAD]
        data = between(self._data, self._positions[_TAIL], head)
        self._positions[_TAIL] = head
        return list(records(data))

    def close(self) -> None:
        """Let go of the event and its memory."""
        self._positions.release()
        self._data.release()
        self._memory.close()
        os.close(self.event)
