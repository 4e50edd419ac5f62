"""The kernel's types and function prototypes: /sys/kernel/btf/vmlinux, and each module's split BTF beside it.

Input: BTF as in Documentation/bpf/btf.rst. `btf_types` reads the bytes, `btf_c` writes C; here are the questions.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Self

from tracescope.errors import Damaged, Missing, Refused
from tracescope.host import Host
from tracescope.model import Parameter, Signature
from tracescope.sources import btf_c
from tracescope.sources.btf_prototypes import Prototypes
from tracescope.sources.btf_types import (
    LONGEST_CHAIN,
    QUALIFIERS,
    THROUGH_NAMES,
    Kind,
    RawMember,
    Row,
    TypeTable,
    circular,
)

__all__ = ("Btf", "Layout", "Member", "modules", "read")

_FOLDER = "/sys/kernel/btf"
_STRUCTS = (Kind.STRUCT, Kind.UNION)
_ENUMS = (Kind.ENUM, Kind.ENUM64)
_NAMED = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": _ENUMS, "": (*_STRUCTS, Kind.TYPEDEF, *_ENUMS)}
_EMBEDDED = THROUGH_NAMES | {Kind.ARRAY}
_REACHED = _EMBEDDED | {Kind.PTR}
_INT_SIGNED = 1
_UNNAMED = QUALIFIERS | {Kind.PTR, Kind.ARRAY}
_FOUND_BY_NAME = frozenset({*_STRUCTS, *_ENUMS, Kind.TYPEDEF, Kind.FWD})
_WORDS = re.compile(r"\w+|[^\w\s]")
_QUALIFIERS = frozenset({"const", "volatile", "restrict"})


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


class Btf(TypeTable):
    """The types of a kernel, or of one module on top of its kernel's.

    A type's name is `struct x`, `union x`, `enum x`, or bare: the first of struct, union, typedef, enum that has it.
    """

    def __init__(
        self, data: bytes, base: Self | None = None, index: tuple[array[int], bytearray] | None = None
    ) -> None:
        super().__init__(data, base, index)
        self._texts: dict[int, str] = {}
        self._prototypes: dict[int, Prototypes] = {}

    @classmethod
    def parse(cls, data: bytes, base: Self | None = None) -> Self:
        """Read BTF bytes; a module's need the kernel's as `base`. Raises Damaged."""
        return cls(data, base)

    def functions(self) -> Collection[str]:
        """The name of every function, without the base's."""
        return self.names(Kind.FUNC).keys()

    def function(self, name: str) -> Signature | None:
        """A function's prototype."""
        proto = self._prototype(name)
        if proto is None:
            return None
        variadic = len(proto.words) > 2 and proto.words[-1] == 0
        parameters = tuple(Parameter(word, text) for word, text, _ in self._parameters(proto))
        return Signature(name, parameters, self.c_declaration(proto.value), variadic)

    def parameters(self, name: str) -> list[tuple[str, str, int]]:
        """Name, type as C and type id of each parameter, without `...`; empty for an unknown function."""
        proto = self._prototype(name)
        return [] if proto is None else list(self._parameters(proto))

    def bpftrace_arguments(self, name: str) -> list[tuple[str, str]]:
        """Type and name as `bpftrace -lv` lists them: parameters (`...` is a nameless void), `retval` unless void."""
        proto = self._prototype(name)
        if proto is None:
            return []
        rows = [(self.c_declaration(type_id), word) for word, type_id in self.parameters_of(proto)]
        return [*rows, (self.c_declaration(proto.value), "retval")] if proto.value else rows

    def prototypes(self, most: int) -> Prototypes:
        """The functions whose prototype is not plain: more than `most` registers, `...`, structures by value."""
        if most not in self._prototypes:
            base = None if self.base is None else self.base.prototypes(most)
            self._prototypes[most] = Prototypes(self, base, most)
        return self._prototypes[most]

    def passes_structures(self) -> bool | None:
        """Do fentry's trampolines pass structures of up to 16 bytes on? None where the processor decides, or unknown.

        kernel/bpf/btf.c takes them since `btf_func_model.arg_flags` is there, and x86 with it (commit 720e6a435194).
        """
        if self.find("struct btf_func_model") is None:
            return None
        if not self.has_member("struct btf_func_model", "arg_flags"):
            return False
        on_x86 = self.find("struct pt_regs") is not None and self.has_member("struct pt_regs", "di")
        return True if on_x86 else None

    def returned(self, name: str) -> int:
        """The id of the type that a function returns; 0 for none, and for an unknown function."""
        proto = self._prototype(name)
        return 0 if proto is None else proto.value

    def function_id(self, name: str) -> int | None:
        """The id of a function, the base's not counted: what fentry and fexit attach to."""
        return self.names(Kind.FUNC).get(name)

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

    def _prototype(self, name: str) -> Row | None:
        type_id = self.names(Kind.FUNC).get(name)
        if type_id is None:
            return None
        proto = self.row(self.row(type_id).value)
        if proto.kind is not Kind.FUNC_PROTO:
            raise Damaged("the BTF is damaged", f"function {name} has no prototype")
        return proto

    def _parameters(self, proto: Row) -> Iterator[tuple[str, str, int]]:
        for name, type_id in self.parameters_of(proto):
            if type_id:
                yield name, self.c_declaration(type_id), type_id

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

    def functions_with(self, type_name: str) -> list[str]:
        """The functions that take this type, sorted: `sock` by value or any pointer, `struct sock *` exactly so.

        A bare name may also be a union, an enum or a typedef; qualifiers do not count.
        """
        return sorted(self._users[0].get(_key(type_name), ()))

    def functions_returning(self, type_name: str) -> list[str]:
        """The functions that return this type, sorted; the name is as for `functions_with`."""
        return sorted(self._users[1].get(_key(type_name), ()))

    @cached_property
    def _users(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """By key of a type: the functions that take it, the functions that return it."""
        taking: dict[str, list[str]] = defaultdict(list)
        returning: dict[str, list[str]] = defaultdict(list)
        keys = cache(self._keys)
        for name, type_id in self.names(Kind.FUNC).items():
            proto = self.row(self.row(type_id).value)
            for key in {key for type_id in proto.words[1::2] if type_id for key in keys(type_id)}:
                taking[key].append(name)
            for key in keys(proto.value):
                returning[key].append(name)
        return taking, returning

    def _keys(self, type_id: int) -> set[str]:
        """What a type is found by: its C text, and each name on the way through pointers and typedefs."""
        keys = {_key(self.c_declaration(type_id))}
        for _ in range(LONGEST_CHAIN):
            type_id = self.strip(type_id, _UNNAMED)
            row = self.row(type_id)
            if row.kind in _FOUND_BY_NAME and row.name:
                keys.add(row.name)
            if row.kind is not Kind.TYPEDEF:
                return keys
            type_id = row.value
        raise circular(type_id)

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


def _key(text: str) -> str:
    """A type's text without spaces and qualifiers; `struct x` is `x`."""
    words = [word for word in _WORDS.findall(text) if word not in _QUALIFIERS]
    return words[1] if len(words) == 2 and words[0] in _NAMED else "".join(words)


def read(host: Host, module: str = "vmlinux", base: Btf | None = None) -> Btf:
    """A host's BTF of the kernel or a module; without `base` a module's reads the kernel's too."""
    if module != "vmlinux" and base is None:
        base = read(host)
    return Btf.parse(host.read(f"{_FOLDER}/{module}"), base)


def modules(host: Host) -> list[str]:
    """The names that `read` takes, `vmlinux` among them."""
    return host.names(_FOLDER)
