"""Everything known of one probe: what the detail pane draws and `tracescope show` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracescope.catalog.arguments import Argument, arguments_of, btf_of, raw_signature
from tracescope.catalog.facts import Fact
from tracescope.catalog.store import FORMAT, FUNCTION_KINDS, SYMBOL, Catalog, Row
from tracescope.catalog.verdict import explain
from tracescope.model import (
    EventFormat,
    FlagTable,
    Parameter,
    ProbeKind,
    Reason,
    Signature,
    SourceState,
    Stability,
    Symbol,
    Verdict,
)

if TYPE_CHECKING:
    from tracescope.sources.nm import SymbolClass

__all__ = (
    "Detail",
    "arguments",
    "describe",
    "has_probe",
    "is_exported",
    "listed_arguments",
    "signature_of",
    "sources_of",
)

_SOURCES = (
    (Fact.IN_TRACEFS, "tracefs"),
    (Fact.IN_KALLSYMS, "kallsyms"),
    (Fact.IN_FTRACE, "ftrace"),
    (Fact.BTF, "btf"),
    (Fact.IN_PERF, "perf"),
)


@dataclass(frozen=True, slots=True)
class Detail:
    """One probe, whole. What is not known is None or empty."""

    probe: str
    kind: str
    group: str
    name: str
    module: str
    verdict: Verdict
    reasons: tuple[tuple[Reason, str, str], ...]
    """(code, sentence, fix) of each reason."""
    sources: tuple[str, ...]
    stability: Stability | None = None
    symbol: Symbol | None = None
    symbol_class: SymbolClass | None = None
    exported: bool | None = None
    """None where the host does not show what is exported."""
    event: EventFormat | None = None
    tables: tuple[FlagTable, ...] = ()
    pair: str | None = None
    signature: Signature | None = None
    arguments: tuple[Argument, ...] = ()
    """Of a function or a raw tracepoint."""
    alternatives: tuple[tuple[str, str], ...] = ()
    topics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def describe(catalog: Catalog, row: Row) -> Detail:
    """Everything that the catalog knows of a row."""
    # TOML and its tables: a listing does without.
    from tracescope.catalog.advice import stability
    from tracescope.catalog.topics import topics_of
    from tracescope.sources.nm import classify

    entry, facts = row.entry, catalog.facts[row.entry]
    verdict = catalog.verdict(row.kind, entry)
    event = catalog.knowledge.formats.get(f"{row.group}:{row.name}") if row.kind in _WITH_FORMAT else None
    symbol_row = catalog.symbol_rows[entry]
    symbols = catalog.knowledge.symbols
    symbol = symbols[symbol_row] if symbols is not None and symbol_row >= 0 else None
    return Detail(
        probe=row.probe,
        kind=row.kind,
        group=row.group,
        name=row.name,
        module=row.module,
        verdict=verdict,
        reasons=tuple((reason, *explain(reason)) for reason in verdict.reasons),
        sources=sources_of(row.kind, facts),
        stability=None if row.kind in (FORMAT, SYMBOL) else stability(ProbeKind(row.kind), row.name),
        symbol=symbol,
        symbol_class=classify(symbol.type, symbol.module, exported=bool(facts & Fact.EXPORTED)) if symbol else None,
        exported=is_exported(catalog, entry) if symbol else None,
        event=event,
        tables=_tables(event),
        pair=_pair(catalog, row),
        signature=signature_of(catalog, row),
        arguments=() if row.kind in (ProbeKind.TRACEPOINT, FORMAT) else arguments_of(catalog, row),
        alternatives=_alternatives(catalog, row),
        topics=tuple(topic.title for topic in topics_of(row.probe)),
        notes=tuple(_notes(catalog, row, facts)),
    )


_WITH_FORMAT = frozenset((ProbeKind.TRACEPOINT, ProbeKind.RAWTRACEPOINT, FORMAT))


def sources_of(kind: str, facts: int) -> tuple[str, ...]:
    """The sources that know this probe."""
    names = [name for fact, name in _SOURCES if facts & fact]
    listed = Fact.IN_BPFTRACE_FENTRY if kind in (ProbeKind.FENTRY, ProbeKind.FEXIT) else Fact.IN_BPFTRACE
    return (*names, "bpftrace") if facts & listed else tuple(names)


def has_probe(catalog: Catalog) -> Callable[[str], bool]:
    """A test: does this host have the probe (or one that matches the glob), and does nothing forbid it?"""

    def has(probe: str) -> bool:
        if any(mark in probe for mark in "*?["):
            return len(catalog.view(probe)) > 0
        row = catalog.find(probe)
        return row is not None and catalog.verdict(row.kind, row.entry).answer != "no"

    return has


def signature_of(catalog: Catalog, row: Row) -> Signature | None:
    """A function's prototype, or a raw tracepoint's arguments, from BTF."""
    btf = btf_of(catalog, row)
    if btf is None:
        return None
    if row.kind in FUNCTION_KINDS or row.kind == SYMBOL:
        return btf.function(row.name)
    return raw_signature(btf, row.name) if row.kind == ProbeKind.RAWTRACEPOINT else None


def arguments(catalog: Catalog, row: Row) -> tuple[list[Parameter], str | None]:
    """What a probe carries: the fields of an event, or a function's parameters, and what it returns."""
    if row.kind in _WITH_FORMAT:
        event = catalog.knowledge.formats.get(f"{row.group}:{row.name}")
        return ([Parameter(f.name, f.full_type) for f in event.fields] if event else []), None
    signature = signature_of(catalog, row)
    if signature is None:
        return [], None
    return list(signature.parameters), signature.returns


