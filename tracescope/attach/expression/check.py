"""Syntax → typed: names looked up, types checked, constants computed. Pure; refusals say the place and the fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tracescope.attach.expression.arithmetic import apply, compare, negated
from tracescope.attach.expression.chain import Located, index, member, members_hint
from tracescope.attach.expression.literals import matched, out_of_range, same_text, same_texts
from tracescope.attach.expression.mistake import ExpressionError, Unfit
from tracescope.attach.expression.parse import COMPARISONS
from tracescope.attach.expression.scope import ARGUMENTS, Scope, constant
from tracescope.attach.expression.syntax import (
    Binary,
    Expression,
    Index,
    Logic,
    Member,
    Name,
    Node,
    Number,
    String,
    Unary,
    children,
)
from tracescope.attach.expression.typed import (
    Calculation,
    Change,
    Comparison,
    Constant,
    Junction,
    Negation,
    Read,
    Typed,
)
from tracescope.attach.expression.types import Array, Integer, Struct, Text

__all__ = ("check_condition", "check_number", "check_value")

Tables: TypeAlias = Sequence[Sequence[Mapping[str, int]]]
"""Where a constant's name is looked up: the operands beside it first, then those further out."""


def check_condition(expression: Expression, scope: Scope) -> Typed:
    """An expression that says which events pass; raises ExpressionError."""
    return _Checker(expression.text, scope).number(expression.root, ())


def check_number(expression: Expression, scope: Scope) -> Typed:
    """An expression to measure: a number, never a text; raises ExpressionError."""
    return check_condition(expression, scope)


def check_value(expression: Expression, scope: Scope) -> Typed:
    """An expression to show or count by: a number, an address, or a text operand; raises ExpressionError."""
    return _Checker(expression.text, scope).value(expression.root)


