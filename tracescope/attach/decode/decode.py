"""A record from the ring as an event.

Input: the records that `attach.program` writes, laid out by `attach.layout`. Integers are in the machine's byte order.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache

from tracescope.attach.decode.call import CallDecoder
from tracescope.attach.decode.captured import captures_in
from tracescope.attach.decode.events import Clock, Event
from tracescope.attach.decode.exec_calls import exec_values
from tracescope.attach.decode.field_words import with_meaning
from tracescope.attach.decode.symbol_words import as_code, as_symbol
from tracescope.attach.meaning import Phase
from tracescope.attach.plan import Plan
from tracescope.attach.record.call_memory import call_of
from tracescope.attach.record.layout import HEADER, FieldLayout, PlannedProbe
from tracescope.attach.record.values import Reader, Value, bytes_value, fixed_reader, until_nul
from tracescope.attach.targets.target import Shape
from tracescope.model import FlagTable
from tracescope.sources.print_fmt import fields_in_hex, flag_tables
from tracescope.sources.print_operand import Place

__all__ = ("Decoder", "shown_in_hex")

_SLOT = struct.Struct("=q")
_AS_ARGUMENT = frozenset({Shape.SYSCALL, Shape.EXEC})
_comm = lru_cache(maxsize=1024)(until_nul)


class Decoder:
    """Decodes the records of one plan; `symbol` gives the kernel's symbol at an address, `code` names a process's."""

    def __init__(
        self, plan: Plan, clock: Clock, symbol: Callable[[int], Place | None] = lambda _: None,
        code: Callable[[int, int], str | None] = lambda _pid, _address: None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._has_parent = plan.offsets is not None
        self._probes = [_ProbeDecoder(probe, symbol, code) for probe in plan.probes]

    def decode(self, record: bytes) -> Event:
        """The event in one record."""
        time_ns, cpu, probe, pid, tid, ppid, flags, comm = HEADER.unpack_from(record)
        decoder = self._probes[probe]
        args = decoder.args(record, flags)
        ret = args.pop("ret") if decoder.returns else None
        duration_ns = None
        if decoder.pair_offset:
            ret, duration_ns = decoder.pair(record)
        return Event(
            time_ns=time_ns + self._clock.offset_ns,
            cpu=cpu,
            probe=decoder.name,
            pid=pid,
            tid=tid,
            ppid=ppid if self._has_parent else None,
            comm=_comm(comm),
            args=args,
            ret=ret if isinstance(ret, int) else None,
            duration_ns=duration_ns,
        )


def shown_in_hex(probe: PlannedProbe) -> dict[str, str]:
    """As `fields_in_hex`; of a sample the place where it was taken is a symbol."""
    return {"ip": "ps"} if probe.shape is Shape.SAMPLE else fields_in_hex(probe.format.print_fmt)


class _ProbeDecoder:
    """Decodes the fields of one probe."""

    def __init__(
        self, probe: PlannedProbe, symbol: Callable[[int], Place | None], code: Callable[[int, int], str | None]
    ) -> None:
        self._symbol, self._code = symbol, code
        self.name = probe.name
        self.pair_offset = probe.result_offset if probe.end else 0
        self._probe = probe
        tables = {table.field: table for table in (*probe.target.tables, *flag_tables(probe.format.print_fmt))}
        # The number of the system call says what the probe's name says already; what was read says more than its place.
        hidden = {"__syscall_nr", *(capture.name for capture in probe.captures)}
        layouts = [layout for layout in probe.fields if layout.field.name not in hidden]
        as_argument = probe.shape in _AS_ARGUMENT
        # The kernel's text of a system call shows every argument in hexadecimal.
        in_hex = {} if as_argument else shown_in_hex(probe)
        self._readers = [
            (one, self._reader(one, tables, as_argument=as_argument, in_hex=in_hex.get(one.field.name, "")))
            for one in layouts
        ]
        self.returns = any(layout.field.name == "ret" for layout in layouts) and probe.shape is not Shape.RECORD
        self._order = self._names_in_order() if probe.captures else ()
        self._call = CallDecoder(probe) if call_of(probe.target) else None

    def _reader(
        self, layout: FieldLayout, tables: Mapping[str, FlagTable], *, as_argument: bool, in_hex: str
    ) -> Reader:
        plain = fixed_reader(layout, tables, as_argument=as_argument, in_hex=in_hex[:1])
        if in_hex == "ps":
            kernel = as_symbol(plain, self._symbol)
            return as_code(kernel, self._code) if self._probe.shape is Shape.SAMPLE else kernel
        if self._probe.shape is not Shape.RECORD or layout.field.name in tables:
            return plain
        return with_meaning(self._probe.format, layout, plain)

    def _names_in_order(self) -> tuple[str, ...]:
        names = [layout.field.name for layout in self._probe.fields if layout.field.name != "__syscall_nr"]
        return (*names, *(c.name for c in self._probe.captures if c.name not in names))

    def pair(self, record: bytes) -> tuple[int, int]:
        """Result and duration."""
        (ret,), (duration,) = (_SLOT.unpack_from(record, self.pair_offset + 8 * at) for at in range(2))
        return ret, duration

    def args(self, record: bytes, flags: int) -> dict[str, Value]:
        """Values by name, in the order of the format."""
        probe = self._probe
        if self._call is not None:
            return self._call_args(self._call, record, flags)
        if probe.dynamic:
            values, at = self._with_dynamic(record, flags)
        else:
            values, at = {layout.field.name: read(record) for layout, read in self._readers}, probe.fixed_size
        if probe.shape is Shape.EXEC:
            return exec_values(values, record)
        if probe.captures:
            for found in captures_in(probe, record, flags, at):
                values |= found.values()
            return {name: value for key in self._order for name, value in _with_mark(key, values)}
        return values

    def _with_dynamic(self, record: bytes, flags: int) -> tuple[dict[str, Value], int]:
        values: dict[str, Value] = {}
        at, bit, cap = self._probe.fixed_size, 1, self._probe.cap
        for layout, read in self._readers:
            name = layout.field.name
            if not layout.dynamic:
                values[name] = read(record)
                continue
            size = int.from_bytes(record[layout.offset + 2 : layout.offset + 4], sys.byteorder)
            data = record[at : at + min(size, cap)]
            values[name] = None if flags & bit else bytes_value(layout.field, data)
            if size > cap:
                values[f"{name}_truncated"] = True
            at, bit = at + len(data), bit << 1
        return values, at

    def _call_args(self, call: CallDecoder, record: bytes, flags: int) -> dict[str, Value]:
        copied: dict[str, dict[Phase, bytes]] = {}
        others: dict[str, Value] = {}
        for found in captures_in(self._probe, record, flags, self._probe.fixed_size):
            if not found.capture.phase:
                others |= found.values()
            elif found.data:
                copied.setdefault(found.capture.name, {})[Phase(found.capture.phase)] = found.data
        ret = self.pair(record)[0] if self.pair_offset else None
        return call.args(record, copied, ret) | others


def _with_mark(name: str, values: dict[str, Value]) -> list[tuple[str, Value]]:
    """A value and what says that it was cut."""
    return [(key, values[key]) for key in (name, f"{name}_truncated") if key in values]
