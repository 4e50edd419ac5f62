"""Our program text, written as BCC takes it, as C for clang alone. Pure.

BCC gives maps methods; here they are macros of bpf.h. Every name that the kernel sees begins with `ts_`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ("PREFIX", "SECTION", "header", "to_libbpf")

PREFIX = "ts_"
"""What programs and maps are called in the object and in the kernel, before their own names."""
SECTION = "tracescope"
"""The section of all programs."""

_MAP = re.compile(r'^BPF_(?!TABLE\b)\w+\((\w+)[,)]|^BPF_TABLE\("\w+",[^,]+,[^,]+, (\w+),', re.MULTILINE)
_TABLE = re.compile(r'^BPF_TABLE\("(\w+)", ', re.MULTILINE)
_METHOD = re.compile(
    r"\b(\w+)\.(lookup|lookup_or_try_init|update|insert|delete|call|perf_submit"
    r"|ringbuf_output|ringbuf_reserve|ringbuf_submit)\("
)
_PROGRAM = re.compile(r"^int (\w+)\((\w+ \*ctx)\)", re.MULTILINE)


@cache
def header() -> str:
    """The text of bpf.h."""
    return files(__package__).joinpath("bpf.h").read_text("ascii")


def to_libbpf(text: str) -> str:
    """The whole translation unit; it takes the macro PAGE_SIZE from the command line."""
    maps = {name for found in _MAP.findall(text) for name in found if name}

    def call(found: re.Match[str]) -> str:
        return f"map_{found[2]}({found[1]}, " if found[1] in maps else found[0]

    text = _METHOD.sub(call, _TABLE.sub(r"BPF_TABLE_\1(", text))
    return header() + _PROGRAM.sub(rf'SEC("{SECTION}") int {PREFIX}\1(\2)', text)
