"""The expressions of a `print fmt`, compiled to functions from a record's values to a number or bytes.

Numbers follow C11 6.5 in their types. A pointer into the record is the bytes from there on; an address in the kernel is
a number that leads nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import singledispatchmethod

from tracescope import model
from tracescope.printable import encode
from tracescope.sources import c_tree
from tracescope.sources.c_tree import Node
from tracescope.sources.c_types import ARITHMETIC, INT, LONG, TESTS, ULONG, CType, Number, common
from tracescope.sources.print_calls import call
from tracescope.sources.print_operand import (
    Known,
    Lookups,
    Operand,
    Unknown,
    Values,
    constant,
    elements,
    field_operand,
    integer,
    memory,
    scalar,
    true,
)

__all__ = ("ExpressionCompiler",)

# Kernels' expressions have under 100 nodes beside constants, nested under 20 deep.
_MAX_NODES, _MAX_DEPTH = 5_000, 60


class ExpressionCompiler:
    """Compiles the expressions of one event's print fmt, and keeps what only the kernel knows in `holes`."""

    def __init__(self, fields: dict[str, model.Field], lookups: Lookups) -> None:
        self.lookups = lookups
        self.holes: dict[str, None] = {}
        self._fields = fields
        self._nodes = 0
        self._depth = 0
        self._quiet = 0

    def field(self, name: str) -> model.Field | None:
        """A field of the event."""
        return self._fields.get(name)

    def note(self, text: str) -> None:
        """Note a hole, unless what it is a part of is none of its own."""
        if not self._quiet:
            self.holes[text] = None

    def quietly(self, node: Node) -> Operand:
        """An expression compiled of which nothing is shown, or only inside of another hole: it adds no holes."""
        self._quiet += 1
        made = self.operand(node)
        self._quiet -= 1
        return made

    def unknown(self, text: str) -> Operand:
        """An operand that only the kernel knows."""
        self.note(text)

        def run(_values: Values) -> Known:
            raise Unknown(text)

        return Operand(run, LONG, hole=True)

    def operand(self, node: Node) -> Operand:
        """An expression compiled; one too long or too deep for a kernel's is a hole."""
        self._nodes += 1
        if self._nodes > _MAX_NODES or self._depth > _MAX_DEPTH:
            return self.unknown("…")
        self._depth += 1
        made = self._compile(node)
        self._depth -= 1
        return made

    @singledispatchmethod
    def _compile(self, _node: Node) -> Operand:
        """A table's entry outside of a table."""
        return self.unknown("{…}")

    @_compile.register
    def _(self, node: Number) -> Operand:
        return constant(node.value, node.type)

    @_compile.register
    def _(self, node: c_tree.Literal) -> Operand:
        return constant(encode(node.text))

    @_compile.register
    def _(self, node: c_tree.Field) -> Operand:
        return field_operand(self, node.name)

    @_compile.register
    def _(self, node: c_tree.Name) -> Operand:
        return self.unknown(node.name)

    @_compile.register
    def _(self, node: c_tree.Call) -> Operand:
        return call(self, node.name, node.arguments)

    @_compile.register
    def _(self, node: c_tree.Unary) -> Operand:
        operand = self.operand(node.operand)
        if node.sign == "!":
            test = true(operand)
            return Operand(lambda values: int(not test(values)), INT)
        kind, number = (operand.type or ULONG).promoted, integer(operand)
        wrap = kind.wrap
        if node.sign == "~":
            return Operand(lambda values: wrap(~number(values)), kind)
        return Operand(lambda values: wrap(-number(values)), kind)

    @_compile.register
    def _(self, node: c_tree.Choice) -> Operand:
        if isinstance(node.test, Number):
            return self._chosen(node.test.value != 0, node.yes, node.no)
        test, yes, no = true(self.operand(node.test)), self.operand(node.yes), self.operand(node.no)
        first, second = yes.run, no.run
        if yes.type is None or no.type is None:
            # `cond ? "text" : NULL`
            return Operand(
                lambda values: first(values) if test(values) else second(values), element=yes.element or no.element
            )
        kind = common(yes.type, no.type)
        one, other = _converted(yes, kind), _converted(no, kind)
        return Operand(lambda values: one(values) if test(values) else other(values), kind)

    def _chosen(self, first: bool, yes: Node, no: Node) -> Operand:
        """One side of a choice that is made already, in the type of both."""
        taken, other = self.operand(yes if first else no), self.quietly(no if first else yes)
        if taken.type is None or other.type is None:
            return taken
        kind = common(taken.type, other.type)
        return Operand(_converted(taken, kind), kind)

    @_compile.register
    def _(self, node: c_tree.Cast) -> Operand:
        operand = self.operand(node.operand)
        if operand.type is None and node.pointer:
            return Operand(operand.run, element=node.target)
        number, wrap = integer(operand), node.type.wrap
        return Operand(lambda values: wrap(number(values)), node.type)

    @_compile.register
    def _(self, node: c_tree.Address) -> Operand:
        inner = node.operand
        if isinstance(inner, c_tree.Index):
            return _shifted(self.operand(inner.operand), integer(self.operand(inner.at)), 1)
        field = self.field(inner.name) if isinstance(inner, c_tree.Field) else None
        if field is None:
            return self.unknown("address")
        operand, kind = field_operand(self, field.name), scalar(field)
        if kind is None:
            return operand
        number, unsigned, size = integer(operand), CType(kind.bits, signed=False), field.size
        return Operand(lambda values: unsigned.wrap(number(values)).to_bytes(size, sys.byteorder), element=kind)

    @_compile.register
    def _(self, node: c_tree.Deref) -> Operand:
        return _element(self.operand(node.operand), lambda _: 0)

    @_compile.register
    def _(self, node: c_tree.Index) -> Operand:
        return _element(self.operand(node.operand), integer(self.operand(node.at)))

    @_compile.register
    def _(self, node: c_tree.Binary) -> Operand:
        sign, left, right = node.sign, self.operand(node.left), self.operand(node.right)
        if sign in ("&&", "||"):
            one, other, stop = true(left), true(right), sign == "||"
            return Operand(lambda values: int(stop if one(values) is stop else other(values)), INT)
        if left.type is None and sign in "+-":
            return _shifted(left, integer(right), 1 if sign == "+" else -1)
        if right.type is None and sign == "+":
            return _shifted(right, integer(left), 1)
        return _shift(sign, left, right) if sign in ("<<", ">>") else _arithmetic(sign, left, right)


