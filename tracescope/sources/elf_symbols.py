"""The symbols of an ELF file: functions for uprobes, names for the frames of user stacks.

An offset is bytes into the file: that is what a uprobe takes (Documentation/trace/uprobetracer.rst).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from tracescope.sources.elf import ElfFile, open_elf

__all__ = ("ElfSymbol", "SymbolIndex", "symbols")

_TYPES = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE", 5: "COMMON", 6: "TLS", 10: "IFUNC"}
_BINDINGS = {0: "LOCAL", 1: "GLOBAL", 2: "WEAK", 10: "UNIQUE"}
_VISIBILITIES = ("DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED")
_BINDING_ORDER = ("GLOBAL", "UNIQUE", "WEAK", "LOCAL")


@dataclass(frozen=True, slots=True)
class ElfSymbol:
    """A symbol that the file defines. `value` is the link-time address, in an unlinked file the offset in its section.

    `offset` is the place for a uprobe: None for data, and for all of an unlinked file.
    """

    name: str
    value: int
    size: int
    type: str
    binding: str
    visibility: str
    section: str
    offset: int | None = None


def symbols(source: str | os.PathLike[str] | bytes) -> list[ElfSymbol]:
    """The symbols a file defines, from .symtab and .dynsym, each once; none for a file stripped of both."""
    with open_elf(source) as elf:
        found: dict[tuple[str, int], ElfSymbol] = {}
        for section in elf.sections:
            if section.type in ("SHT_SYMTAB", "SHT_DYNSYM"):
                for row in elf.symbol_table(section):
                    symbol = _symbol(elf, *row)
                    if symbol is not None:
                        found.setdefault((symbol.name, symbol.value), symbol)
        return list(found.values())


def _symbol(elf: ElfFile, name: str, info: int, other: int, index: int, value: int, size: int) -> ElfSymbol | None:
    kind = _TYPES.get(info & 15, "OTHER")
    if index == 0 or kind in ("SECTION", "FILE"):
        return None
    section = elf.sections[index] if index < len(elf.sections) else None
    is_code = kind in ("FUNC", "IFUNC") or (kind == "NOTYPE" and section is not None and section.executable)
    return ElfSymbol(
        name=name,
        value=value,
        size=size,
        type=kind,
        binding=_BINDINGS.get(info >> 4, "OTHER"),
        visibility=_VISIBILITIES[other & 3],
        section=section.name if section else {0xFFF1: "ABS", 0xFFF2: "COMMON"}.get(index, ""),
        offset=elf.file_offset(value) if is_code and elf.linked else None,
    )


class SymbolIndex:
    """Which function a file offset lies in, to name the frames of a user stack."""

    def __init__(self, found: Iterable[ElfSymbol]) -> None:
        best: dict[int, ElfSymbol] = {}
        # Of the names of one place the global and the sized ones say most.
        for symbol in sorted(found, key=_plainness):
            if symbol.offset is not None:
                best.setdefault(symbol.offset, symbol)
        self._offsets = sorted(best)
        self._symbols = [best[offset] for offset in self._offsets]

    def resolve(self, offset: int) -> tuple[ElfSymbol, int] | None:
        """The function at a file offset and how many bytes into it; None between functions."""
        at = bisect_right(self._offsets, offset) - 1
        if at < 0:
            return None
        symbol, inside = self._symbols[at], offset - self._offsets[at]
        return (symbol, inside) if inside < symbol.size or not symbol.size else None


def _plainness(symbol: ElfSymbol) -> tuple[bool, int, int]:
    order = _BINDING_ORDER.index(symbol.binding) if symbol.binding in _BINDING_ORDER else len(_BINDING_ORDER)
    return not symbol.size, order, len(symbol.name)
