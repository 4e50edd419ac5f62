"""Calls that do not return, of which something was not in memory at entry: their records wait in a map.

Who hands one over: the program at the call's return, until a mark in the map `taken` says otherwise. A record that has
waited for long is marked; if it is still there a while later no program is at work that has not seen the mark, and the
record is ours. With a second mark, when it was handed over, the program at the return takes it away. Of a call that
returns in between the text is not known.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tracescope.attach.decode.captured import Found, captures_in
from tracescope.attach.kernel import bpf
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER, CaptureKind, PlannedProbe

__all__ = ("Blocked",)

_SLOT, _WORD, _NUMBER = struct.Struct("=q"), struct.Struct("=Q"), struct.Struct("=i")
_FIRST = struct.pack("=I", 0)
_EVERY_NS, _LONG_NS, _SETTLED_NS = 250_000_000, 500_000_000, 20_000_000


@dataclass(slots=True)
class _Mark:
    """Of which record, by its time; when it was set; whether the record was handed over."""

    time_ns: int
    since_ns: int
    given: bool = False


class Blocked:
    """The records that wait in the maps `cold`, `cold_count` and `taken` of a plan's programs."""

    def __init__(self, maps: Mapping[str, int], plan: Plan) -> None:
        self._maps = maps
        self._plan = plan
        self._marks: dict[bytes, _Mark] = {}
        self._looked_ns = 0

    def look(self, now_ns: int) -> list[tuple[int, bytes]]:
        """The records that have waited for long and were not given yet, each with its probe's index.

        `now_ns` is the monotonic time.
        """
        unsettled = any(not mark.given for mark in self._marks.values())
        if now_ns - self._looked_ns < (_SETTLED_NS if unsettled else _EVERY_NS):
            return []
        self._looked_ns = now_ns
        if not self._marks and not any(bpf.map_lookup(self._maps["cold_count"], _FIRST, _WORD.size)):
            return []
        rows = dict(self._rows())
        for key in [key for key in self._marks if key not in rows]:
            del self._marks[key]
            with suppress(OSError):
                bpf.map_delete(self._maps["taken"], key)
        return [self._record(row) for key, row in rows.items() if self._is_ours(key, row, now_ns)]

    def rest(self) -> list[tuple[int, bytes]]:
        """All that were not given, in the order of time; for when no program runs any more."""
        rows = [(HEADER.unpack_from(row)[0], key, row) for key, row in self._rows()]
        return [self._record(row) for time_ns, key, row in sorted(rows) if not self._is_given(key, time_ns)]

    def _rows(self) -> Iterator[tuple[bytes, bytes]]:
        size = self._plan.waiting_bytes
        for count, keys, values in bpf.map_batches(self._maps["cold"], _WORD.size, size):
            for at in range(count):
                yield keys[at * _WORD.size : (at + 1) * _WORD.size], values[at * size : (at + 1) * size]

    def _is_given(self, key: bytes, time_ns: int) -> bool:
        mark = self._marks.get(key)
        return mark is not None and mark.given and mark.time_ns == time_ns

    def _is_ours(self, key: bytes, row: bytes, now_ns: int) -> bool:
        """True once; before that, what has waited for long is marked."""
        time_ns, mark = HEADER.unpack_from(row)[0], self._marks.get(key)
        if mark is None or mark.time_ns != time_ns:
            if now_ns - time_ns >= _LONG_NS and self._mark(key, time_ns, given=False):
                self._marks[key] = _Mark(time_ns, now_ns)
            return False
        if mark.given or now_ns - mark.since_ns < _SETTLED_NS:
            return False
        mark.given = self._mark(key, time_ns, given=True)
        return mark.given

    def _mark(self, key: bytes, time_ns: int, *, given: bool) -> bool:
        with suppress(OSError):  # no room
            bpf.map_update(self._maps["taken"], key, _WORD.pack(time_ns << 1 | given))
            return True
        return False

    def _record(self, row: bytes) -> tuple[int, bytes]:
        probe = HEADER.unpack_from(row)[2]
        return probe, _completed(self._plan.probes[probe], row)


def _completed(probe: PlannedProbe, row: bytes) -> bytes:
    """The record without what follows it, and with the texts that can be read now."""
    head, (tid, flags) = bytearray(row[: probe.fixed_size]), HEADER.unpack_from(row)[4:7:2]
    parts = []
    for number, found in enumerate(captures_in(probe, row, flags, probe.fixed_size)):
        data = found.data
        if found.unread and found.capture.again and found.capture.kind is CaptureKind.TEXT:
            data = _text(tid, _word(probe, row, found), found.capture.size)
            if data and _still_called(tid, probe, row):
                _SLOT.pack_into(head, probe.slots_offset + 8 * number, len(data))
            else:
                data = b""
        parts.append(data)
    return bytes(head) + b"".join(parts)


def _word(probe: PlannedProbe, row: bytes, found: Found) -> int:
    """The argument that points to what was not read."""
    (offset,) = (layout.offset for layout in probe.fields if layout.field.name == found.capture.name)
    return int(_WORD.unpack_from(row, offset)[0])


def _text(tid: int, address: int, size: int) -> bytes:
    """The text in a thread's memory up to its NUL, as the kernel copies it; empty when there is none."""
    with suppress(OSError, OverflowError), open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), size, address)
        end = data.find(b"\0")
        if end < 0 and len(data) == size:
            return data[:-1] + b"\0"
        return data[: end + 1]
    return b""


def _still_called(tid: int, probe: PlannedProbe, row: bytes) -> bool:
    """True when the thread is in this very call: what is in its memory now is what the call was given."""
    called = [_NUMBER.unpack_from(row, HEADER.size)[0]]
    called += [_WORD.unpack_from(row, HEADER.size + 8 * word)[0] for word in range(1, probe.words)]
    with suppress(OSError):
        return list(_current_call(tid))[: len(called)] == called
    return False


def _current_call(tid: int) -> Iterator[int]:
    """Number and arguments of the call that a thread is in; nothing while it runs."""
    with open(f"/proc/{tid}/syscall", encoding="ascii") as file:
        words = file.read().split()
    if len(words) >= 7:
        yield from (int(word, 0) for word in words[:7])
