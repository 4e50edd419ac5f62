"""BTF as a table of types by id: header, types, strings, and the base that a module's split BTF continues.

Source: Documentation/bpf/btf.rst and include/uapi/linux/btf.h. Nothing is decoded before it is asked for: one pass
notes where each type starts.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from enum import IntEnum
from functools import cached_property
from itertools import compress, count
from typing import NamedTuple, Self

from tracescope.errors import Damaged
from tracescope.printable import decode

__all__ = ("LONGEST_CHAIN", "QUALIFIERS", "THROUGH_NAMES", "Kind", "RawMember", "Row", "TypeTable", "circular")


class Kind(IntEnum):
    """What a type is (BTF_KIND_*); 0 stands for `void`."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


class Row(NamedTuple):
    """One type: `value` is its size in bytes or the id of another type, `words` what follows it."""

    kind: Kind
    name: str
    flag: bool
    value: int
    words: memoryview


class RawMember(NamedTuple):
    """A member of a struct or union: offset in bits, `bits` its width when it is a bitfield, else 0."""

    name: str
    type_id: int
    offset: int
    bits: int


QUALIFIERS = frozenset({Kind.CONST, Kind.VOLATILE, Kind.RESTRICT, Kind.TYPE_TAG})
THROUGH_NAMES = QUALIFIERS | {Kind.TYPEDEF}

_HEADER = struct.Struct("<HBBIIIII")
_SIGNED, _BOOL = 1, 4
_KINDS = tuple(Kind)
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FLOAT, Kind.ENUM64, Kind.DATASEC})
_LONGS = frozenset({"long int", "long unsigned int", "long", "unsigned long"})
# A type's length in words: fixed, and for each of its `vlen` entries.
_LENGTHS: dict[int, tuple[int, int]] = dict.fromkeys(range(1, len(Kind)), (3, 0)) | {
    Kind.INT: (4, 0),
    Kind.ARRAY: (6, 0),
    Kind.STRUCT: (3, 3),
    Kind.UNION: (3, 3),
    Kind.ENUM: (3, 2),
    Kind.FUNC_PROTO: (3, 2),
    Kind.VAR: (4, 0),
    Kind.DATASEC: (3, 3),
    Kind.DECL_TAG: (4, 0),
    Kind.ENUM64: (3, 3),
}
_STEPS = tuple(_LENGTHS.get(kind, (0, 0)) for kind in range(32))
_VOID = Row(Kind.VOID, "void", False, 0, memoryview(array("I")))
# The longest chain of pointers, qualifiers, typedefs and arrays that is followed; real ones stay under 20.
LONGEST_CHAIN = 64


