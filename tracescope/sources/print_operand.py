"""What a compiled `print fmt` is made of: operands over a record's values, and what a host can add to them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeAlias, cast

from tracescope import model
from tracescope.printable import encode
from tracescope.sources.c_tree import Call, Deref, Field, Index, Literal, Name, Node
from tracescope.sources.c_types import CHAR, CType, type_of

__all__ = (
    "NOTHING_KNOWN",
    "Compiler",
    "Known",
    "Lookups",
    "Operand",
    "Place",
    "Run",
    "Unknown",
    "Values",
    "constant",
    "elements",
    "field_operand",
    "integer",
    "memory",
    "scalar",
    "size_of",
    "true",
)

Known: TypeAlias = "int | bytes"
"""A number, or the bytes that a pointer leads to: those of a record, of a text, of an array."""

Values: TypeAlias = Mapping[str, Known]
"""A record's fields by name: numbers with their declared size and sign, bytes for arrays, near or dynamic."""

Run: TypeAlias = Callable[[Values], Known]


class Place(NamedTuple):
    """Where an address lies: `name+offset/size [module]`."""

    name: str
    offset: int
    size: int
    module: str = ""


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the host knows and a format does not say; each may be missing."""

    symbol: Callable[[int], Place | None] | None = None
    """For `%pS`: the symbol that holds a kernel address."""
    string: Callable[[int], str | None] | None = None
    """For `%s` of a kernel address: the constant string there (tracefs `printk_formats`)."""
    enumerator: Callable[[str], int | None] | None = None
    """The value of an enum's constant (BTF)."""
    hz: int | None = None
    """Jiffies a second (CONFIG_HZ)."""


NOTHING_KNOWN = Lookups()

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Unknown(Exception):
    """A piece of text that only the kernel can make; the message is its short C text."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A compiled expression: a number of `type`, or, without one, bytes that it points to (or a null pointer, 0)."""

    run: Run
    type: CType | None = None
    element: CType | None = None
    """What the bytes are an array of; None for bytes without a type, which count singly."""
    hole: bool = False
    """Only the kernel knows it, and that is noted."""


class Compiler(Protocol):
    """What a function of the print fmt may ask of the compilation that it is part of."""

    lookups: Lookups

    def operand(self, node: Node) -> Operand:
        """An expression compiled."""
        ...

    def quietly(self, node: Node) -> Operand:
        """The same, for what is shown inside of a hole only, or not at all: it notes none."""
        ...

    def field(self, name: str) -> model.Field | None:
        """A field of the event."""
        ...

    def unknown(self, text: str) -> Operand:
        """An operand that only the kernel knows, noted as a hole."""
        ...

    def note(self, text: str) -> None:
        """Note a hole."""
        ...


def constant(value: Known, kind: CType | None = None) -> Operand:
    """An operand that is always the same; bytes are a string."""
    return Operand(lambda _: value, kind, CHAR if isinstance(value, bytes) else None)


def integer(operand: Operand) -> Callable[[Values], int]:
    """The operand's number; Unknown at run time for a place in memory, whose address nobody knows."""
    run = operand.run
    if operand.type is not None:
        return cast("Callable[[Values], int]", run)

    def checked(values: Values) -> int:
        value = run(values)
        if isinstance(value, int):
            return value
        raise Unknown("address")

    return checked


def memory(operand: Operand) -> Callable[[Values], bytes]:
    """The bytes that the operand points to; Unknown at run time for an address in the kernel."""
    run = operand.run

    def checked(values: Values) -> bytes:
        value = run(values)
        if isinstance(value, bytes):
            return value
        raise Unknown(f"{value & 0xFFFF_FFFF_FFFF_FFFF:#x}")

    return checked


def true(operand: Operand) -> Callable[[Values], bool]:
    """Whether C takes the operand as true: a place in memory always is."""
    run = operand.run

    def test(values: Values) -> bool:
        value = run(values)
        return value != 0 if isinstance(value, int) else True

    return test


def field_operand(compiler: Compiler, name: str) -> Operand:
    """A field of the record."""
    field = compiler.field(name)
    if field is None:
        return compiler.unknown(name)
    kind = scalar(field)
    return Operand(itemgetter(name), kind, None if kind else type_of(field.type.split()))


def scalar(field: model.Field) -> CType | None:
    """The type of a field that is one number; None for an array or a struct."""
    if field.array is not None or field.location or field.size not in (1, 2, 4, 8):
        return None
    return CType(field.size * 8, field.signed)


def elements(data: bytes, size: int) -> list[int]:
    """The unsigned elements, `size` bytes each, of an array in this machine's byte order; a rest is left out."""
    count = len(data) // size
    return list(struct.unpack_from(f"={count}{_CODES[size]}", data))


def size_of(compiler: Compiler, node: Node) -> int | None:
    """`sizeof node` in bytes: of a field, of one element of an array, or of a number; None where it is not known."""
    if isinstance(node, Field):
        field = compiler.field(node.name)
        return None if field is None or field.location else field.size
    if isinstance(node, Literal):
        return len(encode(node.text)) + 1
    if isinstance(node, (Index, Deref)):
        element = compiler.quietly(node.operand).element
        return element.bits // 8 if element else None
    kind = compiler.quietly(node).type
    return None if kind is None or isinstance(node, (Call, Name)) else kind.bits // 8
