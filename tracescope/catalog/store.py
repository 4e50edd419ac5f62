"""The columnar store: one entry a name, one row a probe.

An entry is an event or a symbol. Entries of one section give the same kinds of rows: a function's name is stored and
searched once and gives a fentry, a fexit, a kprobe, a kretprobe and a symbol row.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from tracescope.catalog.facts import Fact, HostFacts
from tracescope.catalog.verdict import verdict
from tracescope.model import EventFormat, ProbeKind, SourceReport, Verdict

if TYPE_CHECKING:
    from tracescope.catalog.query import Term
    from tracescope.catalog.view import View
    from tracescope.sources.btf import Btf
    from tracescope.sources.kallsyms import SymbolTable
    from tracescope.sources.perf_events import PerfEvent

__all__ = ("FORMAT", "FUNCTION_KINDS", "KIND_ORDER", "SYMBOL", "Catalog", "Entry", "Knowledge", "Row", "Section")

SYMBOL = "symbol"
"""The kind of a row that is a kallsyms symbol and no probe."""
FORMAT = "format"
"""The kind of a row that is a format of tracefs' `ftrace` group: it describes a record, nothing can attach to it."""

KIND_ORDER: tuple[str, ...] = (*(kind.value for kind in ProbeKind), FORMAT, SYMBOL)
"""The order of kinds in the table, the stable ones first."""

FUNCTION_KINDS = (ProbeKind.FENTRY, ProbeKind.FEXIT, ProbeKind.KPROBE, ProbeKind.KRETPROBE)


class Row(NamedTuple):
    """One line of the table, made only when it is drawn."""

    kind: str
    probe: str
    group: str
    name: str
    module: str
    type: str
    key: Hashable
    entry: int


class Entry(NamedTuple):
    """What the join knows of one name."""

    name: str
    group: str
    facts: int
    symbol: int = -1
    """The row in the symbol table, or -1."""


