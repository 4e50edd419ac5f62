"""What a wrong name was perhaps meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tracescope.printable import printable

__all__ = ("suggestion",)

_NEAR = 3
_LISTED = 16


def suggestion(word: str, known: Iterable[str], kind: str) -> str:
    """The names near to `word`, else the first ones of all; `kind` says what they are, in the plural.

    Of `args.x` only `x` is compared.
    """
    names = list(dict.fromkeys(name for name in known if name))
    lower = {name.rpartition(".")[2].lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower()[:64], lower, _NEAR)
    if near:
        return f"did you mean {' or '.join(printable(lower[name]) for name in near)}"
    if not names:
        return f"there are no {kind}"
    rest = len(names) - _LISTED
    shown = ", ".join(printable(name) for name in names[:_LISTED])
    return f"the {kind} are {shown}" + (f" and {rest} more" if rest > 0 else "")
