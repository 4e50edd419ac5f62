"""An expression's text as tokens: numbers with their units, texts between quotes, words, signs. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from tracescope.attach.expression.mistake import ExpressionError
from tracescope.printable import printable

__all__ = ("LONGEST", "Token", "tokens")

LONGEST = 4096
"""Characters in an expression."""

_LARGEST = (1 << 64) - 1
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>[0-9][0-9A-Za-z_.µμ]*)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>\|\||&&|->|<<|>>|[=!<>]=|=~|[-+*/%&|^~!<>()\[\].,=])""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)|0[oO]?(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*)(?:\.(?P<part>[0-9]+))?)"
    r"(?P<unit>K|M|G|ns|us|µs|μs|ms|s)?"
)
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_UNITS |= {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "\\": "\\", '"': '"', "'": "'"}


class Token(NamedTuple):
    """A token: `kind` is `number`, `string`, `word`, `sign` or `end`; `value` is that of a number or a string."""

    kind: str
    text: str
    at: int
    value: int | bytes = 0


def tokens(text: str) -> list[Token]:
    """All tokens, with an `end` behind them; raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(text, LONGEST, f"it is longer than {LONGEST} characters")
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unknown(text, at)
        kind = str(match.lastgroup)
        if kind == "number":
            found.append(Token(kind, match.group(), at, _number(text, at, match.group())))
        elif kind == "string":
            found.append(Token(kind, match.group(), at, _string(text, at, match.group()[1:-1])))
        elif kind != "space":
            found.append(Token(kind, match.group(), at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def _unknown(text: str, at: int) -> ExpressionError:
    if text[at] in "\"'":
        return ExpressionError(text, at, "the text that begins here has no end", f"close it with {text[at]}")
    return ExpressionError(text, at, f"`{printable(text[at])}` means nothing here")


def _number(text: str, at: int, word: str) -> int:
    match = _NUMBER.fullmatch(word)
    if match is None:
        hint = "numbers are 10, 0x1f, 0o17, 017 or 0b11, and may end in K M G or ns us ms s"
        raise ExpressionError(text, at, f"`{printable(word[:40])}` is no number", hint)
    part = match["part"] or ""
    bases = (("hex", 16), ("binary", 2), ("octal", 8), ("decimal", 10))
    digits, base = next((match[name], base) for name, base in bases if match[name])
    number, rest = divmod(int(digits + part, base) * _UNITS.get(match["unit"], 1), 10 ** len(part))
    if number > _LARGEST:
        raise ExpressionError(text, at, f"`{word[:40]}` does not fit in 64 bits")
    if rest:
        raise ExpressionError(text, at, f"`{word[:40]}` is not a whole number")
    return int(number)


def _string(text: str, at: int, inside: str) -> bytes:
    data, last = b"", 0
    for match in _ESCAPE.finditer(inside):
        data += _encoded(text, at, inside[last : match.start()])
        hexadecimal, other = match.groups()
        if hexadecimal:
            data += bytes.fromhex(hexadecimal)
        elif other in _ESCAPED:
            data += _ESCAPED[other].encode()
        else:
            known = r"\n \t \r \e \\ \" \' \xHH"
            raise ExpressionError(text, at + 1 + match.start(), "this escape is not known", f"there are {known}")
        last = match.end()
    data += _encoded(text, at, inside[last:])
    if b"\0" in data:
        raise ExpressionError(text, at, "a text of the kernel ends at its first NUL byte: none can hold one")
    return data


def _encoded(text: str, at: int, part: str) -> bytes:
    try:
        return part.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ExpressionError(text, at, "this text has a character that is in no encoding") from None
