"""Functions and other symbols: kallsyms joined by name with ftrace's list, the blacklist, BTF and bpftrace's listing.

Whole columns at a time: 122,000 rows are joined in about a tenth of a second, again after each source that arrives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress, repeat
from operator import contains, or_
from typing import TYPE_CHECKING

from tracescope.catalog.aliases import aliases, share_lists
from tracescope.catalog.facts import Fact
from tracescope.catalog.gathered import Gathered
from tracescope.catalog.generated import GENERATED
from tracescope.catalog.store import Entry
from tracescope.sources.kallsyms import SymbolTable, is_marker, suffix_of
from tracescope.sources.nm import TEXT_LETTERS

if TYPE_CHECKING:
    from tracescope.sources.btf import Btf

__all__ = ("Joined", "SymbolFacts", "join_functions")

# Ranges of the core kernel's text, by the linker's marks. Blacklisted by kernel/kprobes.c populate_kprobe_blacklist()
# and arch/x86/kernel/kprobes/core.c arch_populate_kprobe_blacklist().
_RANGES = (
    ("_sinittext", "_einittext", Fact.INIT),
    ("__init_begin", "__init_end", Fact.INIT),
    ("__noinstr_text_start", "__noinstr_text_end", Fact.BLACKLISTED),
    ("__kprobes_text_start", "__kprobes_text_end", Fact.BLACKLISTED),
    ("__entry_text_start", "__entry_text_end", Fact.BLACKLISTED),
)

# What a mark's name begins or ends with: it spares most names the look that `is_marker` takes.
_MARK_STARTS = ("__start_", "__stop_")
_MARK_ENDS = ("text", "_start", "_end")

# Probing these hangs machines: tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c, trace_blacklist.
_DANGEROUS = frozenset(("arch_cpu_idle", "default_idle", "bpf_dispatcher_xdp_func"))
_DANGEROUS_PREFIX = "rcu_"

# Facts that hold for a name wherever it is: bpftrace and the blacklist name no modules.
_SHARED = int(Fact.BLACKLISTED | Fact.IN_BPFTRACE | Fact.AMBIGUOUS)

# Parameters that fentry takes on every kernel (arch/x86/net/bpf_jit_comp.c), and on any: MAX_BPF_FUNC_ARGS of bpf.h.
_REGISTERS = 6
_MAX_ARGUMENTS = 12

_LISTED = int(Fact.IN_FTRACE)
_IS_FUNCTION = int(Fact.IN_FTRACE | Fact.BTF)
_NO_PROBES = int(Fact.PADDING | Fact.BOUNDARY)


class SymbolFacts:
    """What a symbol table says by itself, computed once a table; every list has one item a row."""

    def __init__(self, symbols: SymbolTable) -> None:
        self.symbols = symbols
        names = symbols.names
        self.order = sorted(range(len(symbols)), key=names.__getitem__)
        """The rows by name."""
        self._lay_out()
        self.duplicates = symbols.duplicates()
        self.ambiguous = self._ambiguous()
        self.exported = symbols.exported()
        letters = {letter: _letter_fact(letter) for letter in set(symbols.types)}
        self.facts = list(map(letters.__getitem__, symbols.types))
        self.modular = [row for row, code in enumerate(symbols.module_codes) if code]
        self.later_twins = self._later_twins()
        self.suffixed: list[int] = []
        """Rows of copies and parts of functions."""
        self.markers = self._markers()
        """Rows that look like a linker's mark; ftrace and BTF know better."""
        self.aliases = aliases(symbols, {*self.markers})
        """Rows of functions with several names, those of one function together."""
        self.texts = self._texts()
        """What words are searched in: lower-case, `module:name` for modules."""
        self._add_names()
        self._add_ranges()

    def _lay_out(self) -> None:
        """Make the names anew in their order: memory that is read in order is searched three times as fast."""
        names = self.symbols.names
        ordered = "\n".join(map(names.__getitem__, self.order)).split("\n")
        for row, name in zip(self.order, ordered, strict=True):
            names[row] = name

    def _ambiguous(self) -> set[str]:
        """Names of several symbols, one of them code: the kernel counts data too (trace_kprobe.c count_symbols)."""
        names, types = self.symbols.names, self.symbols.types
        several = {name for name, count in Counter(names).items() if count > 1}
        return several.intersection(compress(names, map(TEXT_LETTERS.__contains__, types)))

    def _later_twins(self) -> frozenset[int]:
        """Text rows whose name and module an earlier text row has: one function, one set of probes."""
        symbols, seen, later = self.symbols, set(), []
        for row, name in enumerate(symbols.names):
            if name in self.duplicates and symbols.types[row] in TEXT_LETTERS:
                key = (name, symbols.module_codes[row])
                if key in seen:
                    later.append(row)
                seen.add(key)
        return frozenset(later)

    def _add_names(self) -> None:
        facts, symbols, rows = self.facts, self.symbols, range(len(self.symbols))
        names = symbols.names
        for row in compress(rows, map(str.startswith, names, repeat(("__pfx_", "__cfi_")))):
            facts[row] |= int(Fact.PADDING)
        for row in compress(rows, map(contains, names, repeat("."))):
            if suffix := suffix_of(names[row]):
                facts[row] |= int(Fact.SUFFIXED | Fact.COLD if ".cold" in suffix else Fact.SUFFIXED)
                self.suffixed.append(row)
        for row in compress(rows, map(str.startswith, names, repeat((_DANGEROUS_PREFIX, *_DANGEROUS)))):
            if names[row] in _DANGEROUS or names[row].startswith(_DANGEROUS_PREFIX):
                facts[row] |= int(Fact.DANGEROUS)
        for row in self.modular:
            if symbols.modules[symbols.module_codes[row]] in GENERATED:
                facts[row] |= int(Fact.GENERATED)

    def _markers(self) -> list[int]:
        names = self.symbols.names
        like = map(or_, map(str.endswith, names, repeat(_MARK_ENDS)), map(str.startswith, names, repeat(_MARK_STARTS)))
        return [row for row in compress(range(len(names)), like) if is_marker(names[row])]

    def _texts(self) -> list[str]:
        symbols = self.symbols
        texts = [name if name.islower() else name.lower() for name in symbols.names]
        for row in self.modular:
            texts[row] = f"{symbols.modules[symbols.module_codes[row]]}:{symbols.names[row]}".lower()
        return texts

    def _add_ranges(self) -> None:
        symbols = self.symbols
        if symbols.addresses_hidden:
            return
        marks = {mark for start, end, _ in _RANGES for mark in (start, end)}
        at = {name: address for name, address in zip(symbols.names, symbols.addresses, strict=True) if name in marks}
        by_address = sorted(range(len(symbols)), key=symbols.addresses.__getitem__)
        for start, end, fact in _RANGES:
            if start in at and end in at:
                low = bisect_left(by_address, at[start], key=symbols.addresses.__getitem__)
                high = bisect_left(by_address, at[end], key=symbols.addresses.__getitem__)
                for row in by_address[low:high]:
                    self.facts[row] |= int(fact)


