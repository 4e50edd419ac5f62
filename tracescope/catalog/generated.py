"""Code that the kernel writes at run time, at the end of kallsyms: ftrace trampolines, BPF programs, kprobe slots.

It comes and goes while nothing else changes, so it is kept apart: read anew at every start, joined last, never cached.
Source: kernel/kallsyms.c update_iter(): kernel, modules, get_ksymbol_ftrace_mod, get_ksymbol_bpf, get_ksymbol_kprobe.
"""

from __future__ import annotations

from array import array
from contextlib import suppress

from tracescope.catalog.facts import Fact
from tracescope.catalog.store import FUNCTION_KINDS, SYMBOL, Catalog, Entry
from tracescope.errors import TraceScopeError
from tracescope.sources.kallsyms import SymbolTable, parse_kallsyms
from tracescope.sources.nm import TEXT_LETTERS

__all__ = ("GENERATED", "add_generated", "extended", "split")

GENERATED = frozenset(("bpf", "__builtin__ftrace", "__builtin__kprobes"))
"""The modules under which kallsyms shows such code."""

_MARKS = tuple(f"\t[{module}]\n".encode() for module in GENERATED)


def split(data: bytes) -> tuple[bytes, SymbolTable]:
    """The bytes of kallsyms that stay, and the rows that were generated; none of these when they are not the last."""
    marks = [place for mark in _MARKS if (place := data.find(mark)) >= 0]
    start = data.rfind(b"\n", 0, min(marks)) + 1 if marks else 0
    if start:
        with suppress(TraceScopeError):
            rows = parse_kallsyms(data[start:])
            if all(rows.module_codes) and GENERATED.issuperset(rows.modules[1:]):
                return data[:start], rows
    return data, SymbolTable()


def extended(symbols: SymbolTable, generated: SymbolTable) -> SymbolTable:
    """One table, with the generated rows behind the others."""
    if not len(generated):
        return symbols
    modules = [*symbols.modules, *(name for name in generated.modules if name not in symbols.modules)]
    codes = [modules.index(name) for name in generated.modules]
    return SymbolTable(
        symbols.addresses + generated.addresses,
        symbols.types + generated.types,
        symbols.names + generated.names,
        symbols.module_codes + array("H", map(codes.__getitem__, generated.module_codes)),
        modules,
        symbols.skipped + generated.skipped,
    )


def add_generated(catalog: Catalog, first: int) -> None:
    """Append the rows of the symbol table from `first` on: functions once a module, then the others."""
    symbols = catalog.knowledge.symbols
    if symbols is None or first == len(symbols):
        return
    functions: dict[tuple[str, str], Entry] = {}
    others = []
    for row in range(first, len(symbols)):
        symbol = symbols[row]
        is_text = symbol.type in TEXT_LETTERS
        facts = Fact.IN_KALLSYMS | Fact.GENERATED | (Fact.TEXT if is_text else Fact(0))
        entry = Entry(symbol.name, symbol.module, int(facts), row)
        if not is_text or functions.setdefault((symbol.name, symbol.module), entry) is not entry:
            others.append(entry)
    catalog.add_section([*FUNCTION_KINDS, SYMBOL], sorted(functions.values()), by_group=False)
    catalog.add_section([SYMBOL], sorted(others), by_group=False)
