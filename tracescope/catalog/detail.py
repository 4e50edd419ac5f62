"""Everything known of one probe: what the detail pane draws and `tracescope show` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracescope.catalog.arguments import Argument, arguments_of
from tracescope.catalog.facts import Fact
from tracescope.catalog.listed import WITH_FORMAT, is_exported, signature_of, sources_of
from tracescope.catalog.store import FORMAT, FUNCTION_KINDS, SYMBOL, Catalog, Row
from tracescope.catalog.verdict import explain
from tracescope.model import (
    EventFormat,
    FlagTable,
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

__all__ = ("Detail", "describe", "has_probe")


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
    event = catalog.knowledge.formats.get(f"{row.group}:{row.name}") if row.kind in WITH_FORMAT else None
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


def has_probe(catalog: Catalog) -> Callable[[str], bool]:
    """A test: does this host have the probe (or one that matches the glob), and does nothing forbid it?"""

    def has(probe: str) -> bool:
        if any(mark in probe for mark in "*?["):
            return len(catalog.view(probe)) > 0
        row = catalog.find(probe)
        return row is not None and catalog.verdict(row.kind, row.entry).answer != "no"

    return has


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
        if listed and not facts & (Fact.IN_FTRACE | Fact.ALIAS_IN_FTRACE):
            notes.append("bpftrace lists it, ftrace does not")
        if not listed and facts & Fact.IN_FTRACE:
            notes.append("ftrace lists it, bpftrace does not")
    return notes
