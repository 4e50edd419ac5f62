"""What is wrong with an expression, and where."""

from __future__ import annotations

from tracescope.errors import UsageError
from tracescope.printable import printable

__all__ = ("ExpressionError", "Unfit")

# What is shown of a long expression, to the left and to the right of the place.
_BEFORE, _AFTER = 40, 30


class ExpressionError(UsageError):
    """An expression is refused: `at` counts the characters of `text` before the place."""

    def __init__(self, text: str, at: int, why: str, fix: str = "") -> None:
        self.text = text
        self.at = at
        left, right = _around(text, at)
        super().__init__(f"`{left}{right}` is refused at column {at + 1}", why, fix)

    @property
    def pointed(self) -> str:
        """Two lines: the expression (a long one cut), and a caret under the place."""
        left, right = _around(self.text, self.at)
        return f"{left}{right}\n{' ' * len(left)}^"


def _around(text: str, at: int) -> tuple[str, str]:
    """What stands before and after the place, safe to print, cut where it is long."""
    left, right = text[:at], text[at:]
    left = printable(left) if len(left) <= _BEFORE else f"…{printable(left[-_BEFORE:])}"
    return left, printable(right) if len(right) <= _AFTER else f"{printable(right[:_AFTER])}…"


class Unfit(Exception):
    """Why a part of an expression cannot be, and the fix, from where its place is not known."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix
