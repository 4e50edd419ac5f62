"""The `print fmt:` of an event format: `"format string", argument, …`, the arguments in C over `REC->field`.

Source: include/trace/stages/stage3_trace_output.h and TP_printk(). The kernel writes the arguments as C source, the
format string as the compiler sees it: a line feed may be a line feed, and a quote need not be escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracescope.model import FlagTable
from tracescope.sources.c_expression import evaluate, unescape

__all__ = ("fields_in_hex", "flag_tables", "split_print_fmt")

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_STRINGS = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"\s*)+', re.DOTALL)
_CONVERSION = re.compile(r"%(?:%|[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|t|j)?(p[sSfFB]|[a-zA-Z]))")
_SHOWN = {"x": "x", "X": "x", "p": "p"} | dict.fromkeys(("ps", "pS", "pf", "pF", "pB"), "ps")
_PLAIN_FIELD = re.compile(r"[\s(]*(?:\([\w\s*]+\)[\s(]*)*REC->(\w+)[\s)]*")
_PIECE = re.compile(
    r"""__print_(?P<kind>symbolic|flags)(?:_u64)?\s*\(
      | "(?:[^"\\]|\\.)*(?:"|\\?\Z) | '(?:[^'\\]|\\.)*'
      | [()\[\]{},]""",
    re.VERBOSE | re.DOTALL,
)
_RECORD = re.compile(r"\bREC\s*\)?\s*->\s*(\w+)|\b__get_\w+\(\s*(\w+)\s*\)")


def split_print_fmt(text: str) -> tuple[str, tuple[str, ...]]:
    """The format string, unescaped and joined, and the arguments as C text."""
    literal, rest = _cut(text)
    return literal, tuple(_split(rest))


def flag_tables(print_fmt: str) -> tuple[FlagTable, ...]:
    """The `__print_symbolic` and `__print_flags` tables over a field, without the entries whose value is no number."""
    tables = (_table(kind, _split(inside)) for kind, inside in _calls(_cut(print_fmt)[1]))
    return tuple(table for table in tables if table)


def fields_in_hex(print_fmt: str) -> dict[str, str]:
    """The fields that the kernel's text shows in hexadecimal (`x`), as an address (`p`), or as a symbol (`ps`)."""
    literal, arguments = split_print_fmt(print_fmt)
    kinds = [match[1] for match in _CONVERSION.finditer(literal) for _ in range(match[0].count("*") + 1) if match[1]]
    pairs = zip(kinds, arguments, strict=False)
    return {
        match[1]: _SHOWN[kind] for kind, text in pairs if kind in _SHOWN and (match := _PLAIN_FIELD.fullmatch(text))
    }


def _cut(text: str) -> tuple[str, str]:
    """The format string and the text after its comma."""
    match = _STRINGS.match(text)
    end = match.end() if match else 0
    if match and text[end : end + 1] in ("", ","):
        return _literal(match.group()) or "", text[end + 1 :]
    # A quote inside the string, not escaped: the string ends where a comma follows.
    literal, _, rest = text.partition('",')
    return unescape(literal.strip().removeprefix('"')), rest


def _literal(text: str) -> str | None:
    """Adjacent string literals as one string; None for anything else."""
    return "".join(map(unescape, _STRING.findall(text))) if _STRINGS.fullmatch(text) else None


def _split(text: str) -> list[str]:
    """The parts between the commas that are outside of brackets and strings."""
    parts, depth, start = [], 0, 0
    for piece in _PIECE.finditer(text):
        last = piece.group()[-1]
        if last in "([{":
            depth += 1
        elif last in ")]}":
            depth -= 1
        elif last == "," and not depth:
            parts.append(text[start : piece.start()].strip())
            start = piece.end()
    parts.append(text[start:].strip())
    return parts if any(parts) else []


def _calls(text: str) -> Iterator[tuple[str, str]]:
    """Each `__print_…(…)` as (kind, text between its parentheses)."""
    opened: list[tuple[str | None, int]] = []
    for piece in _PIECE.finditer(text):
        last = piece.group()[-1]
        if last == "(":
            opened.append((piece["kind"], piece.end()))
        elif last == ")" and opened:
            kind, start = opened.pop()
            if kind:
                yield kind, text[start : piece.start()]


def _table(kind: str, arguments: list[str]) -> FlagTable | None:
    first = 2 if kind == "flags" else 1
    record = _RECORD.search(arguments[0]) if len(arguments) > first else None
    delimiter = _literal(arguments[1]) if kind == "flags" and record else "|"
    if record is None or delimiter is None:
        return None
    names = tuple(entry for entry in map(_entry, arguments[first:]) if entry)
    if not names:
        return None
    return FlagTable(record[1] or record[2], kind, names, delimiter, arguments[0])


def _entry(text: str) -> tuple[int, str] | None:
    """`{ value, "NAME" }`."""
    parts = _split(text[1:-1]) if text.startswith("{") and text.endswith("}") else []
    if len(parts) != 2:
        return None
    value, name = evaluate(parts[0]), _literal(parts[1])
    return None if value is None or name is None else (value, name)
