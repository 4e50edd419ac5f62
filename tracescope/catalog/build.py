"""The join: what the sources gave becomes one catalog, with the facts that verdicts are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracescope.catalog.facts import Fact, HostFacts
from tracescope.catalog.functions import join_functions
from tracescope.catalog.gathered import Gathered
from tracescope.catalog.generated import add_generated, extended
from tracescope.catalog.store import FORMAT, FUNCTION_KINDS, SYMBOL, Catalog, Entry, Knowledge
from tracescope.model import EventFormat, ProbeKind

__all__ = ("build",)

_FTRACE_GROUP = "ftrace"
_TRACEITER = "__traceiter_"

_PERF_KINDS = (ProbeKind.SOFTWARE, ProbeKind.HARDWARE, ProbeKind.CACHE, ProbeKind.PMU)


def build(gathered: Gathered) -> Catalog:
    """Join what is there; a source that is missing takes its facts away, nothing else."""
    catalog = Catalog(_knowledge(gathered))
    events = [event for event in gathered.formats if event.group != _FTRACE_GROUP]
    perf_names = {event.name for event in gathered.perf if event.kind == ProbeKind.TRACEPOINT}
    catalog.add_section([ProbeKind.TRACEPOINT], _tracepoints(gathered, events, perf_names), by_group=True)
    catalog.add_section([ProbeKind.RAWTRACEPOINT], _raw_tracepoints(gathered, events), by_group=False)
    for kind in _PERF_KINDS:
        catalog.add_section([kind], _perf_events(gathered, kind), by_group=True)
    joined = join_functions(gathered)
    catalog.add_symbols([*FUNCTION_KINDS, SYMBOL], joined.functions, joined.texts, joined.facts)
    catalog.add_section(FUNCTION_KINDS, joined.without_symbol, by_group=False)
    formats = (event for event in gathered.formats if event.group == _FTRACE_GROUP)
    catalog.add_section([FORMAT], _events(formats, Fact.IN_TRACEFS), by_group=True)
    catalog.add_symbols([SYMBOL], joined.others, joined.texts, joined.facts)
    if gathered.symbols is not None:
        add_generated(catalog, len(gathered.symbols))
    return catalog


def _knowledge(gathered: Gathered) -> Knowledge:
    symbols = gathered.symbols
    return Knowledge(
        symbols=extended(symbols, gathered.generated) if symbols is not None and gathered.generated else symbols,
        formats={f"{event.group}:{event.name}": event for event in gathered.formats},
        btf=gathered.btf,
        perf={event.name: event for event in gathered.perf},
        host=HostFacts(
            kprobes=gathered.kprobes,
            unique_names=gathered.unique_names,
            by_value=gathered.by_value,
            ftrace=gathered.state("ftrace"),
            blacklist=gathered.state("blacklist"),
            btf=gathered.state("btf"),
            bpftrace=gathered.state("bpftrace"),
            lockdown=gathered.lockdown,
        ),
        reports=dict(gathered.reports),
        # The core kernel's exports show by these rows alone.
        shows_exports=gathered.symbol_facts is not None and "" in gathered.symbol_facts.exported.values(),
    )


def _events(formats: Iterable[EventFormat], facts: Fact) -> Iterator[Entry]:
    return (Entry(event.name, event.group, facts) for event in sorted(formats, key=lambda e: (e.group, e.name)))


def _tracepoints(gathered: Gathered, events: list[EventFormat], perf_names: set[str]) -> Iterator[Entry]:
    listed = gathered.listing.probes if gathered.listing else {}
    for entry in _events(events, Fact.IN_TRACEFS):
        full = f"{entry.group}:{entry.name}"
        facts = entry.facts
        if full in perf_names:
            facts |= Fact.IN_PERF
        if f"tracepoint:{full}" in listed:
            facts |= Fact.IN_BPFTRACE
        yield entry._replace(facts=facts)


def _raw_tracepoints(gathered: Gathered, events: list[EventFormat]) -> Iterator[Entry]:
    """Every raw tracepoint has an iterator function in the kernel (include/linux/tracepoint.h, __DEFINE_TRACE)."""
    groups = {event.name: event.group for event in events if event.group != "syscalls"}
    symbols = gathered.symbols.names if gathered.symbols is not None else ()
    # The `__pfx_` copies do not begin with it.
    names = {name.removeprefix(_TRACEITER) for name in symbols if name.startswith(_TRACEITER)}
    facts = Fact.IN_KALLSYMS if names else Fact(0)
    for name in sorted(names or groups):
        yield Entry(name, groups.get(name, ""), facts | Fact.IN_TRACEFS if name in groups else facts)


def _perf_events(gathered: Gathered, kind: ProbeKind) -> Iterator[Entry]:
    listed = gathered.listing.probes if gathered.listing else {}
    for name in sorted({event.name for event in gathered.perf if event.kind == kind}):
        facts = Fact.IN_PERF
        if f"{kind}:{name}" in listed or f"{kind}:{name}:" in listed:
            facts |= Fact.IN_BPFTRACE
        yield Entry(name, "", facts)
