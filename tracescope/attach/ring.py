"""The kernel's BPF ring buffer read as memory, many records at a time.

Source: kernel/bpf/ringbuf.c. A page with the consumer's position (ours to write), a page with the producer's, and the
data pages twice in a row, so that a record that wraps around is in one piece. A record is an 8-byte header (length with
two flag bits, page offset) and its bytes, rounded up to 8. Positions only grow.

They are read and written with plain 8-byte loads and stores: x86 keeps their order. Elsewhere the interpreter's own
locks between two of our reads have to do.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ("Batch", "RingReader", "even", "walk")

_BUSY = 1 << 31
_DISCARD = 1 << 30
_LENGTH = _DISCARD - 1
_HEADER = 8
_MAX_BATCH = 1 << 20


def _room(length: int) -> int:
    """What a record of `length` bytes takes in the ring."""
    return (length + _HEADER + 7) & ~7


def walk(words: memoryview, mask: int, consumer: int, producer: int) -> tuple[list[tuple[int, int]], int]:
    """The complete records between two positions, as (start, end) counted from the consumer's, and its new position.

    `words` are the data pages, twice, as 32-bit words. Stops at a record that is still being written.
    """
    spans: list[tuple[int, int]] = []
    base = (consumer & mask) - consumer
    position = consumer
    while position < producer:
        word = words[(base + position) // 4]
        length = word & _LENGTH
        if word & _BUSY or position + _room(length) > producer:
            break
        if not word & _DISCARD:
            start = position - consumer + _HEADER
            spans.append((start, start + length))
        position += _room(length)
    return spans, position


def even(words: memoryview, mask: int, consumer: int, producer: int, size: int) -> int:
    """How many complete records of exactly `size` bytes follow each other from the consumer's position on."""
    room = _room(size)
    count = (producer - consumer) // room
    first = (consumer & mask) // 4
    found = words[first : first + count * room // 4 : room // 4].tobytes()
    wanted = struct.pack("=I", size) * count
    if found == wanted:
        return count
    return bisect_left(range(count), True, key=lambda n: found[: 4 * n + 4] != wanted[: 4 * n + 4])


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` records copied out of the ring: all of `size` bytes, or where `spans` says."""

    data: bytes
    count: int
    size: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    def records(self, start: int, stop: int) -> list[bytes]:
        """The records from number `start` up to `stop`, oldest first."""
        data, size = self.data, self.size
        if not size:
            return [data[first:last] for first, last in self.spans[start:stop]]
        room = _room(size)
        return [data[at : at + size] for at in range(start * room + _HEADER, stop * room, room)]

    def rest(self, start: int) -> Batch:
        """The records from number `start` on."""
        if not self.size:
            return Batch(self.data, self.count - start, spans=self.spans[start:])
        return Batch(self.data[start * _room(self.size) :], self.count - start, self.size)


class RingReader:
    """A ring buffer map of `size` bytes of data; `record_size` when all its records have that size."""

    def __init__(self, map_fd: int, size: int, record_size: int | None = None) -> None:
        page = mmap.PAGESIZE
        self._mask = size - 1
        self._record_size = record_size
        self._consumer_page = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._pages = mmap.mmap(map_fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        whole = memoryview(self._pages)
        self._consumer = memoryview(self._consumer_page)[:8].cast("Q")
        self._producer = whole[:8].cast("Q")
        self._data = whole[page:]
        self._words = self._data.cast("I")
        whole.release()

    @property
    def fill(self) -> float:
        """Which part of the ring holds records that were not read: 0 to 1."""
        return (self._producer[0] - self._consumer[0]) / (self._mask + 1)

    def read(self, *, last: bool = False) -> Iterator[Batch]:  # noqa: ARG002 - a record that is complete is in its place
        """The records that are complete now, in batches of 1 MiB at most."""
        consumer, producer = self._consumer[0], self._producer[0]
        # Up to where the producer is now: whoever runs after it never comes to an end.
        while consumer < producer:
            batch, position = self._copy(consumer, min(producer, consumer + _MAX_BATCH))
            if position == consumer:
                return
            # From here on the kernel may write over what was copied.
            self._consumer[0] = consumer = position
            if batch.count:
                yield batch

    def _copy(self, consumer: int, producer: int) -> tuple[Batch, int]:
        start = consumer & self._mask
        if self._record_size:
            count = even(self._words, self._mask, consumer, producer, self._record_size)
            end = count * _room(self._record_size)
            if count:
                return Batch(bytes(self._data[start : start + end]), count, self._record_size), consumer + end
        spans, position = walk(self._words, self._mask, consumer, producer)
        data = bytes(self._data[start : start + position - consumer])
        return Batch(data, len(spans), spans=spans), position

    def close(self) -> None:
        """Unmap the ring; the map itself stays with its owner."""
        for view in (self._words, self._data, self._producer, self._consumer):
            view.release()
        self._pages.close()
        self._consumer_page.close()
