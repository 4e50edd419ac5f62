"""Chains of members and indexes, `args.file->f_path.dentry->d_name.name`, over the kernel's own BTF. Pure.

A chain becomes steps from its operand: add an offset, load a pointer. Offsets are those of the running kernel.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tracescope.attach.expression.mistake import Unfit
from tracescope.attach.expression.near import suggestion
from tracescope.attach.expression.types import Array, Integer, Operand, Pointer, Space, Struct, Text, Type
from tracescope.sources.btf import Btf
from tracescope.sources.btf_types import QUALIFIERS, THROUGH_NAMES, Kind, RawMember

__all__ = ("Load", "Located", "Offset", "Step", "index", "member", "members_hint", "operand")

_SIZES = (1, 2, 4, 8)
# Not `u8`, a typedef: that is how bytes that are no text are declared.
_CHARS = ("char", "unsigned char", "signed char")
_BOOLS = {"false": 0, "true": 1}


@dataclass(frozen=True, slots=True)
class Offset:
    """Add so many bytes to the address: those of `members`, (struct, member, bytes), as far as these have names."""

    bytes: int
    members: tuple[tuple[str, str, int], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Load:
    """Read a number of `size` bytes at the address."""

    space: Space
    size: int


Step: TypeAlias = Offset | Load


@dataclass(frozen=True, slots=True)
class Located:
    """A value and the way to it: the steps, from the C expression `base`, give what `Operand.c` gives."""

    name: str
    """As one writes it; `->` behind a pointer, `.` behind a struct."""
    type: Type
    base: str
    steps: tuple[Step, ...] = ()
    shift: int = 0
    """For a bitfield, the bits below it in what is loaded."""
    own: bool = False
    """True when `base` points into the program's own memory."""

    @classmethod
    def of(cls, name: str, operand: Operand) -> Located:
        """An operand by itself."""
        steps = (Offset(operand.offset),) if operand.offset else ()
        own = isinstance(operand.type, Text) and operand.type.space is Space.OWN
        return cls(name, operand.type, operand.c, steps, own=own)