def _letter_fact(letter: str) -> int:
    return int(Fact.IN_KALLSYMS | Fact.TEXT if letter in TEXT_LETTERS else Fact.IN_KALLSYMS)


@dataclass(slots=True)
class _Known:
    """What the other sources say about names."""

    core: dict[str, int] = field(default_factory=dict)
    """Facts by the name of a core function. Plain integers: IntFlag's own arithmetic is ten times slower."""
    modules: dict[tuple[str, str], int] = field(default_factory=dict)
    """Facts by (name, module)."""

    def add(self, names: Iterable[str], fact: Fact, module: str = "") -> None:
        bits = int(fact)
        if module:
            for name in names:
                self.modules[name, module] = self.modules.get((name, module), 0) | bits
            return
        core = self.core
        if not core:
            core.update(dict.fromkeys(names, bits))
            return
        for name in names:
            core[name] = core.get(name, 0) | bits

    def of(self, name: str, module: str) -> int:
        """The facts of a function; what is known by name alone holds in every module."""
        core = self.core.get(name, 0)
        return self.modules.get((name, module), 0) | core & _SHARED if module else core

    def of_base(self, name: str, module: str) -> int:
        """BASE_IN_FTRACE for `NAME.suffix` where ftrace lists NAME (trace_kprobe.c within_notrace_func), or 0."""
        base = name.partition(".")[0]
        facts = self.core.get(base, 0) | self.modules.get((base, module), 0)
        return int(Fact.BASE_IN_FTRACE) if facts & _LISTED else 0


@dataclass(slots=True)
class Joined:
    """Rows of the symbol table that are functions, and the others; texts and facts by row; functions without a row."""

    functions: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    facts: list[int] = field(default_factory=list)
    without_symbol: list[Entry] = field(default_factory=list)


