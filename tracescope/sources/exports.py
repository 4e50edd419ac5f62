"""EXPORT_SYMBOL of a vmlinux, a .ko or an object file of the kernel build: plain or _GPL, and the namespace.

Source: include/linux/export.h and export-internal.h. `__ksymtab_NAME` stands in section `__ksymtab` or `__ksymtab_gpl`,
`__kstrtabns_NAME` at the namespace; objects of later kernels have `__export_symbol_NAME` at licence and namespace.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from tracescope.errors import Missing
from tracescope.sources.elf import ElfFile, Section, open_elf, string_at

__all__ = ("Export", "exports")

_PREFIXES = _ENTRY, _NAMESPACE, _MARK = "__ksymtab_", "__kstrtabns_", "__export_symbol_"

# An object not yet linked has a section for each symbol: `___ksymtab_gpl+NAME`.
_TABLE = re.compile(r"_{2,3}ksymtab(_gpl)?(?:\+.*)?\Z")


@dataclass(frozen=True, slots=True)
class Export:
    """An exported symbol; `namespace` is empty for most."""

    name: str
    gpl: bool
    namespace: str = ""


def exports(source: str | os.PathLike[str] | bytes) -> list[Export]:
    """What the file exports, by name; `Missing` for a stripped file. A .ko.xz or .ko.gz is unpacked in memory."""
    with open_elf(source) as elf:
        table = next((section for section in elf.sections if section.type == "SHT_SYMTAB"), None)
        if table is None:
            raise Missing(f"{elf.label} has no symbol table", "it is stripped")
        found: dict[str, Export] = {}
        namespaces: dict[str, str] = {}
        texts = _Texts(elf)
        for row, _, _, index, value, _ in elf.symbol_table(table):
            prefix = next(filter(row.startswith, _PREFIXES), "")
            if not prefix or index >= len(elf.sections):
                continue
            name, section = row.removeprefix(prefix), elf.sections[index]
            if prefix == _NAMESPACE:
                namespaces[name] = texts.at(section, value)
            elif prefix == _MARK and section.name == ".export_symbol":
                licence = texts.at(section, value)
                found[name] = Export(name, licence == "GPL", texts.at(section, value + len(licence) + 1))
            elif prefix == _ENTRY and (kind := _TABLE.match(section.name)):
                found[name] = Export(name, gpl=kind[1] is not None)
        return [replace(found[name], namespace=namespaces.get(name, found[name].namespace)) for name in sorted(found)]


class _Texts:
    """The texts that symbols stand at, each section read once."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._data: dict[Section, bytes] = {}

    def at(self, section: Section, value: int) -> str:
        if section not in self._data:
            self._data[section] = self._elf.data(section)
        at = value - section.address if self._elf.linked else value
        return string_at(self._data[section], at) if at >= 0 else ""
