"""The kernel's trace records: which event one is, whose, and its fields by name. Pure.

Source: Documentation/trace/events.rst; every record begins with the `common_` fields of its event's format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tracescope.errors import Damaged
from tracescope.model import EventFormat, Field

__all__ = ("Common", "dynamic_bytes", "number", "text")

_CODES = {(1, True): "b", (1, False): "B", (2, True): "h", (2, False): "H"}
_CODES |= {(4, True): "i", (4, False): "I", (8, True): "q", (8, False): "Q"}


@dataclass(frozen=True, slots=True)
class Common:
    """Where a record says which event it is, and whose: offsets in bytes."""

    type: Field
    pid: Field

    @classmethod
    def of(cls, format_: EventFormat) -> Common:
        """From any event's format; raises Damaged."""
        fields = {field.name: field for field in format_.common}
        try:
            return cls(fields["common_type"], fields["common_pid"])
        except KeyError as error:
            raise Damaged(f"{format_.probe} has no {error.args[0]}", "its format is unknown") from None


def number(record: bytes, field: Field) -> int:
    """The integer in a field; raises Damaged for a record that is too short."""
    try:
        return int(struct.unpack_from("=" + _CODES[field.size, field.signed], record, field.offset)[0])
    except (KeyError, struct.error):
        raise Damaged("a trace record is cut off", f"{field.name} is not in its {len(record)} bytes") from None


def dynamic_bytes(record: bytes, field: Field) -> bytes | None:
    """The bytes that a `__data_loc` or `__rel_loc` word leads to; None when they are not in the record."""
    if field.offset + 4 > len(record):
        return None
    word = struct.unpack_from("=I", record, field.offset)[0]
    start, size = word & 0xFFFF, word >> 16
    if field.location == "__rel_loc":
        start += field.offset + 4
    return record[start : start + size] if start + size <= len(record) else None


def text(record: bytes, field: Field) -> bytes | None:
    """The text in a field, up to its NUL."""
    data = dynamic_bytes(record, field) if field.location else record[field.offset : field.offset + field.size]
    return None if data is None else data.partition(b"\0")[0]