def join_functions(gathered: Gathered) -> Joined:
    """Join by name: each function once a module, every other symbol row after them, both in the order of names."""
    known = _known(gathered)
    own = gathered.symbol_facts
    if own is None:
        return Joined(without_symbol=sorted(_only_listed(known)))
    symbols = own.symbols
    facts = list(map(or_, own.facts, map(known.core.get, symbols.names, repeat(0))))
    for row in own.modular:
        facts[row] = own.facts[row] | known.of(symbols.names[row], symbols.modules[symbols.module_codes[row]])
    for row in own.suffixed:
        facts[row] |= known.of_base(symbols.names[row], symbols.modules[symbols.module_codes[row]])
    for rows in own.aliases:
        share_lists(rows, facts)
    for row in own.markers:
        if not facts[row] & _IS_FUNCTION:
            facts[row] |= int(Fact.BOUNDARY)
    text, later = int(Fact.TEXT), own.later_twins
    is_function = [fact & text and not fact & _NO_PROBES for fact in facts]
    functions = [row for row in own.order if is_function[row] and row not in later]
    others = [row for row in own.order if not is_function[row] or row in later]
    return Joined(functions, others, own.texts, facts, sorted(_inlined(gathered, known, symbols)))


def _known(gathered: Gathered) -> _Known:
    known = _Known()
    for module, btf in gathered.btf.items():
        group = "" if module == "vmlinux" else module
        known.add(btf.functions(), Fact.BTF, group)
        _know_prototypes(btf, known, group)
    if gathered.functions is not None:
        known.add(gathered.functions.core, Fact.IN_FTRACE)
        for module, names in gathered.functions.modules.items():
            known.add(names, Fact.IN_FTRACE, module)
    if gathered.blacklist is not None:
        for name, module in gathered.blacklist.functions:
            known.add((name,), Fact.BLACKLISTED, module)
    if gathered.listing is not None:
        _know_listing(gathered.listing.probes, known)
    if gathered.symbol_facts is not None:
        known.add(gathered.symbol_facts.ambiguous, Fact.AMBIGUOUS)
        for name, module in gathered.symbol_facts.exported.items():
            known.add((name,), Fact.EXPORTED, module)
    return known


def _know_prototypes(btf: Btf, known: _Known, module: str) -> None:
    """The prototypes that fentry may be refused for."""
    for name, found in btf.prototypes(_REGISTERS).functions():
        facts = Fact.VARIADIC if found.variadic else Fact(0)
        if found.parameters > _MAX_ARGUMENTS:
            facts |= Fact.TOO_MANY_ARGUMENTS
        elif found.registers > _REGISTERS:
            facts |= Fact.MANY_ARGUMENTS
        if found.untraceable:
            facts |= Fact.LARGE_BY_VALUE
        if found.structure:
            facts |= Fact.BY_VALUE
        if found.union:
            facts |= Fact.UNION_BY_VALUE
        known.add((name,), facts, module)


def _know_listing(probes: Iterable[str], known: _Known) -> None:
    kprobes: list[str] = []
    fentries: dict[str, list[str]] = {}
    for probe in probes:
        kind, _, rest = probe.partition(":")
        if kind == "kprobe":
            kprobes.append(rest)
        elif kind == "fentry":
            # bpftrace 0.11 names no module.
            module, _, name = rest.rpartition(":")
            fentries.setdefault("" if module == "vmlinux" else module, []).append(name)
    known.add(kprobes, Fact.IN_BPFTRACE)
    for module, names in fentries.items():
        known.add(names, Fact.IN_BPFTRACE_FENTRY, module)


def _inlined(gathered: Gathered, known: _Known, symbols: SymbolTable) -> Iterator[Entry]:
    """Functions that BTF knows and kallsyms does not: the compiler put them into their callers."""
    core = set(symbols.names)
    modular = {
        (name, symbols.modules[code]) for name, code in zip(symbols.names, symbols.module_codes, strict=True) if code
    }
    for module, btf in gathered.btf.items():
        group = "" if module == "vmlinux" else module
        for name in btf.functions():
            if (name, group) not in modular if group else name not in core:
                yield Entry(name, group, known.of(name, group) | int(Fact.NO_SYMBOL))


def _only_listed(known: _Known) -> Iterator[Entry]:
    """Without kallsyms, what the other sources list."""
    listed = int(_IS_FUNCTION | Fact.IN_BPFTRACE)
    names = {(name, ""): facts for name, facts in known.core.items()} | known.modules
    return (Entry(*key, facts | int(Fact.TEXT)) for key, facts in names.items() if facts & listed)
