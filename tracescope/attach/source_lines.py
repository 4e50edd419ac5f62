"""Which line of a program's C text an instruction comes of. Pure.

Input: BCC's listing (DEBUG_SOURCE): `Disassembly of function NAME`, lines of source as `; text // Line N`, and
instructions as `  13:<tab>85 00 …`. BCC has put its own text for `map.lookup()` and the like by then.
"""

from __future__ import annotations

import re

__all__ = ("parse_listing",)

_FUNCTION = re.compile(r"Disassembly of (?:function |section \.bpf\.fn\.)(\w+)")
_SOURCE = re.compile(r"; (.*?) *// Line +\d+$")
_INSTRUCTION = re.compile(r" *(\d+):\t")


def parse_listing(text: str) -> dict[str, dict[int, str]]:
    """By function: the line of source that begins at an instruction, by the instruction's number."""
    functions: dict[str, dict[int, str]] = {}
    current: dict[int, str] = {}
    source = ""
    for line in text.splitlines():
        if found := _FUNCTION.match(line):
            current, source = functions.setdefault(found[1], {}), ""
        elif found := _SOURCE.match(line):
            source = found[1].strip()
        elif source and (found := _INSTRUCTION.match(line)):
            current[int(found[1])] = source
            source = ""
    return functions
