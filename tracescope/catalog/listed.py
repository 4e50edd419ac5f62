"""What a listing says of a probe: the sources that know it, and its arguments as `bpftrace -lv` lists them."""

from __future__ import annotations

from tracescope.catalog.facts import Fact
from tracescope.catalog.store import FORMAT, FUNCTION_KINDS, SYMBOL, Catalog, Row
from tracescope.model import Parameter, ProbeKind, Signature

__all__ = ("WITH_FORMAT", "arguments", "is_exported", "listed_arguments", "signature_of", "sources_of")

WITH_FORMAT = frozenset((ProbeKind.TRACEPOINT, ProbeKind.RAWTRACEPOINT, FORMAT))
"""The kinds of rows that an event's format describes."""

_SOURCES = (
    (Fact.IN_TRACEFS, "tracefs"),
    (Fact.IN_KALLSYMS, "kallsyms"),
    (Fact.IN_FTRACE, "ftrace"),
    (Fact.BTF, "btf"),
    (Fact.IN_PERF, "perf"),
)


def sources_of(kind: str, facts: int) -> tuple[str, ...]:
    """The sources that know this probe."""
    names = [name for fact, name in _SOURCES if facts & fact]
    listed = Fact.IN_BPFTRACE_FENTRY if kind in (ProbeKind.FENTRY, ProbeKind.FEXIT) else Fact.IN_BPFTRACE
    return (*names, "bpftrace") if facts & listed else tuple(names)


def signature_of(catalog: Catalog, row: Row) -> Signature | None:
    """A function's prototype, or a raw tracepoint's arguments, from BTF."""
    from tracescope.catalog.arguments import btf_of, raw_signature

    btf = btf_of(catalog, row)
    if btf is None:
        return None
    if row.kind in FUNCTION_KINDS or row.kind == SYMBOL:
        return btf.function(row.name)
    return raw_signature(btf, row.name) if row.kind == ProbeKind.RAWTRACEPOINT else None


def arguments(catalog: Catalog, row: Row) -> tuple[list[Parameter], str | None]:
    """What a probe carries: the fields of an event, or a function's parameters, and what it returns."""
    if row.kind in WITH_FORMAT:
        event = catalog.knowledge.formats.get(f"{row.group}:{row.name}")
        return ([Parameter(f.name, f.full_type) for f in event.fields] if event else []), None
    signature = signature_of(catalog, row)
    if signature is None:
        return [], None
    return list(signature.parameters), signature.returns


def listed_arguments(catalog: Catalog, row: Row) -> list[str]:
    """The arguments as `bpftrace -lv` lists them: declared fields; parameters, then `retval` unless void."""
    if row.kind in WITH_FORMAT:
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