class _Checker:
    """One expression in one scope."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._located: dict[int, Located] = {}

    def value(self, node: Node) -> Typed:
        """A number or a text operand."""
        if isinstance(node, String):
            raise self._error(node, Unfit("this text is no value by itself", 'compare it: comm == "text"'))
        text = self._text_operand(node)
        return Read(text) if text else self.number(node, ())

    def number(self, node: Node, tables: Tables) -> Typed:
        """A number, or a condition as 0 or 1."""
        try:
            return self._number(node, tables)
        except Unfit as error:
            raise self._error(node, error) from None

    def _error(self, node: Node, error: Unfit) -> ExpressionError:
        return ExpressionError(self._text, node.at, error.why, error.fix)

    def _number(self, node: Node, tables: Tables) -> Typed:
        match node:
            case Number(_, value):
                return Constant(value)
            case String():
                raise Unfit("a number was expected here and this is a text", "compare texts with == != or =~")
            case Unary():
                return self._unary(node, tables)
            case Logic(_, sign, parts):
                return Junction(sign, tuple(self.number(part, tables) for part in parts))
            case Binary() if node.sign in COMPARISONS:
                return self._comparison(node, tables)
            case Binary():
                return self._calculation(node, *self._sides(node, tables))
            case Name(_, word) if word not in self._scope.builtins:
                return self._constant(word, tables)
        return self._operand(self._locate(node))

    def _operand(self, located: Located) -> Typed:
        if isinstance(located.type, Text):
            raise Unfit(f"{located.name} is a text and no number", f'compare it: {located.name} == "text"')
        if isinstance(located.type, Struct | Array):
            kind = "a struct" if isinstance(located.type, Struct) else "an array"
            raise Unfit(f"{located.name} is {kind} and no number", members_hint(located, self._scope.btf))
        return Read(located)

    def _constant(self, word: str, tables: Tables) -> Constant:
        value = constant(word, tables)
        if value is None:
            raise self._scope.unknown(word, [table for group in tables for table in group])
        return Constant(value)

    def _unary(self, node: Unary, tables: Tables) -> Typed:
        operand = self.number(node.operand, tables)
        if node.sign == "!":
            return Negation(operand)
        if isinstance(operand, Constant):
            return _exact(negated(node.sign, operand.value))
        return operand if node.sign == "+" else Change(node.sign, operand)

    def _sides(self, node: Binary, tables: Tables) -> tuple[Typed, Typed]:
        """Both sides; a constant on one may be named by what the other side's operands know."""
        left, right = self._tables(node.left), self._tables(node.right)
        return self.number(node.left, (right, *tables)), self.number(node.right, (left, *tables))

    def _calculation(self, node: Binary, left: Typed, right: Typed) -> Typed:
        if node.sign in ("/", "%") and right == Constant(0):
            raise Unfit("this divides by zero")
        if isinstance(left, Constant) and isinstance(right, Constant):
            return _exact(apply(node.sign, left.value, right.value))
        return Calculation(node.sign, left, right)

    def _comparison(self, node: Binary, tables: Tables) -> Typed:
        one, other = self._text_side(node.left), self._text_side(node.right)
        if one is not None or other is not None:
            return self._text_comparison(node, one, other)
        if node.sign == "=~":
            raise Unfit("=~ compares texts, and this is none", 'write ==, or comm =~ "begin*"')
        left, right = self._sides(node, tables)
        if isinstance(left, Constant) and isinstance(right, Constant):
            return Constant(int(compare(node.sign, left.value, right.value)))
        out_of_range(node.sign, left, right)
        return Comparison(node.sign, left, right)

    def _text_side(self, node: Node) -> Located | bytes | None:
        return node.data if isinstance(node, String) else self._text_operand(node)

    def _text_comparison(self, node: Binary, one: Located | bytes | None, other: Located | bytes | None) -> Typed:
        for side, text in ((node.left, one), (node.right, other)):
            if text is None:
                raise self._error(side, Unfit("a text was expected here, as on the other side"))
        if isinstance(one, bytes) and node.sign != "=~":
            one, other = other, one
        if not isinstance(one, Located):
            raise Unfit("one side of a comparison of texts is an operand", 'write it as comm =~ "begin*"')
        if node.sign not in ("==", "!=", "=~"):
            raise Unfit(f"texts are not compared with {node.sign}", "there are == != and =~")
        if node.sign == "=~":
            if not isinstance(other, bytes):
                raise Unfit("=~ has a pattern in quotes on its right", f'{one.name} =~ "begin*"')
            return matched(one, other)
        if isinstance(other, Located):
            same: Typed = same_texts(one, other)
        else:
            same = same_text(one, other or b"")
        return Negation(same) if node.sign == "!=" else same

    def _text_operand(self, node: Node) -> Located | None:
        """The operand that a node is, when it is one and a text."""
        if not isinstance(node, Name | Member | Index):
            return None
        if isinstance(node, Name) and node.word not in self._scope.builtins:
            return None
        located = self._locate(node)
        return located if isinstance(located.type, Text) else None

    def _tables(self, node: Node) -> list[Mapping[str, int]]:
        """The names that the operands of a part know."""
        if isinstance(node, Member | Index) or (isinstance(node, Name) and node.word in self._scope.builtins):
            type_ = self._locate(node).type
            return [type_.names] if isinstance(type_, Integer) and type_.names else []
        return [table for child in children(node) for table in self._tables(child)]

    def _locate(self, node: Node) -> Located:
        """The operand that a chain leads to; raises ExpressionError with the place in the chain."""
        found = self._located.get(id(node))
        if found is None:
            try:
                found = self._located[id(node)] = self._follow(node)
            except Unfit as error:
                raise self._error(node, error) from None
        return found

    def _follow(self, node: Node) -> Located:
        match node:
            case Member(_, Name(_, word), name) if word == ARGUMENTS and word not in self._scope.builtins:
                return Located.of(f"{ARGUMENTS}.{name}", self._scope.argument(name))
            case Name(_, word) if word in self._scope.builtins:
                return Located.of(word, self._scope.builtins[word])
            case Name(_, word):
                raise self._scope.unknown(word, ())
            case Member(_, base, name):
                return member(self._locate(base), name, self._scope.btf)
            case Index(_, base, number):
                return index(self._locate(base), number, self._scope.btf)
        raise Unfit("members and elements belong to args.NAME, or to a builtin")


def _exact(value: int) -> Constant:
    """A constant that was computed; raises Unfit when 64 bits do not hold it."""
    if not -(1 << 63) <= value < 1 << 64:
        raise Unfit("this number does not fit in 64 bits")
    return Constant(value)