class TypeTable:
    """The types of one BTF blob by id; the ids and strings of `base` come first."""

    def __init__(
        self, data: bytes, base: Self | None = None, index: tuple[array[int], bytearray] | None = None
    ) -> None:
        self.base = base
        self.first = 1 if base is None else base.end
        self._data = data
        self._words, self._strings, self._strings_end = _sections(data)
        self._first_string = 0 if base is None else base.string_end
        self.string_end: int = self._first_string + self._strings_end - self._strings
        if base is None and (self._strings == self._strings_end or data[self._strings]):
            raise Damaged(
                "the BTF has no string section of its own",
                "a module's BTF continues the kernel's",
                "read it together with vmlinux",
            )
        self._starts, self._kinds = index or _walk(self._words)
        self.end: int = self.first + len(self._starts)
        self._names: dict[Kind, dict[str, int]] = {}

    def __len__(self) -> int:
        """The number of types of this blob, without its base."""
        return len(self._starts)

    @property
    def index(self) -> tuple[array[int], bytearray]:
        """Where each type starts, in words, and its kind: spares the walk when the same bytes are read again."""
        return self._starts, self._kinds

    @property
    def data_size(self) -> int:
        """The size of the blob in bytes."""
        return len(self._data)

    def ids(self, *kinds: Kind) -> Iterator[int]:
        """The ids of this blob's types of these kinds, ascending."""
        wanted = bytes(kind in kinds for kind in range(256))
        return compress(count(self.first), self._kinds.translate(wanted))

    def row(self, type_id: int) -> Row:
        """A type, decoded; raises Damaged for an id that does not exist."""
        if type_id < self.first:
            return _VOID if self.base is None else self.base.row(type_id)
        if type_id >= self.end:
            raise Damaged("the BTF is damaged", f"no type {type_id}: the last one is {self.end - 1}")
        start = self._starts[type_id - self.first]
        name, info, value = self._words[start : start + 3]
        kind = info >> 24 & 0x1F
        fixed, each = _STEPS[kind]
        words = self._words[start + 3 : start + fixed + each * (info & 0xFFFF)]
        return Row(_KINDS[kind], self.string(name) if name else "", bool(info >> 31), value, words)

    def target(self, type_id: int) -> int:
        """What `row(type_id).value` is, for a type of this blob, without decoding the rest."""
        return self._words[self._starts[type_id - self.first] + 2]

    def names(self, kind: Kind) -> dict[str, int]:
        """This blob's named types of one kind; of several with one name, the first."""
        if kind not in self._names:
            found: dict[str, int] = {}
            for type_id in self.ids(kind):
                offset = self._words[self._starts[type_id - self.first]]
                if offset:
                    found.setdefault(self.string(offset), type_id)
            self._names[kind] = found
        return self._names[kind]

    def string(self, offset: int) -> str:
        """The string at an offset, counted through the base's strings."""
        if self.base is not None and offset < self._first_string:
            return self.base.string(offset)
        start = self._strings + offset - self._first_string
        if start >= self._strings_end:
            raise Damaged("the BTF is damaged", f"no string at offset {offset}")
        return decode(self._data[start : self._data.index(0, start)])

    def members(self, row: Row) -> Iterator[RawMember]:
        """The members of a struct or union."""
        names, types, offsets = row.words[::3], row.words[1::3], row.words[2::3]
        for name, type_id, offset in zip(names, types, offsets, strict=True):
            text = self.string(name) if name else ""
            if row.flag:
                yield RawMember(text, type_id, offset & 0xFFFFFF, offset >> 24)
            else:
                yield RawMember(text, type_id, offset, 0)

    def parameters_of(self, proto: Row) -> Iterator[tuple[str, int]]:
        """Name and type id of a prototype's parameters; a last one of type 0 is `...`, an only one `void`."""
        for name, type_id in zip(proto.words[::2], proto.words[1::2], strict=True):
            yield self.string(name), type_id

    def parameter_types(self, type_id: int) -> memoryview:
        """The type ids of the parameters of a prototype of this blob; the names stay undecoded."""
        start = self._starts[type_id - self.first]
        return self._words[start + 4 : start + 3 + 2 * (self._words[start + 1] & 0xFFFF) : 2]

    def enumerators(self, row: Row) -> Iterator[tuple[str, int]]:
        """Name and value of an enum's constants."""
        if row.kind is Kind.ENUM64:
            bits, step = 64, 3
            values = [low | high << 32 for low, high in zip(row.words[1::3], row.words[2::3], strict=True)]
        else:
            bits, step = 32, 2
            values = row.words[1::2].tolist()
        signed = row.flag or not self.marks_signed_enums
        for name, value in zip(row.words[::step], values, strict=True):
            yield self.string(name), value - (1 << bits) if signed and value >> (bits - 1) else value

    def encoding(self, row: Row) -> tuple[bool, bool]:
        """Is an integer type signed, and is it a bool."""
        bits = row.words[0] >> 24
        return bool(bits & _SIGNED), bool(bits & _BOOL)

    def strip(self, type_id: int, through: frozenset[Kind]) -> int:
        """The id reached by following types of these kinds."""
        for _ in range(LONGEST_CHAIN):
            row = self.row(type_id)
            if row.kind not in through:
                return type_id
            type_id = row.words[0] if row.kind is Kind.ARRAY else row.value
        raise circular(type_id)

    def size(self, type_id: int) -> int:
        """The size in bytes; 0 for what has none (`void`, a function, a struct that is only declared)."""
        elements = 1
        for _ in range(LONGEST_CHAIN):
            row = self.row(type_id)
            if row.kind in _SIZED:
                return elements * row.value
            if row.kind is Kind.PTR:
                return elements * self.pointer_size
            if row.kind is Kind.ARRAY:
                type_id, elements = row.words[0], elements * row.words[2]
            elif row.kind in THROUGH_NAMES or row.kind is Kind.VAR:
                type_id = row.value
            else:
                return 0
        raise circular(type_id)

    @cached_property
    def marks_signed_enums(self) -> bool:
        """False for BTF written before enums had a sign flag: all values are signed there."""
        if self.base is not None:
            return self.base.marks_signed_enums
        return any(self.row(type_id).flag for type_id in self.ids(Kind.ENUM, Kind.ENUM64))

    @cached_property
    def pointer_size(self) -> int:
        """The size of a pointer: that of the kernel's `long`."""
        if self.base is not None:
            return self.base.pointer_size
        sizes = (row.value for row in map(self.row, self.ids(Kind.INT)) if row.name in _LONGS)
        return next((size for size in sizes if size in (4, 8)), 8)


def circular(type_id: int) -> Damaged:
    """What to raise when following types does not end."""
    return Damaged("the BTF is damaged", f"type {type_id} leads in a circle")


def _sections(data: bytes) -> tuple[memoryview, int, int]:
    """The type section as 32-bit words of this machine's order, and where the strings start and end."""
    order = {b"\x9f\xeb": "little", b"\xeb\x9f": "big"}.get(data[:2])
    if order is None or len(data) < _HEADER.size:
        raise Damaged("this is not BTF", f"it starts with {data[:4].hex() or 'nothing'} and has {len(data)} bytes")
    header = _HEADER if order == "little" else struct.Struct(">" + _HEADER.format[1:])
    _, version, _, length, type_offset, type_length, string_offset, string_length = header.unpack_from(data)
    if version != 1 or length < _HEADER.size:
        raise Damaged("this BTF cannot be read", f"its version is {version}, its header {length} bytes")
    types, strings = length + type_offset, length + string_offset
    if max(types + type_length, strings + string_length) > len(data) or type_length % 4:
        raise Damaged("the BTF is cut off", f"{len(data)} bytes do not hold the sections that its header names")
    if string_length and data[strings + string_length - 1]:
        raise Damaged("the BTF is damaged", "its string section does not end with a zero byte")
    words = memoryview(data)[types : types + type_length].cast("I")
    if order != sys.byteorder:
        swapped = array("I", words)
        swapped.byteswap()
        words = memoryview(swapped)
    return words, strings, strings + string_length


def _walk(words: memoryview) -> tuple[array[int], bytearray]:
    """Where each type starts, in words, and its kind."""
    starts, kinds = array("I"), bytearray()
    add_start, add_kind, steps = starts.append, kinds.append, _STEPS
    position, end = 0, len(words)
    while position + 3 <= end:
        info = words[position + 1]
        kind = info >> 24 & 0x1F
        fixed, each = steps[kind]
        if not fixed:
            raise Damaged("this BTF cannot be read", f"unknown kind {kind} at byte {position * 4} of its type section")
        add_start(position)
        add_kind(kind)
        position += fixed + each * (info & 0xFFFF)
    if position != end:
        raise Damaged("the BTF is cut off", f"type {len(starts)} of its type section runs past the end")
    return starts, kinds