def _converted(operand: Operand, kind: CType) -> Callable[[Values], int]:
    """The operand as a number of a type."""
    number = integer(operand)
    if operand.type == kind or (operand.type and operand.type.bits < kind.bits and kind.signed):
        return number
    wrap = kind.wrap
    return lambda values: wrap(number(values))


def _arithmetic(sign: str, left: Operand, right: Operand) -> Operand:
    """An operator after the usual arithmetic conversions."""
    kind = common(left.type or ULONG, right.type or ULONG)
    one, other = _converted(left, kind), _converted(right, kind)
    if sign in TESTS:
        test = TESTS[sign]
        return Operand(lambda values: int(test(one(values), other(values))), INT)
    apply, wrap = ARITHMETIC[sign], kind.wrap
    if sign not in "/%":
        return Operand(lambda values: wrap(apply(one(values), other(values))), kind)

    def divide(values: Values) -> int:
        divisor = other(values)
        if not divisor:
            raise Unknown(f"{sign} 0")
        return wrap(apply(one(values), divisor))

    return Operand(divide, kind)


def _shift(sign: str, left: Operand, right: Operand) -> Operand:
    """A shift; too wide a one has no meaning in C, and on most processors takes the low bits of its count."""
    kind = (left.type or ULONG).promoted
    number, count, wrap, mask = integer(left), integer(right), kind.wrap, kind.bits - 1
    if sign == ">>":
        return Operand(lambda values: number(values) >> (count(values) & mask), kind)
    return Operand(lambda values: wrap(number(values) << (count(values) & mask)), kind)


def _size(operand: Operand) -> int:
    return operand.element.bits // 8 if operand.element else 1


def _shifted(operand: Operand, count: Callable[[Values], int], sign: int) -> Operand:
    """A pointer moved on by elements; never to before its start."""
    data, size = memory(operand), _size(operand)

    def run(values: Values) -> bytes:
        at = sign * count(values) * size
        if at < 0:
            raise Unknown("address")
        return data(values)[at:]

    return Operand(run, element=operand.element)


def _element(operand: Operand, at: Callable[[Values], int]) -> Operand:
    """One element of an array; behind the last character of a string there is a NUL."""
    data, size, kind = memory(operand), _size(operand), operand.element or CType(8, signed=False)

    def run(values: Values) -> int:
        start, found = at(values) * size, data(values)
        if size == 1 and start == len(found):
            return 0
        if not 0 <= start <= len(found) - size:
            raise Unknown(f"[{start // size}]")
        return kind.wrap(elements(found[start : start + size], size)[0])

    return Operand(run, kind)
