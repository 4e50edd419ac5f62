"""The trace ring buffer's pages, as `per_cpu/cpuN/trace_pipe_raw` hands them out, cut into records with their times.

Source: tracefs `events/header_page` for a page's head; include/linux/ring_buffer.h and kernel/trace/ring_buffer.c
for what follows: a word of 5 bits of type or length and 27 bits of time since the record before, then the record.
Times are nanoseconds of the instance's `trace_clock`. Integers are in the machine's byte order.
"""

from __future__ import annotations

import re
import struct
import sys
from dataclasses import dataclass, field

from tracescope.errors import Damaged
from tracescope.printable import decode

__all__ = ("BufferStats", "Page", "PageLayout", "decode_page", "parse_header_page", "parse_stats")

_FIELD = re.compile(r"field:[^;\n]*?\b(\w+);\s*offset:(\d{1,6});\s*size:(\d{1,9});")
_STAT = re.compile(r"^([a-z ]{1,40}): +(\d{1,20})$", re.MULTILINE)

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_TIME_BITS = 27
_TIME_MASK = (1 << _TIME_BITS) - 1
# An absolute time has 59 bits; the upper 5 are those of the time before.
_STAMP = 1 << 59
_LENGTH = (1 << 27) - 1
_MISSED, _MISSED_COUNTED = 1 << 31, 1 << 30
_WORD = struct.Struct("=I")
_TIME = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where the parts of a page are, in bytes from its start."""

    time: int
    commit: int
    commit_size: int
    """4 or 8: that of the kernel's `long`."""
    data: int


@dataclass(slots=True)
class Page:
    """The records of a page, oldest first, as (time in nanoseconds, bytes); up to 3 bytes of padding may follow one."""

    records: list[tuple[int, bytes]] = field(default_factory=list)
    missed: int | None = 0
    """How many records the kernel overwrote before this page; None when it lost some and does not say how many."""


@dataclass(frozen=True, slots=True)
class BufferStats:
    """One CPU's `stats`: what became of the records so far."""

    waiting: int
    """In the buffer, not read yet."""
    read: int
    overrun: int
    """Overwritten before they were read."""
    dropped: int
    """Not written: the buffer was full, or an interrupt came at the wrong moment."""

    @property
    def lost(self) -> int:
        """Records that nobody will ever see."""
        return self.overrun + self.dropped


def parse_header_page(data: bytes) -> PageLayout:
    """`events/header_page`; Damaged when a field is missing."""
    fields = {name: (int(offset), int(size)) for name, offset, size in _FIELD.findall(decode(data))}
    try:
        (time, time_size), (commit, commit_size), (start, _) = fields["timestamp"], fields["commit"], fields["data"]
    except KeyError as error:
        raise Damaged("events/header_page cannot be read", f"it has no field {error.args[0]}") from None
    if time_size != 8 or commit_size not in (4, 8):
        raise Damaged("events/header_page cannot be read", f"a time of {time_size} bytes, a commit of {commit_size}")
    return PageLayout(time, commit, commit_size, start)


def parse_stats(data: bytes) -> BufferStats:
    """`per_cpu/cpuN/stats`; what a kernel does not count is 0."""
    counts = {name: int(count) for name, count in _STAT.findall(decode(data))}
    return BufferStats(
        waiting=counts.get("entries", 0),
        read=counts.get("read events", 0),
        overrun=counts.get("overrun", 0),
        dropped=counts.get("dropped events", 0) + counts.get("commit overrun", 0),
    )


def decode_page(page: bytes, layout: PageLayout) -> Page:
    """A page's records; Damaged when it cannot be one."""
    if len(page) < max(layout.data, layout.time + 8, layout.commit + layout.commit_size):
        raise Damaged("a trace page is cut off", f"it has {len(page)} bytes")
    commit = int.from_bytes(page[layout.commit : layout.commit + layout.commit_size], sys.byteorder)
    end = layout.data + (commit & _LENGTH)
    if end > len(page):
        raise Damaged("a trace page is damaged", f"{commit & _LENGTH} bytes of records in a page of {len(page)}")
    found = Page(missed=_missed(page, commit, end, layout.commit_size))
    _walk(page, layout.data, end, _TIME.unpack_from(page, layout.time)[0], found.records)
    return found


def _missed(page: bytes, commit: int, end: int, size: int) -> int | None:
    """How many records are missing before the page; the count stands behind the last record, if there is room."""
    if not commit & _MISSED:
        return 0
    if not commit & _MISSED_COUNTED or end + size > len(page):
        return None
    return int.from_bytes(page[end : end + size], sys.byteorder)


def _header(word: int) -> tuple[int, int]:
    """Type and time of a record's first word: two bit fields, which lie as the machine's byte order wants it."""
    return (word & 31, word >> 5) if sys.byteorder == "little" else (word >> 27, word & _TIME_MASK)


def _walk(page: bytes, at: int, end: int, time: int, records: list[tuple[int, bytes]]) -> None:
    """Add the records between two places; `time` is the page's own."""
    unpack = _WORD.unpack_from
    while at + 4 <= end:
        kind, delta = _header(unpack(page, at)[0])
        if 0 < kind < _PADDING:
            time += delta
            start = at + 4
            at = start + 4 * kind
            if at > end:
                raise _overlong(at - start, end - start)
            records.append((time, page[start:at]))
            continue
        if kind == _PADDING and not delta:
            return
        if at + 8 > end:
            raise _overlong(8, end - at)
        second = unpack(page, at + 4)[0]
        if kind == _TIME_EXTEND:
            time += delta + (second << _TIME_BITS)
            at += 8
        elif kind == _TIME_STAMP:
            time = _stamped(delta + (second << _TIME_BITS), time)
            at += 8
        else:
            # A discarded record keeps its time, but 1 stands for none.
            time += delta if kind != _PADDING or delta != 1 else 0
            start, at = at + 8, at + 4 + second
            if second < 4 or at > end:
                raise _overlong(second, end - start)
            if kind == 0:
                records.append((time, page[start:at]))


def _stamped(stamp: int, before: int) -> int:
    """rb_fix_abs_ts(): an absolute time with the upper bits that it has no room for."""
    time = stamp + (before & ~(_STAMP - 1))
    return time + _STAMP if before >= _STAMP and time < before else time


def _overlong(size: int, room: int) -> Damaged:
    return Damaged("a trace page is damaged", f"a record of {size} bytes where {max(room, 0)} are left")
