"""The kernel's printf: a format string cut into literal bytes and conversions; numbers and strings written by them.

Source: lib/vsprintf.c, format_decode(), number() and string(). Where that differs from C (`%#x` of 0 is `0x0`), so does
this. What `%p…` writes is in `printf_pointer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tracescope.printable import encode
from tracescope.sources.c_types import INT, CType

__all__ = ("Conversion", "Part", "cut_format", "number_writer", "widen", "write_number", "write_string")

# A trace line is cut at TRACE_SEQ_BUFFER_SIZE (8 kB): no text of a kernel is wider.
_WIDEST = 8192
_NONE, _STAR = -1, -2

_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d*)(?:\.(?P<precision>\*|-?\d*))?(?P<size>hh|h|ll|[lLqzZtj])?"
    r"(?P<kind>p[0-9A-Za-z]*|[csnoxXdiu%])",
    re.ASCII,
)
_BITS = {"hh": 8, "h": 16, "l": 64, "ll": 64, "L": 64, "q": 64, "z": 64, "Z": 64, "t": 64, "j": 64}
_PREFIX = {"x": b"0x", "X": b"0X", "o": b"0"}
_PLAIN = {"d": b"%d", "u": b"%d", "x": b"%x", "X": b"%X", "o": b"%o"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """One `%…`; width and precision are -1 for none, -2 for one that comes from an argument."""

    kind: str
    """`d` (for `i` too), `u`, `o`, `x`, `X`, `c`, `s` or `p`."""
    flags: str = ""
    width: int = _NONE
    precision: int = _NONE
    type: CType = INT
    extension: str = ""
    """What follows `%p`: `S`, `I6c`."""
    text: str = ""
    """As it stands in the format string."""

    @property
    def stars(self) -> int:
        """How many arguments come before the value."""
        return (self.width == _STAR) + (self.precision == _STAR)

    def sized(self, stars: Sequence[int]) -> Conversion:
        """With the arguments for its stars, as the kernel takes them: a negative width pads on the right."""
        waiting, flags, width, precision = iter(stars), self.flags, self.width, self.precision
        if width == _STAR:
            width = next(waiting)
            flags, width = (flags + "-", -width) if width < 0 else (flags, width)
        if precision == _STAR:
            precision = max(next(waiting), 0)
        return replace(self, flags=flags, width=min(width, _WIDEST), precision=min(precision, _WIDEST))


Part: TypeAlias = "bytes | Conversion"


def cut_format(text: str) -> list[Part]:
    """The literal bytes and the conversions of a format string, in their order; what is neither stays literal."""
    parts: list[Part] = []
    literal, end = b"", 0
    for match in _CONVERSION.finditer(text):
        literal += encode(text[end : match.start()])
        end = match.end()
        if match["kind"] == "%":
            literal += b"%"
        elif match["kind"] != "n":
            parts += [literal, _conversion(match)]
            literal = b""
    parts.append(literal + encode(text[end:]))
    return [part for part in parts if part != b""]


def _conversion(match: re.Match[str]) -> Conversion:
    kind, extension = match["kind"][0], match["kind"][1:]
    signed = kind in "di"
    return Conversion(
        kind="d" if signed else kind,
        flags=match["flags"],
        width=_size(match["width"]),
        precision=_NONE if match["precision"] is None else _size(match["precision"] or "0"),
        type=CType(_BITS.get(match["size"] or "", 32), signed),
        extension=extension,
        text=match.group(),
    )


def _size(text: str) -> int:
    if text == "*":
        return _STAR
    # More digits than that are no width of this world, and int() of many is slow.
    return max(min(int(text[:9]), _WIDEST), 0) if text else _NONE


def number_writer(conversion: Conversion) -> Callable[[int], bytes]:
    """How this conversion, without stars, writes a number."""
    wrap, plain = conversion.type.wrap, _PLAIN[conversion.kind]
    if not conversion.flags and conversion.width < 0 and conversion.precision < 0:
        return lambda value: plain % wrap(value)
    return lambda value: write_number(conversion, wrap(value))


def write_number(conversion: Conversion, value: int) -> bytes:
    """number() of lib/vsprintf.c; the value has the conversion's type."""
    flags, kind = conversion.flags, conversion.kind
    sign = b"-" if value < 0 else b""
    if kind == "d" and not sign:
        sign = b"+" if "+" in flags else b" " if " " in flags else b""
    prefix = _PREFIX.get(kind, b"") if "#" in flags and (value or kind != "o") else b""
    digits = (_PLAIN[kind] % abs(value)).rjust(conversion.precision, b"0")
    room = conversion.width - len(sign) - len(prefix) - len(digits)
    if "-" in flags:
        return sign + prefix + digits + b" " * room
    if "0" in flags:
        return sign + prefix + b"0" * room + digits
    return b" " * room + sign + prefix + digits


def write_string(conversion: Conversion, data: bytes) -> bytes:
    """string() of lib/vsprintf.c: the bytes before the first NUL, cut to the precision."""
    text = data.partition(b"\0")[0]
    return widen(conversion, text if conversion.precision < 0 else text[: conversion.precision])


def widen(conversion: Conversion, text: bytes) -> bytes:
    """Padded with spaces to the width."""
    return text.ljust(conversion.width) if "-" in conversion.flags else text.rjust(conversion.width)
