"""Integer expressions in C as a `print fmt:` has them: `( gfp_t)((((1UL))) << (6))`, `-9ULL`, `'a'`.

Source: C11 6.5 and 6.6, with `long` of 64 bits. Numbers wrap and convert as in C, so `-9ULL` is 2**64 - 9.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ("evaluate", "unescape")

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


def unescape(text: str) -> str:
    """The inside of a C string or character literal, its escapes resolved."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    hexadecimal, octal, other = match.groups()
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    return chr(int(octal, 8) & 0xFF) if octal else _ESCAPED.get(other, other)


def evaluate(expression: str, names: Mapping[str, int] | None = None) -> int | None:
    """The expression's value, `names` such as `REC->flags` given; None when it has an unknown name or no value."""
    try:
        return _Reader(expression, names or {}).value()
    except _Unknown:
        return None


class _Unknown(Exception):
    """The expression has no value that can be known."""


class _Int(NamedTuple):
    """A C integer after promotion: its value and its type."""

    value: int
    bits: int = 32
    signed: bool = True

    def to(self, bits: int, signed: bool) -> _Int:
        """Converted to a type, and promoted when that is smaller than int."""
        value = self.value & ((1 << bits) - 1)
        if signed and value >> (bits - 1):
            value -= 1 << bits
        return _Int(value, bits, signed) if bits >= 32 else _Int(value)


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise _Unknown
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "/": _divide,
    "%": lambda left, right: left - right * _divide(left, right),
    "+": operator.add,
    "-": operator.sub,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "^": operator.xor,
    "|": operator.or_,
}
_TESTS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "&&": lambda left, right: bool(left and right),
    "||": lambda left, right: bool(left or right),
}
_LEVELS = ("||", "&&", "|", "^", "&", "== !=", "< > <= >=", "<< >>", "+ -", "* / %")
_STRENGTH = {sign: strength for strength, signs in enumerate(_LEVELS) for sign in signs.split()}

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>0[xX][0-9a-fA-F]{1,16}|[0-9]{1,22})(?P<suffix>[uUlL]{0,3})\b
      | '(?P<char>[^'\\]|\\.[0-9a-fA-F]{0,2})'
      | (?P<name>(?:REC->)?[A-Za-z_]\w*)
      | (?P<sign><<|>>|[<>=!]=|&&|\|\||[-+*/%&|^~!<>?:()]))""",
    re.VERBOSE | re.ASCII,
)
_SIZED = re.compile(r"_*(?:(s|int)|u|uint|le|be)(8|16|32|64)(?:_t)?")
_WORDS = {"char": 8, "short": 16, "int": 32, "signed": 32, "unsigned": 32, "long": 64, "size_t": 64}

# The deepest print fmt of a kernel has 15 levels; one level here takes at most 13 Python frames.
_DEPTH = 40


def _type(words: list[str]) -> tuple[int, bool] | None:
    """A C type's bits and whether it is signed; None for one that is not built in."""
    if "*" in words:
        return 64, False
    sized = _SIZED.fullmatch(words[0])
    if sized and len(words) == 1:
        return int(sized[2]), bool(sized[1])
    if not all(word in _WORDS for word in words):
        return None
    widths = {_WORDS[word] for word in words}
    bits = 8 if "char" in words else 16 if "short" in words else max(widths)
    return bits, words[0] != "size_t" and "unsigned" not in words


def _number(digits: str, suffix: str) -> _Int:
    """A literal has the first type that holds it (C11 6.4.4.1)."""
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") else 10
    try:
        value = int(digits, base)
    except ValueError:
        raise _Unknown from None
    for bits in (64,) if "l" in suffix else (32, 64):
        for signed in (True, False):
            fits = value < 1 << (bits - signed)
            if fits and (not signed or "u" not in suffix) and (signed or "u" in suffix or base != 10):
                return _Int(value, bits, signed)
    raise _Unknown


