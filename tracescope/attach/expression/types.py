"""The types that values in an expression have, and the operands that a probe offers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

__all__ = ("LONG", "UNSIGNED_LONG", "Array", "Integer", "Operand", "Pointer", "Space", "Struct", "Text", "Type")

_NO_NAMES: Mapping[str, int] = {}


class Space(StrEnum):
    """The memory that an address leads to, and so what reads it."""

    OWN = "own"
    """The program's own: its stack, its context, a record or a map's value. Loads, without a helper."""
    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Integer:
    """A number of `size` bytes (1, 2, 4, 8), or a bitfield of `bits` bits."""

    size: int
    signed: bool
    names: Mapping[str, int] = field(default_factory=lambda: _NO_NAMES, hash=False)
    """The names of its values or flags: what a constant's name beside it may be."""
    bits: int = 0
    """The width of a bitfield, else 0."""

    @property
    def width(self) -> int:
        """Its bits."""
        return self.bits or 8 * self.size


LONG = Integer(8, signed=True)
UNSIGNED_LONG = Integer(8, signed=False)


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes up to a NUL, or up to `size` when they are an array of that many: then perhaps without a NUL."""

    space: Space
    size: int | None = None
    align: int = 8
    """In OWN memory: what the address is a multiple of (1, 2, 4, 8)."""

    def __post_init__(self) -> None:
        if self.space is Space.OWN and self.size is None:
            raise ValueError("the program's own memory has a size")


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address of a value of the BTF type `target` (0: of nothing known)."""

    target: int
    space: Space


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct or union of the BTF type `type_id`, in memory."""

    type_id: int
    space: Space


@dataclass(frozen=True, slots=True)
class Array:
    """`count` values of the BTF type `element` in memory; 0 for an array of no fixed length."""

    element: int
    count: int
    space: Space


Type: TypeAlias = Integer | Text | Pointer | Struct | Array


@dataclass(frozen=True, slots=True)
class Operand:
    """A value that a probe offers: `c` is a C expression of ours, free of side effects.

    For an integer or a pointer it is the value, of any integer type: it is cut to the type's size. For text, a struct
    or an array it is the address, as u64; for text in OWN memory, a pointer.
    """

    type: Type
    c: str
    offset: int = 0
    """What is added to an address, in bytes. Use it for the context (`c` is `ctx`): to the verifier `ctx + 28` may be
    passed on, but nothing may be loaded through it."""

    def __post_init__(self) -> None:
        if self.offset and isinstance(self.type, Integer | Pointer):
            raise ValueError("a value has no offset")