def member(value: Located, name: str, btf: Btf | None) -> Located:
    """The member of a struct, or of the struct that a pointer leads to; raises Unfit."""
    if not isinstance(value.type, Pointer | Struct):
        raise Unfit(f"{value.name} is {_kind(value.type)} and has no members")
    if btf is None:
        raise Unfit(f"the members of {value.name} are not known", "this kernel has no BTF: compare the address only")
    type_id = value.type.target if isinstance(value.type, Pointer) else value.type.type_id
    found = btf.find_member(_struct(value, type_id, btf), name)
    if found is None:
        raise Unfit(
            f"{btf.c_declaration(type_id)} has no member {name}", suggestion(name, btf.member_names(type_id), "members")
        )
    path = f"{value.name}{'->' if isinstance(value.type, Pointer) else '.'}{name}"
    if found.bits:
        return _bitfield(value, path, found, btf)
    return _at(value, path, found.offset // 8, found.type_id, btf, _named(value, type_id, name, found.offset // 8, btf))


def _named(value: Located, type_id: int, name: str, offset: int, btf: Btf) -> tuple[tuple[str, str, int], ...]:
    """The member by the name of its struct; nothing for a struct without one."""
    row = btf.row(_struct(value, type_id, btf))
    word = "union" if row.kind is Kind.UNION else "struct"
    return ((f"{word} {row.name}", name, offset),) if row.name else ()


def index(value: Located, number: int, btf: Btf | None) -> Located:
    """An element of an array, or of those that a pointer leads to; raises Unfit."""
    path = f"{value.name}[{number}]"
    if isinstance(value.type, Text):
        return _character(value, path, number)
    if not isinstance(value.type, Array | Pointer):
        raise Unfit(f"{value.name} is {_kind(value.type)} and has no elements")
    if btf is None:
        raise Unfit(f"the elements of {value.name} are not known", "this kernel has no BTF")
    if isinstance(value.type, Array):
        type_id = value.type.element
        _check_bound(value, number, value.type.count)
    else:
        type_id = value.type.target
    size = btf.size(type_id)
    if not size or number * size >= 1 << 31:
        raise Unfit(f"{path} cannot be located", f"it is {number} times {size} bytes away")
    return _at(value, path, number * size, type_id, btf)


def members_hint(value: Located, btf: Btf | None) -> str:
    """What can be picked of a value that is no number and no text itself."""
    if isinstance(value.type, Struct) and btf is not None:
        return suggestion("", btf.member_names(value.type.type_id), "members")
    return f"pick an element, such as {value.name}[0]"


def operand(btf: Btf, type_id: int, c: str, space: Space = Space.KERNEL) -> Operand | None:
    """What a function's parameter or result of this BTF type is, `c` being its register; None for a struct or float."""
    try:
        type_, _ = _typed(btf, type_id, space)
    except Unfit:
        return None
    return None if isinstance(type_, Struct | Array) else Operand(type_, c)


def _kind(type_: Type) -> str:
    match type_:
        case Integer():
            return "a number"
        case Text():
            return "a text"
        case Pointer():
            return "an address"
        case Struct():
            return "a struct"
    return "an array"


def _struct(value: Located, type_id: int, btf: Btf) -> int:
    """The struct or union behind typedefs and qualifiers."""
    struct = btf.strip(type_id, THROUGH_NAMES)
    kind = btf.row(struct).kind
    if kind in (Kind.STRUCT, Kind.UNION):
        return struct
    declared = btf.c_declaration(type_id) if type_id else "void"
    if kind is Kind.FWD:
        raise Unfit(f"the members of {declared} are not known", "this kernel's BTF only declares it")
    fix = f"{value.name}[0] is what it leads to" if kind in (Kind.INT, Kind.PTR, Kind.ENUM, Kind.ENUM64) else ""
    raise Unfit(f"{value.name} leads to {declared}, which has no members", fix)


def _check_bound(value: Located, number: int, count: int | None) -> None:
    if count and number >= count:
        raise Unfit(f"{value.name} has {count} elements", f"the last one is [{count - 1}]")


def _at(
    value: Located, path: str, offset: int, type_id: int, btf: Btf, members: tuple[tuple[str, str, int], ...] = ()
) -> Located:
    """What lies `offset` bytes behind the address that `value` is or leads to."""
    type_, loaded = _typed(btf, type_id, _space(value.type))
    steps = _moved(value, offset, members)
    if loaded:
        steps = (*steps, Load(_space(value.type), loaded))
    return replace(value, name=path, type=type_, steps=steps)


def _moved(value: Located, offset: int, members: tuple[tuple[str, str, int], ...] = ()) -> tuple[Step, ...]:
    """The steps to the address `offset` bytes further on."""
    *steps, last = (*value.steps, Offset(0)) if not value.steps or isinstance(value.steps[-1], Load) else value.steps
    assert isinstance(last, Offset)
    return (*steps, Offset(last.bytes + offset, (*last.members, *members)))


def _space(type_: Type) -> Space:
    """What reads the memory there; the program's own is kernel memory too."""
    if isinstance(type_, Integer) or type_.space is Space.OWN:
        return Space.KERNEL
    return type_.space


def _typed(btf: Btf, type_id: int, space: Space) -> tuple[Type, int]:
    """The type of a value in memory, and the bytes to load for it; 0 for what its address stands for."""
    stripped = btf.strip(type_id, THROUGH_NAMES)
    row = btf.row(stripped)
    match row.kind:
        case Kind.INT if row.value in _SIZES:
            signed, is_bool = btf.encoding(row)
            return Integer(row.value, signed, _BOOLS if is_bool else {}), row.value
        case Kind.ENUM | Kind.ENUM64 if row.value in _SIZES:
            names = dict(btf.enumerators(row))
            return Integer(row.value, any(number < 0 for number in names.values()), names), row.value
        case Kind.PTR:
            return _pointed(btf, row.value, space), btf.pointer_size
        case Kind.ARRAY:
            element, count = row.words[0], row.words[2]
            return (Text(space, count or None) if _is_char(btf, element) else Array(element, count, space)), 0
        case Kind.STRUCT | Kind.UNION:
            return Struct(stripped, space), 0
    raise Unfit(f"a value of type {btf.c_declaration(type_id)} cannot be read")


def _pointed(btf: Btf, target: int, space: Space) -> Type:
    """The type of a pointer: to text, or to anything; `__user` is kept by some compilers, as a tag."""
    type_id = target
    while (row := btf.row(type_id)).kind in QUALIFIERS:
        if row.kind is Kind.TYPE_TAG and row.name == "user":
            space = Space.USER
        if row.kind is Kind.TYPE_TAG and row.name == "percpu":
            return Pointer(0, space)
        type_id = row.value
    return Text(space) if _is_char(btf, target) else Pointer(target, space)


def _is_char(btf: Btf, type_id: int) -> bool:
    row = btf.row(btf.strip(type_id, QUALIFIERS))
    return row.kind is Kind.INT and row.name in _CHARS


def _bitfield(value: Located, path: str, found: RawMember, btf: Btf) -> Located:
    """A bitfield: as few bytes as hold it are loaded."""
    type_, _ = _typed(btf, found.type_id, _space(value.type))
    start, low = divmod(found.offset, 8)
    size = next((size for size in _SIZES if low + found.bits <= 8 * size), 0)
    if not isinstance(type_, Integer) or not size:
        raise Unfit(f"{path} is a bitfield over more than 8 bytes", "it cannot be read")
    shift = low if sys.byteorder == "little" else 8 * size - low - found.bits
    steps = (*_moved(value, start), Load(_space(value.type), size))
    return replace(value, name=path, type=replace(type_, bits=found.bits), steps=steps, shift=shift)


def _character(value: Located, path: str, number: int) -> Located:
    """A byte of a text: a number from 0 to 255, as the kernel is built with `-funsigned-char`."""
    assert isinstance(value.type, Text)
    _check_bound(value, number, value.type.size)
    if number >= 1 << 16:
        raise Unfit(f"{path} is too far away")
    steps = (*_moved(value, number), Load(_space(value.type), 1))
    return replace(value, name=path, type=Integer(1, signed=False), steps=steps)
