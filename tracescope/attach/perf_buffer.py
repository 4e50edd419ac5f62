"""The perf buffer: what carries records where the kernel has no BPF ring buffer (before Linux 5.8).

Source: kernel/events/ring_buffer.c, kernel/trace/bpf_trace.c (bpf_perf_event_output). One perf event of kind BPF_OUTPUT
a CPU, each with a ring of its own; a record is a PERF_RECORD_SAMPLE with a 32-bit length and the bytes, rounded up to 8
with both. What found no room comes later as PERF_RECORD_LOST.
"""

from __future__ import annotations

import errno
import mmap
import struct
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.perf_ring import HEADER, PerfRing
from tracescope.attach.kernel.transport import BPF_OUTPUT
from tracescope.attach.ring import Batch
from tracescope.host import LiveHost

__all__ = ("PerfReader", "batch_of", "body_of", "lost_of")

_LOST, _SAMPLE = 2, 9
_SIZE, _LOST_BODY = struct.Struct("=I"), struct.Struct("=QQ")
_BODY = HEADER.size + _SIZE.size
_LEAST = 256 << 10


def body_of(record: bytes) -> bytes:
    """What a program handed over, with up to 7 bytes behind it, in a PERF_RECORD_SAMPLE."""
    (size,) = _SIZE.unpack_from(record, HEADER.size)
    return record[_BODY : _BODY + size]


def lost_of(record: bytes) -> int:
    """How many records found no room, in a PERF_RECORD_LOST; 0 in any other."""
    return _LOST_BODY.unpack_from(record, HEADER.size)[1] if HEADER.unpack_from(record)[0] == _LOST else 0


def batch_of(records: Iterable[bytes]) -> Batch:
    """Records as the other reader gives them."""
    spans, at = [], 0
    kept = list(records)
    for record in kept:
        spans.append((at, at + len(record)))
        at += len(record)
    return Batch(b"".join(kept), len(kept), spans=spans)


class PerfReader:
    """Reads the map `events` of a program that hands over through perf; records begin with their time in ns.

    `size` bytes of memory for all CPUs together, if that is enough; `record_size` when all records have that size.
    """

    def __init__(self, map_fd: int, size: int, record_size: int | None = None) -> None:
        stop = _BODY + (record_size or 0)
        self._body: Callable[[bytes], bytes] = (lambda record: record[_BODY:stop]) if record_size else body_of
        self._rings: dict[int, PerfRing] = {}
        self._held: list[bytes] = []
        self._settled = 0
        self.lost: dict[int, int] = {}
        """By CPU: the records that found no room, as far as the kernel has said so."""
        cpus = bpf.online_cpus(LiveHost())
        pages = 1 << (max(_LEAST, size // len(cpus)) // mmap.PAGESIZE).bit_length() - 1
        try:
            for cpu in cpus:
                self._add(cpu, pages, map_fd)
        except OSError:
            self.close()
            raise

    def _add(self, cpu: int, pages: int, map_fd: int) -> None:
        try:
            ring = self._rings[cpu] = PerfRing(BPF_OUTPUT, cpu, pages)
        except OSError as error:
            if error.errno == errno.ENODEV:  # gone offline since
                return
            raise
        bpf.map_update(map_fd, struct.pack("=I", cpu), struct.pack("=i", ring.event))

    @property
    def fill(self) -> float:
        """Which part of the fullest ring holds records that were not read: 0 to 1."""
        return max((ring.fill for ring in self._rings.values()), default=0.0)

    def read(self, *, last: bool = False) -> Iterator[Batch]:
        """What is there now, in the order of time; the newest waits for the next call unless this is the `last`.

        A record of another CPU may carry an earlier time and come later.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for cpu, ring in self._rings.items():
            for record in ring.read():
                if HEADER.unpack_from(record)[0] == _SAMPLE:
                    self._held.append(self._body(record))
                else:
                    self.lost[cpu] = self.lost.get(cpu, 0) + lost_of(record)
        self._held.sort(key=_time)
        settled, self._settled = self._settled, now
        ready = len(self._held) if last else bisect_left(self._held, settled, key=_time)
        found, self._held = self._held[:ready], self._held[ready:]
        if found:
            yield batch_of(found)

    def close(self) -> None:
        """Let go of the events; the map itself stays with its owner."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()


def _time(record: bytes) -> int:
    return int.from_bytes(record[:8], sys.byteorder)
