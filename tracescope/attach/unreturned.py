"""Calls that had not returned when the session ended, of which something was not in memory at entry."""

from __future__ import annotations

from tracescope.attach.decode.captured import captures_in
from tracescope.attach.kernel import bpf
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER

__all__ = ("unreturned",)

_KEY_BYTES = 8


def unreturned(cold: int, plan: Plan) -> list[tuple[int, bytes]]:
    """The records that still wait in the map, each with its probe's index, in the order of time."""
    size = plan.waiting_bytes
    rows = (
        values[at * size : (at + 1) * size]
        for count, _, values in bpf.map_batches(cold, _KEY_BYTES, size)
        for at in range(count)
    )
    found = sorted((HEADER.unpack_from(row)[0], HEADER.unpack_from(row)[2], row) for row in rows)
    return [(probe, row[: _used(plan, probe, row)]) for _, probe, row in found]


def _used(plan: Plan, index: int, row: bytes) -> int:
    """How many bytes of the record are filled."""
    probe = plan.probes[index]
    captured = captures_in(probe, row, HEADER.unpack_from(row)[6], probe.fixed_size)
    return probe.fixed_size + sum(len(found.data) for found in captured)
