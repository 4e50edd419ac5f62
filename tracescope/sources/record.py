"""A tracepoint's raw record, as the trace ring buffer and perf hold it, as values by field name.

Source: Documentation/trace/events.rst, "Event formats"; include/trace/stages/stage1_struct_define.h and stage5: a
`__data_loc` is 16 bits of length over 16 bits of offset, a `__rel_loc` has its offset from behind itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tracescope.model import EventFormat, Field
from tracescope.sources.print_operand import Known, scalar

__all__ = ("RecordReader", "record_reader")

RecordReader = Callable[[bytes], "dict[str, Known]"]

_CODES = {8: "B", 16: "H", 32: "I", 64: "Q"}


def record_reader(event: EventFormat, *, common: bool = False) -> RecordReader:
    """A function from a record to its values: integers, bytes for arrays; the `common_` fields too when asked for.

    A field that the record is too short for is left out; of an array, what lies outside of the record.
    """
    fields = [field for field in (*(event.common if common else ()), *event.fields) if field.name]
    readers = [(field.name, _reader(field), field.offset + field.size) for field in fields]
    longest = max((end for _, _, end in readers), default=0)

    def read(record: bytes) -> dict[str, Known]:
        if len(record) >= longest:
            return {name: get(record) for name, get, _ in readers}
        return {name: get(record) for name, get, end in readers if end <= len(record)}

    return read


def _reader(field: Field) -> Callable[[bytes], Known]:
    start, end = field.offset, field.offset + field.size
    if field.location and field.size == 4:
        return _dynamic(start, end if field.location == "__rel_loc" else 0)
    kind = scalar(field)
    if kind is not None:
        code = _CODES[kind.bits]
        unpack = struct.Struct("=" + (code.lower() if kind.signed else code)).unpack_from
        return lambda record: int(unpack(record, start)[0])
    if field.size == 0:
        # `char buf[]`, the rest of the record.
        return lambda record: record[start:]
    return lambda record: record[start:end]


def _dynamic(place: int, base: int) -> Callable[[bytes], bytes]:
    unpack = struct.Struct("=I").unpack_from

    def read(record: bytes) -> bytes:
        location = unpack(record, place)[0]
        start = base + (location & 0xFFFF)
        return record[start : start + (location >> 16)]

    return read
