"""What every command prints: JSON Lines, plain text made safe, refusals in three parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache

from tracescope.errors import TraceScopeError
from tracescope.printable import printable

__all__ = ("complain", "heading", "note", "print_json", "print_text")


@cache
def _encoder() -> Callable[[Mapping[str, object]], str]:
    """Made once, and only for JSON: dumps() with separators makes one for each row."""
    import json

    return json.JSONEncoder(separators=(",", ":")).encode


def print_json(row: Mapping[str, object]) -> None:
    """One object on one line. ASCII only, so that bytes kept by surrogateescape survive any terminal and any pipe."""
    sys.stdout.write(_encoder()(row) + "\n")


def print_text(*lines: str) -> None:
    """Lines of data, without terminal control."""
    whole = "".join(lines)
    safe = lines if printable(whole) == whole else [*map(printable, lines)]
    sys.stdout.write("\n".join(safe) + "\n")


def note(text: str) -> None:
    """A remark for people, on standard error."""
    sys.stderr.write(f"tracescope: {printable(text)}\n")


def heading(columns: str) -> None:
    """Names of columns for who reads along on a terminal; on standard error: they are no data."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"{columns}\n")


def complain(error: TraceScopeError) -> None:
    """What, why and fix, one a line, on standard error."""
    note(error.what)
    if error.why:
        sys.stderr.write(f"  why: {printable(error.why)}\n")
    if error.fix:
        sys.stderr.write(f"  fix: {printable(error.fix)}\n")
