"""Show everything known of one probe: its arguments, its verdict and why, what to take instead.

PROBE is a full name: tracepoint:sched:sched_switch, kprobe:vfs_read, fentry:vmlinux:vfs_read; or the name of a symbol.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator

from tracescope.catalog.detail import Detail, describe
from tracescope.catalog.listed import arguments
from tracescope.catalog.patterns import full_name
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog, Row
from tracescope.cli.list_probes import probe_json
from tracescope.cli.output import note, print_json, print_text
from tracescope.cli.sources import complain_of
from tracescope.errors import Refused
from tracescope.host import open_host

__all__ = ("add_arguments", "run")

_NEAR = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("probe", metavar="PROBE", help="the full name of a probe, or a symbol")
    parser.add_argument("--json", action="store_true", help="one object on one line")


def run(args: argparse.Namespace) -> int:
    """Print one probe."""
    host = open_host(args.host)
    catalog = read_sources(host, ALL_SOURCES)
    row = catalog.find(full_name(args.probe))
    if row is None:
        complain_of(host, catalog)
        raise Refused(f"there is no probe '{args.probe}' on this host", *_near(catalog, args.probe))
    for text in host.notes:
        note(text)
    detail = describe(catalog, row)
    if args.json:
        print_json(_json(catalog, row, detail))
    else:
        for line in _lines(detail):
            print_text(line)
    return 0


def _near(catalog: Catalog, probe: str) -> tuple[str, str]:
    """Why, and names that look alike for the fix: of the same kind where it has them."""
    kind, _, name = probe.rpartition(":")
    kind = kind.partition(":")[0]
    names = [text for text in dict.fromkeys(catalog.names) if name and name in text][:_NEAR]
    names = names or difflib.get_close_matches(name, set(catalog.names), _NEAR)
    rows = [row for name in names if (row := _named(catalog, kind, name))]
    near = ", ".join(row.probe for row in rows)
    return "no source lists it", f"did you mean {near}" if near else "tracescope list '*PART*'"


def _named(catalog: Catalog, kind: str, name: str) -> Row | None:
    """The row of this name and kind, else of any kind."""
    rows = [row for row in catalog.view(name) if row.name == name]
    return next((row for row in rows if row.kind == kind), rows[0] if rows else None)


def _json(catalog: Catalog, row: Row, detail: Detail) -> dict[str, object]:
    parameters, returns = arguments(catalog, row)
    event = detail.event
    return {
        **(probe_json(catalog, row) if detail.stability else _symbol_json(detail)),
        "args": [{"name": p.name, "type": p.type} for p in parameters],
        "returns": returns,
        "id": event.id if event else None,
        "fields": [
            {"name": f.name, "type": f.full_type, "offset": f.offset, "size": f.size, "signed": f.signed}
            for f in (event.fields if event else ())
        ],
        "print_fmt": event.print_fmt if event else None,
        "pair": detail.pair,
        "registers": {a.name: a.register for a in detail.arguments if a.register},
        "prototype": detail.signature.prototype if detail.signature else None,
        "exported": detail.exported,
        "alternatives": [{"probe": probe, "why": why} for probe, why in detail.alternatives],
        "topics": list(detail.topics),
        "notes": list(detail.notes),
    }


def _symbol_json(detail: Detail) -> dict[str, object]:
    return {
        "probe": detail.probe,
        "kind": detail.kind,
        "group": detail.group or detail.module,
        "name": detail.name,
        "module": detail.module,
        "stability": None,
        "verdict": detail.verdict.answer.value,
        "reasons": [reason.value for reason in detail.verdict.reasons],
        "sources": list(detail.sources),
    }


def _lines(detail: Detail) -> Iterator[str]:
    yield detail.probe
    if detail.signature:
        yield f"  {detail.signature.prototype}"
    for argument in detail.arguments:
        yield f"    {argument.register:8}{argument.bpftrace:10} {argument.type} {argument.name}"
    yield f"  verdict: {detail.verdict.answer.value}" + (
        f", stability: {detail.stability.value}" if detail.stability else ""
    )
    for reason, sentence, fix in detail.reasons:
        yield f"    {reason.value}: {sentence}" + (f" (fix: {fix})" if fix else "")
    yield f"  sources: {', '.join(detail.sources)}"
    if detail.symbol and detail.symbol_class:
        kind = detail.symbol_class
        where = f"{detail.symbol.address:#018x} {detail.symbol.type}"
        yield f"  symbol: {where} ({kind.name}, {kind.scope}): {kind.sentence}"
    if detail.event:
        yield from _event_lines(detail)
    if detail.pair:
        yield f"  pair: {detail.pair}"
    for probe, why in detail.alternatives:
        yield f"  better: {probe}: {why}"
    for topic in detail.topics:
        yield f"  topic: {topic}"
    for text in detail.notes:
        yield f"  note: {text}"


def _event_lines(detail: Detail) -> Iterator[str]:
    event = detail.event
    if event is None:
        return
    yield f"  id: {event.id}"
    yield "  offset  size  field"
    for field in event.fields:
        yield f"  {field.offset:6}  {field.size:4}  {field.full_type} {field.name}"
    for table in detail.tables:
        names = ", ".join(f"{name}={value:#x}" for value, name in table.names)
        yield f"  {table.field} ({table.kind}): {names}"
    yield f"  print fmt: {event.print_fmt}"