@dataclass(frozen=True, slots=True)
class Section:
    """A run of entries `[start, end)` that give rows of the same kinds. Sorted by (group, name), functions by name."""

    start: int
    end: int
    kinds: tuple[str, ...]
    by_group: bool


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the sources gave, kept for the details of one probe."""

    symbols: SymbolTable | None = None
    formats: dict[str, EventFormat] = field(default_factory=dict)
    """By `group:name`."""
    btf: Mapping[str, Btf] = field(default_factory=dict)
    """By module, `vmlinux` for the core kernel."""
    perf: dict[str, PerfEvent] = field(default_factory=dict)
    host: HostFacts = field(default_factory=HostFacts)
    reports: dict[str, SourceReport] = field(default_factory=dict)
    shows_exports: bool = False
    """kallsyms has `__ksymtab_` rows: what is not among the exports is not exported."""


class Catalog:
    """An immutable join of the sources; `catalog.build` makes it."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.names: list[str] = []
        self.texts: list[str] = []
        """Lower-case `group:name` of each entry (of the core kernel's: the name): what words are searched in."""
        self.facts = array("I")
        self.symbol_rows = array("i")
        self.group_codes = array("H")
        self.group_names: list[str] = []
        self.sections: list[Section] = []
        self.by_type: dict[Term, frozenset[int]] = {}
        """Answers of `catalog.types`, kept because they are asked at every keystroke."""
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        """The number of entries (not of rows)."""
        return len(self.names)

    def add_section(self, kinds: Sequence[str], entries: Iterable[Entry], *, by_group: bool) -> None:
        """Append entries, sorted by (group, name) or by (name, group). Only for `catalog.build`."""
        start = len(self.names)
        codes = self._codes
        for name, group, facts, symbol in entries:
            self.names.append(name)
            text = f"{group}:{name}" if group else name
            lower = text.lower()
            self.texts.append(text if lower == text else lower)
            self.facts.append(facts)
            self.symbol_rows.append(symbol)
            self.group_codes.append(codes.setdefault(group, len(codes)))
        self.group_names = list(codes)
        self.sections.append(Section(start, len(self.names), tuple(kinds), by_group))

    def name_groups(self, names: Iterable[str]) -> None:
        """What the group codes stand for. Only for `catalog.packed`."""
        self._codes = {name: code for code, name in enumerate(names)}
        self.group_names = list(self._codes)

    def function_sections(self) -> list[Section]:
        """The sections whose entries are functions."""
        return [section for section in self.sections if ProbeKind.KPROBE in section.kinds]

    def add_symbols(
        self, kinds: Sequence[str], rows: Sequence[int], texts: Sequence[str], facts: Sequence[int]
    ) -> None:
        """Append rows of the symbol table, sorted by name; `texts` and `facts` have one item a row of the table."""
        symbols, start = self.knowledge.symbols, len(self.names)
        if symbols is None:
            return
        codes = [self._codes.setdefault(module, len(self._codes)) for module in symbols.modules]
        self.names += map(symbols.names.__getitem__, rows)
        self.texts += map(texts.__getitem__, rows)
        self.facts.extend(map(facts.__getitem__, rows))
        self.symbol_rows.extend(rows)
        self.group_codes.extend(map(codes.__getitem__, map(symbols.module_codes.__getitem__, rows)))
        self.group_names = list(self._codes)
        self.sections.append(Section(start, len(self.names), tuple(kinds), by_group=False))

    @cached_property
    def event_groups(self) -> dict[str, list[str]]:
        """The groups of each tracepoint name, without formats that nothing attaches to."""
        groups: dict[str, list[str]] = {}
        for section in self.sections:
            if ProbeKind.TRACEPOINT in section.kinds:
                for entry in range(section.start, section.end):
                    groups.setdefault(self.names[entry], []).append(self.group(entry))
        return groups

    def group(self, entry: int) -> str:
        """The entry's group: a tracepoint's group, a function's module (empty for the core kernel)."""
        return self.group_names[self.group_codes[entry]]

    def probe(self, kind: str, entry: int) -> str:
        """The full name of an entry's probe of this kind, as bpftrace spells it."""
        name, group = self.names[entry], self.group(entry)
        if kind in (ProbeKind.TRACEPOINT, FORMAT):
            return f"{kind}:{group}:{name}"
        if kind in (ProbeKind.FENTRY, ProbeKind.FEXIT):
            return f"{kind}:{group or 'vmlinux'}:{name}"
        return name if kind == SYMBOL else f"{kind}:{name}"

    @cached_property
    def letters(self) -> str:
        """The nm letter of each entry's symbol; a space for none."""
        types = (self.knowledge.symbols.types if self.knowledge.symbols is not None else "") + " "
        return "".join(map(types.__getitem__, self.symbol_rows))  # row -1 is the space

    @cached_property
    def different_facts(self) -> frozenset[int]:
        """Every combination of facts that an entry has: a few hundred."""
        return frozenset(self.facts)

    def type_letter(self, entry: int) -> str:
        """The nm letter of the entry's symbol, or nothing."""
        row, symbols = self.symbol_rows[entry], self.knowledge.symbols
        return "" if row < 0 or symbols is None else symbols.types[row]

    def row(self, kind: str, entry: int) -> Row:
        """The table's line for an entry's probe of this kind."""
        group = self.group(entry)
        is_function = kind == SYMBOL or kind in FUNCTION_KINDS
        name = self.names[entry]
        return Row(
            kind,
            self.probe(kind, entry),
            "" if is_function else group,
            name,
            group if is_function else "",
            self.type_letter(entry),
            (kind, group, name, self.symbol_rows[entry] if kind == SYMBOL else -1),
            entry,
        )

    def verdict(self, kind: str, entry: int) -> Verdict:
        """Can this probe be attached on this host?"""
        return verdict(kind, self.facts[entry], self.knowledge.host)

    def find(self, probe: str) -> Row | None:
        """The row of a probe by its full name, a symbol by its name, or None."""
        kind, _, rest = probe.partition(":")
        if kind not in KIND_ORDER or not rest:
            kind, rest = SYMBOL, probe
        group, colon, name = rest.partition(":")
        if not colon:
            group, name = "", rest
        elif kind in (ProbeKind.FENTRY, ProbeKind.FEXIT) and group == "vmlinux":
            group = ""
        for section in self.sections:
            if kind in section.kinds:
                for entry in self._named(section, name, group if colon else None):
                    return self.row(kind, entry)
        return None

    def _named(self, section: Section, name: str, group: str | None) -> Iterator[int]:
        """The entries of a section with this name and group (None: any group)."""
        if section.by_group:
            group = group or ""
            at = bisect_left(
                range(section.start, section.end), (group, name), key=lambda e: (self.group(e), self.names[e])
            )
        else:
            at = bisect_left(self.names, name, section.start, section.end) - section.start
        for entry in range(section.start + at, section.end):
            if self.names[entry] != name:
                return
            if group is None or self.group(entry) == group:
                yield entry

    def entry_of(self, key: Hashable) -> int | None:
        """The entry that a row's key names, in this catalog, or None."""
        if not isinstance(key, tuple):
            return None
        kind, group, name, symbol = key
        named = (self._named(section, name, group) for section in self.sections if kind in section.kinds)
        entries = (e for e in chain.from_iterable(named) if symbol < 0 or self.symbol_rows[e] == symbol)
        return next(entries, None)

    def view(self, text: str, previous: View | None = None) -> View:
        """The rows that a query selects; `previous` (a view of this catalog) makes typing on cheap."""
        from tracescope.catalog.query import parse_query
        from tracescope.catalog.view import make_view

        return make_view(self, parse_query(text), previous)

    def has_fact(self, entry: int, fact: Fact) -> bool:
        """True when this is known of the entry."""
        return bool(self.facts[entry] & fact)
