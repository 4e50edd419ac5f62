"""Read a host's sources, fast ones first, and join them as they arrive; or take the join from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tracescope.catalog import cache
from tracescope.catalog.fingerprint import fingerprint
from tracescope.catalog.store import FORMAT, SYMBOL, Catalog
from tracescope.collecting import uncollected
from tracescope.errors import Forbidden, Missing, TraceScopeError
from tracescope.host import Host
from tracescope.model import ProbeKind, SourceReport, SourceState

if TYPE_CHECKING:
    from tracescope.catalog.gathered import Gathered

__all__ = ("ALL_SOURCES", "read_all", "read_sources", "sources_for")

ALL_SOURCES = ("tracefs", "kallsyms", "ftrace", "blacklist", "btf", "perf", "bpftrace")
"""Every source, in the order of reading: what gives rows first, what runs a tool last."""

_STAGES = (("tracefs", "kallsyms"), ("ftrace", "blacklist", "btf"), ("perf", "bpftrace"))

_FUNCTIONS = ("kallsyms", "ftrace", "blacklist", "btf")
_NEEDS: dict[str, tuple[str, ...]] = {
    ProbeKind.TRACEPOINT: ("tracefs",),
    FORMAT: ("tracefs",),
    ProbeKind.RAWTRACEPOINT: ("tracefs", "kallsyms"),
    SYMBOL: ("kallsyms", "ftrace", "blacklist"),
    **dict.fromkeys((ProbeKind.FENTRY, ProbeKind.FEXIT, ProbeKind.KPROBE, ProbeKind.KRETPROBE), _FUNCTIONS),
    **dict.fromkeys((ProbeKind.SOFTWARE, ProbeKind.HARDWARE, ProbeKind.CACHE, ProbeKind.PMU), ("perf",)),
}

Report = Callable[[SourceReport], None]


_FIXES = {
    "kallsyms": "a kernel built with CONFIG_KALLSYMS",
    "ftrace": "boot without lockdown, in a kernel with CONFIG_DYNAMIC_FTRACE",
    "blacklist": "mount -t debugfs none /sys/kernel/debug",
    "btf": "a kernel built with CONFIG_DEBUG_INFO_BTF",
    "perf": "apt-get install linux-perf",
    "bpftrace": "apt-get install bpftrace",
}
"""What mends a source of this machine when its error does not say."""


def sources_for(kinds: Collection[str]) -> tuple[str, ...]:
    """The sources that rows of these kinds and their verdicts are made of."""
    wanted = {source for kind in kinds for source in _NEEDS.get(kind, ())}
    return tuple(source for source in ALL_SOURCES if source in wanted)


def read_all(
    host: Host,
    report: Report,
    ready: Callable[[Catalog], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> Catalog:
    """Read every source, in stages: `ready` gets a new catalog after each, or one at once when the cache has it."""
    for source in ALL_SOURCES:
        report(SourceReport(source, SourceState.WAITING))
    with uncollected():
        key = fingerprint(host, ALL_SOURCES)
        catalog = _recall(key, host)
        if catalog is not None:
            for done in catalog.knowledge.reports.values():
                report(done)
            ready(catalog)
        else:
            catalog = _read_stages(key, host, report, ready, cancelled)
        for btf in catalog.knowledge.btf.values():
            if not cancelled():
                btf.functions_with("")  # makes the index: the first `arg:` of the user does not wait for it
    return catalog


def _read_stages(
    key: str | None, host: Host, report: Report, ready: Callable[[Catalog], None], cancelled: Callable[[], bool]
) -> Catalog:
    from tracescope.catalog.build import build
    from tracescope.catalog.gathered import Gathered

    gathered = Gathered()
    catalog = build(gathered)
    for stage in _STAGES:
        for source in stage:
            if cancelled():
                return catalog
            _read_one(source, host, gathered, report)
        catalog = build(gathered)
        ready(catalog)
    _keep(key, host, ALL_SOURCES, gathered, catalog)
    return catalog


def read_sources(host: Host, sources: Collection[str], report: Report = lambda _: None) -> Catalog:
    """Read these sources and join them, or take that from the cache."""
    with uncollected():
        key = fingerprint(host, sources)
        catalog = _recall(key, host)
        return _read_sources(key, host, sources, report) if catalog is None else catalog


def _read_sources(key: str | None, host: Host, sources: Collection[str], report: Report) -> Catalog:
    from tracescope.catalog.build import build
    from tracescope.catalog.gathered import Gathered

    gathered = Gathered()
    for source in ALL_SOURCES:
        if source in sources:
            _read_one(source, host, gathered, report)
    catalog = build(gathered)
    _keep(key, host, sources, gathered, catalog)
    return catalog


def _recall(key: str | None, host: Host) -> Catalog | None:
    """What was kept under this key, if it is still true."""
    plain = cache.load(key) if key is not None else None
    if plain is None:
        return None
    from tracescope.catalog.packed import unpack

    return unpack(plain, host)


def _keep(key: str | None, host: Host, sources: Collection[str], gathered: Gathered, catalog: Catalog) -> None:
    """Keep the catalog, unless the host changed while it was read."""
    if key is not None and fingerprint(host, sources) == key:
        from tracescope.catalog.packed import pack

        cache.save(key, pack(catalog, gathered))


def _read_one(source: str, host: Host, gathered: Gathered, report: Report) -> None:
    """Read one source into `gathered`; what goes wrong becomes its report."""
    start = time.monotonic()
    done = SourceReport(source, SourceState.READING)
    report(done)
    try:
        for count, why in _READERS[source](host, gathered):
            done = replace(done, count=count, why=why, seconds=time.monotonic() - start)
            report(done)
        done = replace(done, state=SourceState.OK)
    except TraceScopeError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        fix = error.fix or (_FIXES.get(source, "") if host.live else "")
        done = SourceReport(source, _state_of(error), why=why, fix=fix)
    done = replace(done, seconds=time.monotonic() - start)
    gathered.reports[source] = done
    report(done)


def _state_of(error: TraceScopeError) -> SourceState:
    if isinstance(error, Missing):
        return SourceState.ABSENT
    return SourceState.FORBIDDEN if isinstance(error, Forbidden) else SourceState.DAMAGED


# A reader fills its part of `gathered` and yields (rows so far, a remark); the last one stands.
Progress = Iterator[tuple[int, str]]


def _tracefs(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import tracefs

    found = tracefs.read_formats(host)
    gathered.formats = found.formats
    why = f"{len(found.skipped)} formats skipped, first {found.skipped[0]}" if found.skipped else ""
    yield len(found.formats), why


def _kallsyms(host: Host, gathered: Gathered) -> Progress:
    from tracescope.catalog.functions import SymbolFacts
    from tracescope.catalog.generated import split
    from tracescope.sources import kallsyms

    stays, gathered.generated = split(host.read(kallsyms.PATH))
    gathered.symbols = kallsyms.parse_kallsyms(stays)
    gathered.symbols_seal = cache.seal(stays)
    gathered.symbol_facts = SymbolFacts(gathered.symbols)
    # register_kprobe() is in every kernel that has kprobes, and in no other; count_symbols() came with the check
    # for names that are not unique (kernel/trace/trace_kprobe.c, commit b022f0c7e404).
    names = set(gathered.symbols.names)
    gathered.kprobes = "register_kprobe" in names
    gathered.unique_names = "count_symbols" in names
    remarks = []
    if gathered.symbols.addresses_hidden:
        remarks.append("addresses hidden (kptr_restrict, or not root)")
    if gathered.symbols.skipped:
        remarks.append(f"{gathered.symbols.skipped} lines skipped")
    yield len(gathered.symbols) + len(gathered.generated), ", ".join(remarks)


def _ftrace(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import ftrace

    gathered.lockdown = _lockdown(host)
    gathered.functions = ftrace.read_functions(host)
    yield len(gathered.functions), ""


def _blacklist(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import ftrace

    gathered.blacklist = ftrace.read_blacklist(host)
    yield len(gathered.blacklist), ""


def _btf(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import btf

    base = btf.read(host)
    gathered.btf = {"vmlinux": base}
    gathered.by_value = base.passes_structures()
    count, damaged = len(base.functions()), []
    yield count, ""
    for module in btf.modules(host):
        if module != "vmlinux":
            try:
                gathered.btf[module] = btf.read(host, module, base)
                count += len(gathered.btf[module].functions())
            except TraceScopeError:
                damaged.append(module)
    yield count, f"damaged: {', '.join(damaged)}" if damaged else ""


def _perf(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import perf

    gathered.perf = list(perf.read(host).events)
    yield len(gathered.perf), ""


def _bpftrace(host: Host, gathered: Gathered) -> Progress:
    from tracescope.sources import bpftrace

    gathered.listing = bpftrace.read(host)
    yield len(gathered.listing.probes), ""


def _lockdown(host: Host) -> str:
    """The mode in force: the one in brackets (security/lockdown/lockdown.c)."""
    try:
        modes = host.read("/sys/kernel/security/lockdown").decode("ascii", "replace")
    except TraceScopeError:
        return ""
    return modes.partition("[")[2].partition("]")[0]


_READERS: dict[str, Callable[[Host, Gathered], Progress]] = {
    "tracefs": _tracefs,
    "kallsyms": _kallsyms,
    "ftrace": _ftrace,
    "blacklist": _blacklist,
    "btf": _btf,
    "perf": _perf,
    "bpftrace": _bpftrace,
}