def _apply(sign: str, left: _Int, right: _Int) -> _Int:
    if sign in ("<<", ">>"):
        if not 0 <= right.value < left.bits:
            raise _Unknown
        return _Int(_ARITHMETIC[sign](left.value, right.value)).to(left.bits, left.signed)
    if sign in ("&&", "||"):
        return _Int(int(_TESTS[sign](left.value, right.value)))
    # The usual arithmetic conversions: to the wider type, to the unsigned one of two equally wide.
    bits = max(left.bits, right.bits)
    signed = all(side.signed for side in (left, right) if side.bits == bits)
    one, other = left.to(bits, signed).value, right.to(bits, signed).value
    if sign in _TESTS:
        return _Int(int(_TESTS[sign](one, other)))
    return _Int(_ARITHMETIC[sign](one, other)).to(bits, signed)


class _Reader:
    """A recursive-descent reading of one expression, bounded in depth."""

    def __init__(self, text: str, names: Mapping[str, int]) -> None:
        self._names = names
        self._tokens: list[re.Match[str]] = []
        self._at = 0
        self._depth = 0
        text, end = text.rstrip(), 0
        while end < len(text):
            token = _TOKEN.match(text, end)
            if token is None:
                raise _Unknown
            self._tokens.append(token)
            end = token.end()

    def value(self) -> int:
        result = self._ternary()
        if self._at < len(self._tokens):
            raise _Unknown
        return result.value

    def _sign(self) -> str:
        return self._tokens[self._at]["sign"] or "" if self._at < len(self._tokens) else ""

    def _take(self, sign: str) -> None:
        if self._sign() != sign:
            raise _Unknown
        self._at += 1

    def _ternary(self) -> _Int:
        result = self._binary(0)
        if self._sign() != "?":
            return result
        self._at += 1
        yes = self._deeper(self._ternary)
        self._take(":")
        no = self._deeper(self._ternary)
        return yes if result.value else no

    def _deeper(self, part: Callable[[], _Int]) -> _Int:
        self._depth += 1
        if self._depth > _DEPTH:
            raise _Unknown
        result = part()
        self._depth -= 1
        return result

    def _binary(self, weakest: int) -> _Int:
        left = self._unary()
        while (strength := _STRENGTH.get(sign := self._sign(), -1)) >= weakest:
            self._at += 1
            left = _apply(sign, left, self._binary(strength + 1))
        return left

    def _unary(self) -> _Int:
        signs = []
        while (sign := self._sign()) in ("+", "-", "~", "!"):
            signs.append(sign)
            self._at += 1
        result = self._operand()
        for sign in reversed(signs):
            if sign == "!":
                result = _Int(int(not result.value))
            elif sign != "+":
                result = _Int(~result.value if sign == "~" else -result.value).to(result.bits, result.signed)
        return result

    def _operand(self) -> _Int:
        if self._sign() == "(":
            return self._parenthesis()
        if self._at == len(self._tokens):
            raise _Unknown
        token = self._tokens[self._at]
        self._at += 1
        if token["number"]:
            return _number(token["number"], token["suffix"].lower())
        if token["char"]:
            return _Int(ord(unescape(token["char"])[0])).to(8, signed=True)
        if token["name"] == "sizeof":
            return self._sizeof()
        if token["name"] not in self._names:
            raise _Unknown
        value = self._names[token["name"]]
        return _Int(value).to(64, signed=value < 1 << 63)

    def _parenthesis(self) -> _Int:
        words = self._words()
        after = self._tokens[self._at + len(words) + 2 :][:1]
        if words and after and (_type(words) or not after[0]["sign"] or after[0]["sign"] in ("(", "~", "!")):
            self._at += len(words) + 2
            result, kind = self._deeper(self._unary), _type(words)
            return result.to(*kind) if kind else result
        self._take("(")
        result = self._deeper(self._ternary)
        self._take(")")
        return result

    def _sizeof(self) -> _Int:
        words = self._words()
        kind = _type(words) if words else None
        if kind is None:
            raise _Unknown
        self._at += len(words) + 2
        return _Int(kind[0] // 8, 64, signed=False)

    def _words(self) -> list[str]:
        """The words and stars of a type in parentheses at this place, or nothing."""
        words: list[str] = []
        for token in self._tokens[self._at + 1 :]:
            if token["sign"] == ")":
                return words
            word = token["name"] or token["sign"]
            if not word or word.startswith("REC->") or (word != "*" and not token["name"]):
                return []
            words.append(word)
        return []
