"""An expression whose names, types and signs are settled: what C and Python make the same value of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.attach.expression.arithmetic import Sign, result_sign
from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.types import LONG, UNSIGNED_LONG, Integer, Type

__all__ = (
    "Calculation",
    "Change",
    "Comparison",
    "Constant",
    "Junction",
    "Match",
    "Negation",
    "Read",
    "SameText",
    "SameTexts",
    "Truth",
    "Typed",
    "is_truth",
    "reads",
    "sign_of",
    "type_of",
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number known beforehand, from -2**63 to 2**64 - 1."""

    value: int


@dataclass(frozen=True, slots=True)
class Read:
    """An operand: a number, an address or a text."""

    located: Located


@dataclass(frozen=True, slots=True)
class Calculation:
    """`+ - * / % & | ^ << >>`."""

    sign: str
    left: Typed
    right: Typed


@dataclass(frozen=True, slots=True)
class Change:
    """`-` or `~` of a number."""

    sign: str
    operand: Typed


@dataclass(frozen=True, slots=True)
class Comparison:
    """`== != < <= > >=` of two numbers, as numbers, whatever their signs."""

    sign: str
    left: Typed
    right: Typed


@dataclass(frozen=True, slots=True)
class Negation:
    """`!`."""

    operand: Typed


@dataclass(frozen=True, slots=True)
class Junction:
    """`&&` or `||` of two parts or more, from left to right, as far as it takes."""

    sign: str
    parts: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class SameText:
    """A text equals one that is known beforehand."""

    text: Located
    data: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """A text begins with one and ends with another, without overlap."""

    text: Located
    prefix: bytes
    suffix: bytes


@dataclass(frozen=True, slots=True)
class SameTexts:
    """Two texts of bounded size equal each other."""

    left: Located
    right: Located


Truth: TypeAlias = Comparison | Negation | Junction | SameText | Match | SameTexts
Typed: TypeAlias = Constant | Read | Calculation | Change | Truth


def is_truth(node: Typed) -> bool:
    """True when the value is 0 or 1 as a condition gives it."""
    return isinstance(node, Truth)


def sign_of(node: Typed) -> Sign:
    """How the 64 bits of a number are to be read."""
    match node:
        case Constant(value):
            return True if value < 0 else None if value < 1 << 63 else False
        case Read(located):
            return _operand_sign(located.type)
        case Calculation(sign, left, right):
            return result_sign(sign, sign_of(left), sign_of(right))
        case Change():
            return True
    return None


def _operand_sign(type_: Type) -> Sign:
    if not isinstance(type_, Integer):
        return False
    if type_.signed:
        return True
    return None if type_.width < 64 else False


def type_of(node: Typed) -> Type:
    """The type of the whole: an operand's own, 64 bits for what is computed."""
    if isinstance(node, Read):
        return node.located.type
    return LONG if sign_of(node) else UNSIGNED_LONG


def reads(node: Typed) -> Iterator[Located]:
    """Every operand, once for each time that it stands there."""
    match node:
        case Read(located):
            yield located
        case SameText(text) | Match(text):
            yield text
        case SameTexts(left, right):
            yield from (left, right)
        case Calculation(_, one, other) | Comparison(_, one, other):
            yield from reads(one)
            yield from reads(other)
        case Change(_, operand) | Negation(operand):
            yield from reads(operand)
        case Junction(_, parts):
            for part in parts:
                yield from reads(part)
