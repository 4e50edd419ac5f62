"""A C expression as a tree: what `c_expression` reads and `print_words` makes into text.

Constants are folded while the tree is made, so what a kernel writes as `(( gfp_t)((((1UL))) << (6)))` is one number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.sources.c_types import ARITHMETIC, TESTS, ULONG, CType, Number, common

__all__ = (
    "Address",
    "Binary",
    "Braces",
    "Call",
    "Cast",
    "Choice",
    "Deref",
    "Field",
    "Index",
    "Literal",
    "Name",
    "Node",
    "Unary",
    "binary",
    "cast",
    "choice",
    "names_in",
    "unary",
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A string."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """`REC->name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """A word that is neither a field nor a known constant: `jiffies`, an enumerator, the inside of `__get_str()`."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """One of `- ~ !`."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choice:
    """`test ? yes : no`."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Cast:
    """`(type) operand`; for a pointer, `target` is what it points to, when that is an integer."""

    type: CType
    operand: Node
    pointer: bool = False
    target: CType | None = None


@dataclass(frozen=True, slots=True)
class Deref:
    """`*operand`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Address:
    """`&operand`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[at]`."""

    operand: Node
    at: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Braces:
    """`{ items }`, an entry of a table."""

    items: tuple[Node, ...]


Node: TypeAlias = (
    "Number | Literal | Field | Name | Unary | Binary | Choice | Cast | Deref | Address | Index | Call | Braces"
)


def unary(sign: str, operand: Node) -> Node:
    """`sign operand`, folded."""
    if sign == "+":
        return operand
    if not isinstance(operand, Number):
        return Unary(sign, operand)
    if sign == "!":
        return Number(int(not operand.value))
    kind = operand.type.promoted
    return Number(kind.wrap(~operand.value if sign == "~" else -operand.value), kind)


def binary(sign: str, left: Node, right: Node) -> Node:
    """`left sign right`, folded when both are constants and the result is defined."""
    if not (isinstance(left, Number) and isinstance(right, Number)):
        return Binary(sign, left, right)
    if sign in ("&&", "||"):
        both, either = bool(left.value and right.value), bool(left.value or right.value)
        return Number(int(both if sign == "&&" else either))
    if sign in ("<<", ">>"):
        kind = left.type.promoted
        if not 0 <= right.value < kind.bits:
            return Binary(sign, left, right)
        return Number(kind.wrap(left.value << right.value if sign == "<<" else left.value >> right.value), kind)
    kind = common(left.type, right.type)
    one, other = kind.wrap(left.value), kind.wrap(right.value)
    if sign in TESTS:
        return Number(int(TESTS[sign](one, other)))
    if sign in "/%" and other == 0:
        return Binary(sign, left, right)
    return Number(kind.wrap(ARITHMETIC[sign](one, other)), kind)


def choice(test: Node, yes: Node, no: Node) -> Node:
    """`test ? yes : no`, folded when the test is a constant and both sides are, or strings.

    The side that is not taken still has a say in the type: `1 ? -1 : REC->u64` is 2**64 - 1.
    """
    if not isinstance(test, Number):
        return Choice(test, yes, no)
    taken = yes if test.value else no
    if isinstance(yes, Number) and isinstance(no, Number):
        kind = common(yes.type, no.type)
        return Number(kind.wrap(yes.value if test.value else no.value), kind)
    return taken if isinstance(taken, Literal) else Choice(test, yes, no)


def cast(kind: CType | None, operand: Node, *, pointer: bool = False, target: CType | None = None) -> Node:
    """`(kind) operand`, folded; a type that is not known leaves the operand as it is."""
    if kind is None:
        return operand
    if isinstance(operand, Number):
        return Number(kind.wrap(operand.value), kind)
    return Cast(ULONG if pointer else kind, operand, pointer, target)


def names_in(node: Node) -> Iterator[str]:
    """The names that keep an expression from being a constant: words, `REC->fields`, `functions()`."""
    waiting = [node]
    while waiting:
        match waiting.pop():
            case Name(name):
                yield name
            case Field(name):
                yield f"REC->{name}"
            case Call(name, _):
                yield f"{name}()"
            case Unary(_, inside) | Cast(_, inside) | Deref(inside) | Address(inside):
                waiting.append(inside)
            case Binary(_, left, right) | Index(left, right):
                waiting += [right, left]
            case Choice(Number(value, _), yes, no):
                waiting.append(yes if value else no)
            case Choice(test, yes, no):
                waiting += [no, yes, test]
            case Braces(items):
                waiting += reversed(items)
