"""What stands beside an operand: a text to be equal to, a pattern, a number that it can never be. Pure."""

from __future__ import annotations

from tracescope.attach.expression.arithmetic import compare
from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.mistake import Unfit
from tracescope.attach.expression.typed import Constant, Match, Read, SameText, SameTexts, Typed
from tracescope.attach.expression.types import Integer, Text

__all__ = ("LONGEST_TEXT", "MAX_LENGTH", "matched", "out_of_range", "same_text", "same_texts")

LONGEST_TEXT = 64
"""Bytes of a text in an expression: a program has 512 bytes of stack for all."""
MAX_LENGTH = 504
"""How far the end of a text of unknown length is looked for."""

_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def same_text(text: Located, data: bytes) -> SameText:
    """`text == "data"`; raises Unfit for what is never equal."""
    _check_fits(text, data, f'{text.name} =~ "begin*" compares the beginning')
    return SameText(text, data)


def matched(text: Located, pattern: bytes) -> Match:
    """`text =~ "begin*end"`; raises Unfit for a pattern without one `*`, or with other wildcards."""
    if any(mark in pattern for mark in b"?["):
        raise Unfit("a pattern knows * only: `?` and `[` have no meaning in it", "use ==, or *")
    if pattern.count(b"*") != 1:
        why = "a pattern has one *: what is between two would have to be searched for, which a BPF program cannot"
        raise Unfit(why, 'write "begin*", "*end" or "begin*end"' if b"*" in pattern else "use == for the whole text")
    prefix, _, suffix = pattern.partition(b"*")
    if not prefix and not suffix:
        raise Unfit("this matches every text")
    _check_fits(text, prefix + suffix, "")
    return Match(text, prefix, suffix)


def same_texts(left: Located, right: Located) -> SameTexts:
    """`text == text`, both arrays; raises Unfit for others."""
    for side in (left, right):
        size = side.type.size if isinstance(side.type, Text) else None
        if size is None or size > LONGEST_TEXT:
            why = f"two operands are compared only when both are arrays of at most {LONGEST_TEXT} bytes"
            raise Unfit(f"{why}: {side.name} is not", "compare each with a text in quotes")
    return SameTexts(left, right)


def _check_fits(text: Located, data: bytes, fix: str) -> None:
    if len(data) > LONGEST_TEXT:
        raise Unfit(f"this text has {len(data)} bytes, and at most {LONGEST_TEXT} can be compared", fix)
    size = text.type.size if isinstance(text.type, Text) else None
    if size is not None and len(data) > size:
        raise Unfit(f"{text.name} holds at most {size} bytes, and this text has {len(data)}: it is never equal", fix)


def out_of_range(sign: str, left: Typed, right: Typed) -> None:
    """Raise Unfit when a comparison of an operand with a number has the same answer for every value that it can have.

    `args.fd == -1` on an unsigned argument would quietly match nothing.
    """
    if isinstance(left, Constant):
        left, right, sign = right, left, _SWAPPED.get(sign, sign)
    if not isinstance(right, Constant) or not isinstance(left, Read) or not isinstance(left.located.type, Integer):
        return
    type_, name, number = left.located.type, left.located.name, right.value
    low, high = _range(type_)
    answers = {compare(sign, value, number) for value in (low, high)}
    if len(answers) > 1 or (sign in ("==", "!=") and low <= number <= high):
        return
    fix = ""
    if -(1 << type_.width) <= number < 0 and not type_.signed:
        fix = f"as {type_.width} bits without a sign, {number} is {number & ((1 << type_.width) - 1):#x}"
    outcome = "always" if answers.pop() else "never"
    raise Unfit(f"{name} is from {low} to {high}: it is {outcome} {sign} {number}", fix)


def _range(type_: Integer) -> tuple[int, int]:
    """The lowest and the highest value."""
    if type_.signed:
        return -(1 << type_.width - 1), (1 << type_.width - 1) - 1
    return 0, (1 << type_.width) - 1
