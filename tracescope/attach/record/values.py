"""One field's bytes as a value: integers in the right sign, flags by name, text, addresses.

The event's format tells the type, its `print fmt` names the flags. What is neither is shown as raw bytes, labelled so.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from tracescope.attach.record.layout import FieldLayout
from tracescope.model import Field, FlagTable
from tracescope.printable import decode

__all__ = ("Hex", "Reader", "Value", "argument_type", "bytes_value", "fixed_reader", "until_nul")

Value: TypeAlias = "int | bool | str | Sequence[object] | Mapping[str, object] | None"
"""A number, a text, an address as `0x…`, a list, a structure by its members, None for what could not be read.

`{"raw": "0x…"}` are bytes that nobody decoded, `{"address": "0x…"}` is a pointer whose memory was not read.
"""

Reader: TypeAlias = Callable[[bytes], Value]

_CHARS = frozenset({"char", "const char"})
_CODES = {(1, True): "b", (1, False): "B", (2, True): "h", (2, False): "H"}
_CODES |= {(4, True): "i", (4, False): "I", (8, True): "q", (8, False): "Q"}

# An argument of a system call is 8 unsigned bytes in the record, whatever its type; the upper half may hold anything.
_SIGNED_4 = "int s32 __s32 pid_t key_t key_serial_t timer_t clockid_t mqd_t rwf_t __kernel_timer_t __kernel_clockid_t"
_UNSIGNED_4 = "uint u32 __u32 uid_t gid_t qid_t mode_t dev_t __poll_t old_sigset_t"
_SIGNED_8 = "long s64 __s64 off_t loff_t ssize_t time_t __kernel_long_t"
_C_TYPES = dict.fromkeys(_SIGNED_4.split(), (4, True))
_C_TYPES |= dict.fromkeys((*_UNSIGNED_4.split(), "unsigned", "unsigned int"), (4, False))
_C_TYPES |= dict.fromkeys((*_SIGNED_8.split(), "long int", "long long"), (8, True))
_C_TYPES |= dict.fromkeys(("umode_t", "u16", "__u16", "unsigned short", "old_uid_t", "old_gid_t"), (2, False))
_C_TYPES |= {"short": (2, True), "unsigned char": (1, False), "u8": (1, False), "__u8": (1, False), "bool": (1, False)}


_ELEMENTS = _C_TYPES | dict.fromkeys(("u64", "__u64", "unsigned long", "unsigned long long", "size_t"), (8, False))
"""What the elements of a dynamic array are."""


class Hex(int):
    """A number that people read in hexadecimal; for JSON it is a number like any other."""

    def __str__(self) -> str:
        return f"{int(self):#x}"


def until_nul(data: bytes) -> str:
    """The bytes before the first NUL as text."""
    return decode(data.partition(b"\0")[0])


def bytes_value(field: Field, data: bytes) -> Value:
    """The bytes of an array: text for `char`, a list for integers of two bytes and more, else raw."""
    if field.type in _CHARS:
        return until_nul(data)
    size, signed = _element(field)
    if size > 1 and data and len(data) % size == 0:
        return list(struct.unpack(f"={len(data) // size}{_CODES[size, signed]}", data))
    return {"raw": f"0x{data.hex()}"}


def _element(field: Field) -> tuple[int, bool]:
    """Size and sign of an array's element; size 0 for what is no integer."""
    if field.array is not None and field.array.isdecimal() and int(field.array):
        size = field.size // int(field.array)
        return (size, field.signed) if (size, field.signed) in _CODES else (0, False)
    name = re.sub(r"\b(const|volatile)\b", "", field.type).strip()
    return _ELEMENTS.get(name, (0, False)) if field.location else (0, False)


def fixed_reader(
    layout: FieldLayout, tables: Mapping[str, FlagTable], *, as_argument: bool = False, in_hex: str = ""
) -> Reader:
    """A function that reads one field out of a record; `as_argument` for those of system calls.

    `in_hex` is `p` for an address that is declared as a number, `x` for a number best read in hexadecimal.
    """
    field, offset = layout.field, layout.offset
    size, signed = field.size, field.signed
    if as_argument and size == 8:
        size, signed = argument_type(field)
    code = _CODES.get((size, signed))
    if field.array is not None or code is None:
        return lambda record: bytes_value(field, record[offset : offset + field.size])
    if as_argument and struct.pack("=H", 1) == b"\0\1":
        offset += field.size - size
    unpack = struct.Struct("=" + code).unpack_from
    if field.type.endswith("*"):
        return lambda record: f"{unpack(record, offset)[0]:#x}"
    if field.type in ("bool", "_Bool"):
        return lambda record: bool(unpack(record, offset)[0])
    table = tables.get(field.name)
    if table is not None:
        name = _symbolic(table, size) if table.kind == "symbolic" else _flags(table, size)
        return lambda record: name(unpack(record, offset)[0])
    if in_hex:
        mask = (1 << 8 * size) - 1
        if in_hex == "p":
            return lambda record: f"{unpack(record, offset)[0] & mask:#x}"
        return lambda record: Hex(unpack(record, offset)[0] & mask)
    return lambda record: int(unpack(record, offset)[0])


def argument_type(field: Field) -> tuple[int, bool]:
    """Size and sign of an argument as the system call takes it."""
    name = re.sub(r"\b(const|volatile)\b", "", field.type).strip()
    if name.startswith("enum "):
        return 4, False
    return _C_TYPES.get(name, (8, field.signed))


def _symbolic(table: FlagTable, size: int) -> Callable[[int], Value]:
    mask = (1 << 8 * size) - 1
    names = {value & mask: name for value, name in reversed(table.names)}
    return lambda number: names.get(number & mask) or f"{number & mask:#x}"


def _flags(table: FlagTable, size: int) -> Callable[[int], Value]:
    mask = (1 << 8 * size) - 1
    bits = [(value & mask, name) for value, name in table.names if value & mask]

    def name(number: int) -> Value:
        rest, found = number & mask, []
        # As trace_print_flags_seq() does it: in the table's order, each bit once.
        for bit, word in bits:
            if rest & bit == bit:
                found.append(word)
                rest &= ~bit
        if rest or not found:
            found.append(f"{rest:#x}" if rest else "0")
        return (table.delimiter or "|").join(found)

    return name
