"""Typed expressions evaluated here, over values read before, as the C of `c_text` does it in the kernel. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tracescope.attach.expression.arithmetic import apply, compare, negated, wrap
from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.literals import MAX_LENGTH
from tracescope.attach.expression.typed import (
    Calculation,
    Change,
    Comparison,
    Constant,
    Junction,
    Match,
    Negation,
    Read,
    SameText,
    SameTexts,
    Typed,
    sign_of,
)
from tracescope.attach.expression.types import Integer, Text

__all__ = ("Unknown", "Values", "evaluate", "holds")

Values: TypeAlias = Mapping[str, int | bytes | None]
"""By the operand's name (`Located.name`): its number, the bytes of its text, or None for what could not be read."""


class Unknown(Exception):
    """The value depends on an operand that could not be read."""


def holds(condition: Typed, values: Values) -> bool:
    """Does an event with these values pass: False when the answer depends on one that could not be read."""
    try:
        return _truth(condition, values)
    except Unknown:
        return False


def evaluate(typed: Typed, values: Values) -> int | bytes:
    """The number, or the bytes of a text operand; raises Unknown."""
    if isinstance(typed, Read) and isinstance(typed.located.type, Text):
        return _text(typed.located, values)
    return _number(typed, values)


def _number(node: Typed, values: Values) -> int:
    match node:
        case Constant(value):
            return value
        case Read(located):
            return _operand(located, values)
        case Change(sign, operand):
            return wrap(negated(sign, _number(operand, values)), True)
        case Calculation(sign, left, right):
            exact = apply(sign, _number(left, values), _number(right, values))
            return wrap(exact, sign_of(node) is True)
    return int(_truth(node, values))


def _truth(node: Typed, values: Values) -> bool:
    match node:
        case Comparison(sign, left, right):
            return compare(sign, _number(left, values), _number(right, values))
        case Negation(operand):
            return not _truth(operand, values)
        case Junction("&&", parts):
            return all(_truth(part, values) for part in parts)
        case Junction(_, parts):
            return any(_truth(part, values) for part in parts)
        case SameText(text, data):
            return _text(text, values) == data
        case SameTexts(left_text, right_text):
            return _text(left_text, values) == _text(right_text, values)
        case Match():
            return _matches(node, values)
    return _number(node, values) != 0


def _operand(located: Located, values: Values) -> int:
    value = values.get(located.name)
    if not isinstance(value, int):
        raise Unknown(located.name)
    if isinstance(located.type, Integer):
        return wrap(value, located.type.signed, located.type.width)
    return wrap(value, False)


def _text(located: Located, values: Values) -> bytes:
    value = values.get(located.name)
    if not isinstance(value, bytes):
        raise Unknown(located.name)
    size = located.type.size if isinstance(located.type, Text) else None
    return value[:size].partition(b"\0")[0]


def _matches(node: Match, values: Values) -> bool:
    text = _text(node.text, values)
    if not text.startswith(node.prefix):
        return False
    if not node.suffix:
        return True
    size = node.text.type.size if isinstance(node.text.type, Text) else None
    if len(text) >= MAX_LENGTH and (size is None or size > MAX_LENGTH):
        # The program does not look further for the end.
        raise Unknown(node.text.name)
    return len(text) >= len(node.prefix) + len(node.suffix) and text.endswith(node.suffix)
