"""Structs, unions and enums of BTF: members and where they lie, constants, types as C."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from tracescope.errors import Missing, Refused
from tracescope.sources import btf_c
from tracescope.sources.btf_types import THROUGH_NAMES, Kind, RawMember, TypeTable

__all__ = ("Layout", "Member", "TypeLayouts")

_STRUCTS = (Kind.STRUCT, Kind.UNION)
_ENUMS = (Kind.ENUM, Kind.ENUM64)
_NAMED = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": _ENUMS, "": (*_STRUCTS, Kind.TYPEDEF, *_ENUMS)}
_EMBEDDED = THROUGH_NAMES | {Kind.ARRAY}
_REACHED = _EMBEDDED | {Kind.PTR}
_INT_SIGNED = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union; a nameless one is an anonymous struct or union, or padding."""

    name: str
    type: str
    offset: int
    """In bits."""
    size: int
    """In bytes; for a bitfield, of the type it is declared with."""
    bitfield_size: int
    """In bits; 0 for what is not a bitfield."""
    type_id: int
    """What `Btf.resolve` opens."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a struct or union lies in memory: `kind` is `struct` or `union`, `size` in bytes."""

    kind: str
    name: str
    size: int
    members: tuple[Member, ...]


class TypeLayouts(TypeTable):
    """What a table of types says of memory.

    A type's name is `struct x`, `union x`, `enum x`, or bare: the first of struct, union, typedef, enum that has it.
    """

    def __init__(
        self, data: bytes, base: Self | None = None, index: tuple[array[int], bytearray] | None = None
    ) -> None:
        super().__init__(data, base, index)
        self._texts: dict[int, str] = {}

    def is_signed(self, type_id: int) -> bool:
        """True for an integer or enum that may be negative."""
        row = self.row(self.strip(type_id, THROUGH_NAMES))
        if row.kind is Kind.INT:
            return bool(row.words[0] >> 24 & _INT_SIGNED)
        return row.kind in _ENUMS and row.flag

    def enumerators_of(self, type_id: int) -> dict[str, int]:
        """The constants of the enum that a type is, through typedefs and qualifiers; empty for another type."""
        row = self.row(self.strip(type_id, THROUGH_NAMES))
        return dict(self.enumerators(row)) if row.kind in _ENUMS else {}

    def member_offset(self, struct: str, *path: str) -> int:
        """The offset in bytes of a member, followed through embedded structs; an array stands for its first element.

        Raises Missing when there is no such struct or member, Refused for a bitfield.
        """
        type_id, bits = self._type(struct), 0
        for name in path:
            member = self.find_member(type_id, name)
            if member is None:
                raise Missing(f"{struct} has no member {'.'.join(path)}", f"{name} is not in this kernel's BTF")
            if member.bits:
                raise Refused(f"{struct}.{'.'.join(path)} has no offset in bytes", f"{name} is a bitfield")
            type_id, bits = member.type_id, bits + member.offset
        return bits // 8

    def has_member(self, struct: str, name: str) -> bool:
        """True when the struct exists and has the member, perhaps in an anonymous one."""
        type_id = self.find(struct)
        return type_id is not None and self.find_member(type_id, name) is not None

    def find_member(self, type_id: int, name: str) -> RawMember | None:
        """A member of a struct or union, perhaps in an anonymous one: its offset in bits is that in the outer one."""
        return next((member for member in self._all_members(type_id) if member.name == name), None)

    def member_names(self, type_id: int) -> list[str]:
        """The names that `find_member` finds, in their order in memory."""
        return [member.name for member in sorted(self._all_members(type_id), key=lambda member: member.offset)]

    def _all_members(self, type_id: int) -> Iterator[RawMember]:
        """The named members, those of anonymous structs included, at their offset in the outer one."""
        waiting, seen = [(type_id, 0)], set[int]()
        while waiting:
            type_id, base = waiting.pop()
            type_id = self.strip(type_id, _EMBEDDED)
            row = self.row(type_id)
            if type_id in seen or row.kind not in _STRUCTS:
                continue
            seen.add(type_id)
            for member in self.members(row):
                if member.name:
                    yield member._replace(offset=base + member.offset)
                else:
                    waiting.append((member.type_id, base + member.offset))

    def layout(self, name: str) -> Layout:
        """The layout of a struct, a union or a typedef of one; raises Missing."""
        found = self.resolve(self._type(name))
        if found is None:
            raise Missing(f"{name} has no members", "it is no struct or union in this kernel's BTF")
        return found

    def resolve(self, type_id: int) -> Layout | None:
        """The struct or union that a type leads to, through pointers, arrays, typedefs and qualifiers."""
        row = self.row(self.strip(type_id, _REACHED))
        if row.kind not in _STRUCTS:
            return None
        members = (
            Member(m.name, self.c_declaration(m.type_id), m.offset, self.size(m.type_id), m.bits, m.type_id)
            for m in self.members(row)
        )
        return Layout(row.kind.name.lower(), row.name, row.value, tuple(members))

    def enum(self, name: str) -> dict[str, int] | None:
        """The constants of an enum, `enum x` or a typedef of one, in their order; None for an unknown one."""
        type_id = self.find(f"enum {name.removeprefix('enum ')}") or self.find(name)
        if type_id is None:
            return None
        row = self.row(self.strip(type_id, THROUGH_NAMES))
        return dict(self.enumerators(row)) if row.kind in _ENUMS else None

    def c_declaration(self, type_id: int, name: str = "") -> str:
        """A type as C, declaring `name` when given; an anonymous struct is `struct {...}`."""
        if name:
            return btf_c.declaration(self, type_id, name)
        if type_id not in self._texts:
            self._texts[type_id] = btf_c.declaration(self, type_id)
        return self._texts[type_id]

    def c_text(self, name: str, *, comments: bool = False) -> str:
        """The definition of a type as C, with comments on each member's offset and size; raises Missing."""
        return btf_c.definition(self, self._type(name), comments=comments)

    def find(self, name: str) -> int | None:
        """The id of a struct, union, typedef or enum."""
        *words, last = name.split() or [""]
        for kind in _NAMED.get(" ".join(words), ()):
            if last in self.names(kind):
                return self.names(kind)[last]
        return None if self.base is None else self.base.find(name)

    def _type(self, name: str) -> int:
        type_id = self.find(name)
        if type_id is None:
            raise Missing(f"there is no type {name}", "this kernel's BTF does not have it")
        return type_id

    def structs_with_field(self, name: str) -> list[str]:
        """The structs, unions and typedefs of nameless ones that have a member of this name, sorted."""
        return sorted(self._fields.get(name, ()))

    @cached_property
    def _fields(self) -> dict[str, set[str]]:
        """By name of a member: the types that have it."""
        found: dict[str, set[str]] = defaultdict(set)
        for kind, prefix in ((Kind.STRUCT, "struct "), (Kind.UNION, "union "), (Kind.TYPEDEF, "")):
            for name, type_id in self.names(kind).items():
                if kind is Kind.TYPEDEF and self.row(self.strip(type_id, THROUGH_NAMES)).name:
                    continue
                for member in self._all_members(type_id):
                    found[member.name].add(prefix + name)
        return found
