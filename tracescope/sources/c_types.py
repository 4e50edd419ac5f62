"""C integer types and what the operators do with them, `long` having 64 bits.

Source: C11 6.3.1 (conversions), 6.4.4 (constants), 6.5 (operators). Numbers wrap and convert as in C, so `-9ULL` is
2**64 - 9.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ("ARITHMETIC", "CHAR", "INT", "LONG", "TESTS", "ULONG", "CType", "Number", "common", "number", "type_of")


class CType(NamedTuple):
    """An integer type; a pointer counts as `unsigned long`."""

    bits: int
    signed: bool

    def wrap(self, value: int) -> int:
        """The value that this type holds after a conversion to it."""
        value &= (1 << self.bits) - 1
        return value - (1 << self.bits) if self.signed and value >> (self.bits - 1) else value

    @property
    def promoted(self) -> CType:
        """The type that arithmetic takes: nothing smaller than int."""
        return self if self.bits >= INT.bits else INT


CHAR, INT, LONG, ULONG = CType(8, True), CType(32, True), CType(64, True), CType(64, False)


class Number(NamedTuple):
    """A constant."""

    value: int
    type: CType = INT


def common(left: CType, right: CType) -> CType:
    """The usual arithmetic conversions: to the wider type, to the unsigned one of two equally wide."""
    bits = max(left.bits, right.bits, INT.bits)
    return CType(bits, all(side.signed for side in (left, right) if side.bits == bits))


def _divide(left: int, right: int) -> int:
    """Division towards zero; ZeroDivisionError."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "/": _divide,
    "%": lambda left, right: left - right * _divide(left, right),
    "+": operator.add,
    "-": operator.sub,
    "&": operator.and_,
    "^": operator.xor,
    "|": operator.or_,
}
TESTS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_SIZED = re.compile(r"_*(?:(s|int)|u|uint|le|be)(8|16|32|64)(?:_t)?")
_WORDS = {"char": 8, "short": 16, "int": 32, "signed": 32, "unsigned": 32, "long": 64, "_Bool": 8, "bool": 8}
_QUALIFIERS = frozenset({"const", "volatile", "__user", "__kernel", "__rcu", "__percpu", "__force", "__bitwise"})
# The kernel's names that casts in a print fmt use; the rest keeps its operand as it is.
_NAMES = dict.fromkeys(("uint", "gfp_t", "dev_t", "uid_t", "gid_t", "fmode_t", "blk_opf_t"), CType(32, False))
_NAMES |= dict.fromkeys(("size_t", "ulong", "uintptr_t", "sector_t", "blkcnt_t", "phys_addr_t", "dma_addr_t"), ULONG)
_NAMES |= dict.fromkeys(("ssize_t", "loff_t", "off_t", "time_t", "ktime_t", "ptrdiff_t"), LONG)
_NAMES |= {"pid_t": INT, "umode_t": CType(16, False)}


def type_of(words: Sequence[str]) -> CType | None:
    """The type that words such as `unsigned long` or `u32` name; None for one that is not known."""
    words = [word for word in words if word not in _QUALIFIERS]
    if not words:
        return None
    if "*" in words:
        return ULONG
    sized = _SIZED.fullmatch(words[0]) if len(words) == 1 else None
    if sized:
        return CType(int(sized[2]), bool(sized[1]))
    if len(words) == 1 and words[0] in _NAMES:
        return _NAMES[words[0]]
    if not all(word in _WORDS for word in words):
        return None
    widths = {_WORDS[word] for word in words}
    bits = 8 if 8 in widths else 16 if 16 in widths else max(widths)
    return CType(bits, "unsigned" not in words and "bool" not in words and "_Bool" not in words)


def number(digits: str, suffix: str) -> Number | None:
    """A literal, of the first type that holds it (C11 6.4.4.1); None for `08` and what no type holds."""
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") else 10
    try:
        value = int(digits, base)
    except ValueError:
        return None
    for bits in (64,) if "l" in suffix else (32, 64):
        for signed in (True, False):
            fits = value < 1 << (bits - signed)
            if fits and (not signed or "u" not in suffix) and (signed or "u" in suffix or base != 10):
                return Number(value, CType(bits, signed))
    return None
