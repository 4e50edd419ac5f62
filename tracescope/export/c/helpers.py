"""The functions that expressions call. Pure."""

from __future__ import annotations

import re

from tracescope.attach.expression.c_helpers import HELPERS

__all__ = ("helpers_used",)

_HELPER = re.compile(r"(?m)^(?:/\*(?:(?!\*/).)*?\*/\n)?static inline \w+ (\w+)\(.*?^}\n", re.DOTALL)


def helpers_used(text: str) -> str:
    """Those of the expressions' functions that a text calls, and what these call."""
    known = {match[1]: match[0] for match in _HELPER.finditer(HELPERS)}
    wanted: set[str] = set()
    waiting = [text]
    while waiting:
        called = {name for name in re.findall(r"\bts_\w+", waiting.pop()) if name in known and name not in wanted}
        wanted |= called
        waiting += [known[name] for name in called]
    return "".join(f"{known[name]}\n" for name in known if name in wanted)
