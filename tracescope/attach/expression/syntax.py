"""The syntax tree of an expression. `at` is where a part begins or has its operator, in characters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = (
    "Binary",
    "Expression",
    "Index",
    "Logic",
    "Member",
    "Name",
    "Node",
    "Number",
    "String",
    "Unary",
    "children",
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, from 0 to 2**64 - 1."""

    at: int
    value: int


@dataclass(frozen=True, slots=True)
class String:
    """A text between quotes, its escapes resolved."""

    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Name:
    """A word: `args`, a builtin such as `comm`, or a constant such as `O_CREAT`."""

    at: int
    word: str


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name` or `base->name`: which of the two was written does not matter."""

    at: int
    base: Node
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`."""

    at: int
    base: Node
    index: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`!`, `-`, `+` or `~` before its operand."""

    at: int
    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, or a comparison."""

    at: int
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """`&&` or `||` between two parts or more."""

    at: int
    sign: str
    parts: tuple[Node, ...]


Node: TypeAlias = Number | String | Name | Member | Index | Unary | Binary | Logic


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression: it stands in `text` from `start` to `end`."""

    text: str
    root: Node
    start: int
    end: int

    @property
    def title(self) -> str:
        """The expression as it was written, without the space around it."""
        return self.text[self.start : self.end].strip()


def children(node: Node) -> Iterator[Node]:
    """The parts of a node."""
    match node:
        case Logic():
            yield from node.parts
        case Binary():
            yield node.left
            yield node.right
        case Unary():
            yield node.operand
        case Member() | Index():
            yield node.base
        case _:
            return