def listed_arguments(catalog: Catalog, row: Row) -> list[str]:
    """The arguments as `bpftrace -lv` lists them: declared fields; parameters, then `retval` unless void."""
    if row.kind in _WITH_FORMAT:
        event = catalog.knowledge.formats.get(f"{row.group}:{row.name}")
        return [field.declaration for field in event.fields] if event else []
    btf = catalog.knowledge.btf.get(row.module or "vmlinux")
    if btf is None or row.kind not in FUNCTION_KINDS:
        return []
    return [f"{type_} {name}".rstrip() for type_, name in btf.bpftrace_arguments(row.name)]


def is_exported(catalog: Catalog, entry: int) -> bool | None:
    """Is the symbol exported to modules? None where nobody can say: not all kernels show the `__ksymtab_` rows."""
    if catalog.has_fact(entry, Fact.EXPORTED):
        return True
    return False if catalog.knowledge.shows_exports else None


def _tables(event: EventFormat | None) -> tuple[FlagTable, ...]:
    if event is None or "__print_" not in event.print_fmt:
        return ()
    from tracescope.sources.print_fmt import flag_tables

    return flag_tables(event.print_fmt)


def _pair(catalog: Catalog, row: Row) -> str | None:
    if row.kind != ProbeKind.TRACEPOINT:
        return None
    from tracescope.sources.tracefs import pair_of

    twins = {name for name, groups in catalog.event_groups.items() if row.group in groups}
    twin = pair_of(row.name, twins)
    return f"{row.kind}:{row.group}:{twin}" if twin else None


def _alternatives(catalog: Catalog, row: Row) -> tuple[tuple[str, str], ...]:
    if row.kind in (FORMAT, SYMBOL):
        return ()
    from tracescope.catalog.advice import better

    name = row.probe.partition(":")[2]
    return tuple(better(ProbeKind(row.kind), name, has_probe(catalog), catalog.event_groups))


def _notes(catalog: Catalog, row: Row, facts: int) -> list[str]:
    notes = []
    if facts & Fact.EXPORTED:
        notes.append("Exported to modules: a hint that it stays, but it does not decide whether it can be probed")
    if row.kind in FUNCTION_KINDS and catalog.knowledge.host.bpftrace is SourceState.OK:
        listed = "bpftrace" in sources_of(row.kind, facts)
        if listed and not facts & Fact.IN_FTRACE:
            notes.append("bpftrace lists it, ftrace does not")
        if not listed and facts & Fact.IN_FTRACE:
            notes.append("ftrace lists it, bpftrace does not")
    return notes
