"""Calls that had not returned when the session ended, of which something was not in memory at entry."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress

from tracescope.attach.decode.captured import Found, captures_in
from tracescope.attach.kernel import bpf
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER, CaptureKind, PlannedProbe

__all__ = ("unreturned",)

_KEY_BYTES = 8
_SLOT, _WORD, _NUMBER = struct.Struct("=q"), struct.Struct("=Q"), struct.Struct("=i")


def unreturned(cold: int, plan: Plan) -> list[tuple[int, bytes]]:
    """The records that still wait in the map, each with its probe's index, in the order of time.

    The text of a call that is still under way is there by now.
    """
    size = plan.waiting_bytes
    rows = (
        values[at * size : (at + 1) * size]
        for count, _, values in bpf.map_batches(cold, _KEY_BYTES, size)
        for at in range(count)
    )
    found = sorted((HEADER.unpack_from(row)[0], HEADER.unpack_from(row)[2], row) for row in rows)
    return [(probe, _completed(plan.probes[probe], row)) for _, probe, row in found]


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
