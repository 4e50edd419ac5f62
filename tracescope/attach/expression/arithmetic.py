"""What the operators of an expression mean: computed exactly, as Python does, then wrapped to 64 bits. Pure.

Division truncates toward zero and gives 0 for a divisor of 0, and so does the remainder; a shift by a count that is not
0 to 63 shifts everything out. Signs of results are known beforehand: a difference, a negation and `~` are signed; `&`
is when both sides are; a shift is as its left side; anything else is when a side is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

__all__ = ("BITS", "WORD", "Sign", "apply", "compare", "negated", "result_sign", "wrap")

BITS = 64
WORD = (1 << BITS) - 1
"""All bits."""

Sign = bool | None
"""True: signed. False: unsigned. None: never negative and below 2**63, so that either reading is right."""


def _divide(left: int, right: int) -> int:
    if right == 0:
        return 0
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    return left - right * _divide(left, right) if right else 0


def _shift_left(left: int, right: int) -> int:
    return left << right if 0 <= right < BITS else 0


def _shift_right(left: int, right: int) -> int:
    return left >> (right if 0 <= right < BITS else BITS)


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": _shift_left,
    ">>": _shift_right,
}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def apply(sign: str, left: int, right: int) -> int:
    """The exact result, not yet wrapped."""
    return _OPERATIONS[sign](left, right)


def compare(sign: str, left: int, right: int) -> bool:
    """The comparison of two exact numbers."""
    return _COMPARISONS[sign](left, right)


def negated(sign: str, value: int) -> int:
    """`-`, `~` or `+` of a number, not yet wrapped."""
    return {"-": -value, "~": ~value, "+": value}[sign]


def result_sign(sign: str, left: Sign, right: Sign) -> Sign:
    """The sign of an operator's result."""
    if sign == "-":
        return True
    if sign == "&":
        return None if left is None or right is None else left and right
    if sign in ("<<", ">>"):
        return left is True
    return left is True or right is True


def wrap(value: int, signed: bool, bits: int = BITS) -> int:
    """The number of so many bits that equals `value` modulo 2**bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
