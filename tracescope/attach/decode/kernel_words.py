"""A tracepoint's event in the kernel's own words: its `print fmt` over the values in a record of the ring.

Input: the records that `attach.program` writes, laid out by `attach.record.layout`. `common_` fields are not among what
a BPF program sees: an event whose words need one shows `?common_…`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.targets.target import Shape
from tracescope.model import ProbeKind
from tracescope.sources.print_fmt import fields_in_hex
from tracescope.sources.print_operand import Lookups
from tracescope.sources.print_words import compile_print_fmt
from tracescope.sources.record import record_reader

__all__ = ("KernelWords",)

_HIDDEN = 8
"""The bytes of the kernel's record before what is copied."""

_Words = Callable[[bytes, int], str]


class KernelWords:
    """Calls give the words of a record; None for a probe that has none: only tracepoints do."""

    def __init__(self, plan: Plan, lookups: Lookups) -> None:
        self._made: list[_Words | None] = [_words(probe, lookups) for probe in plan.probes]
        self.names_symbols = any("ps" in fields_in_hex(probe.format.print_fmt).values() for probe in plan.probes)
        """Some of the words are symbols."""

    def __call__(self, record: bytes) -> str | None:
        """The words as the kernel would put them: nothing in them is made printable yet."""
        _, _, index, _, _, _, flags, _ = HEADER.unpack_from(record)
        words = self._made[index]
        return None if words is None else words(record, flags)


def _words(probe: PlannedProbe, lookups: Lookups) -> _Words | None:
    if probe.target.kind is not ProbeKind.TRACEPOINT or not probe.format.print_fmt.strip():
        return None
    words, read = compile_print_fmt(probe.format, lookups), record_reader(probe.format)
    start, end, at = HEADER.size, HEADER.size + 8 * probe.words, probe.fixed_size
    dynamic = () if probe.shape is Shape.EXEC else probe.dynamic

    def run(record: bytes, flags: int) -> str:
        values = read(bytes(_HIDDEN) + record[start:end])
        place, bit = at, 1
        for layout in dynamic:
            size = int.from_bytes(record[layout.offset + 2 : layout.offset + 4], sys.byteorder)
            data = record[place : place + min(size, probe.cap)]
            values[layout.field.name] = data
            if flags & bit:
                del values[layout.field.name]
            place, bit = place + len(data), bit << 1
        return words(values)

    return run
