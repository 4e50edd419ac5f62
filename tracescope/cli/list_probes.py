"""List probes in bpftrace's own words and layout.

PATTERN is a glob over the full name: 'tracepoint:syscalls:*', '*execve*', 'kprobe:vfs_*'. Text lists what can be
attached, or perhaps can; --all adds what cannot. --json lists every row with its verdict. Functions and USDT probes of
programs are listed by file: 'uprobe:libc:mall*', 'usdt:PATH:*:*'.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from tracescope.cli.kept import print_and_keep, print_kept
from tracescope.cli.output import note, print_json, print_text
from tracescope.host import open_host

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog, Row
    from tracescope.host import Host

__all__ = ("add_arguments", "probe_json", "run")


_USER = ("uprobe:", "uretprobe:", "usdt:", "u:", "ur:", "U:")
"""Kinds that no source lists: files are asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="*", help="a glob over the probe's full name; default: all"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="with arguments")
    parser.add_argument("-a", "--all", action="store_true", help="also what cannot be attached")
    parser.add_argument("--json", action="store_true", help="one object a line, every row with its verdict")


def run(args: argparse.Namespace) -> int:
    """List the rows that match."""
    host = open_host(args.host)
    if any(pattern.startswith(_USER) for pattern in args.patterns):
        return _list_user(host, args)
    words = (args.host, args.patterns, args.verbose, args.all, args.json)
    if print_kept(host, words):
        return 0
    from tracescope.catalog.patterns import full_name, kinds_of
    from tracescope.catalog.read import sources_for

    patterns = [full_name(pattern) for pattern in args.patterns]
    sources = sources_for(kinds_of(patterns))
    return print_and_keep(host, words, sources, lambda: _list(host, patterns, sources, args))


def _list_user(host: Host, args: argparse.Namespace) -> int:
    from tracescope.catalog.patterns import full_name
    from tracescope.cli.list_user import list_user

    list_user(host, [full_name(pattern) for pattern in args.patterns], verbose=args.verbose, as_json=args.json)
    return 0


def _list(host: Host, patterns: list[str], sources: Collection[str], args: argparse.Namespace) -> int:
    from tracescope.catalog.patterns import matching
    from tracescope.catalog.read import read_sources
    from tracescope.cli.sources import complain_of

    catalog = read_sources(host, sources)
    complain_of(host, catalog)
    rows = matching(catalog, patterns)
    printed, hidden = _print_json(catalog, rows, args) if args.json else _print_text(catalog, rows, args)
    if hidden:
        left_out = f"{hidden} more cannot be attached here, or only in part (.cold)"
        note(f"{left_out}: --all lists them, `tracescope show PROBE` says why")
    if not printed and not hidden:
        note("nothing matches: a pattern is a glob over the full name, such as '*execve*'")
    return 0


def probe_json(catalog: Catalog, row: Row) -> dict[str, object]:
    """What the contract says of one probe in `list --json`."""
    from tracescope.catalog.advice import stability
    from tracescope.catalog.listed import sources_of
    from tracescope.catalog.store import FORMAT
    from tracescope.model import ProbeKind

    verdict = catalog.verdict(row.kind, row.entry)
    return {
        "probe": row.probe,
        "kind": row.kind,
        "group": row.group or row.module,
        "name": row.name,
        "module": row.module,
        "stability": None if row.kind == FORMAT else stability(ProbeKind(row.kind), row.name).value,
        "verdict": verdict.answer.value,
        "reasons": [reason.value for reason in verdict.reasons],
        "sources": list(sources_of(row.kind, catalog.facts[row.entry])),
    }


def _print_json(catalog: Catalog, rows: Iterable[Row], args: argparse.Namespace) -> tuple[int, int]:
    from tracescope.catalog.listed import arguments

    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the count of rows is the answer
        found = probe_json(catalog, row)
        if args.verbose:
            parameters, returns = arguments(catalog, row)
            found["args"] = [{"name": p.name, "type": p.type} for p in parameters]
            found["returns"] = returns
        print_json(found)
    return count, 0


def _print_text(catalog: Catalog, rows: Iterable[Row], args: argparse.Namespace) -> tuple[int, int]:
    from tracescope.catalog.listed import listed_arguments
    from tracescope.catalog.verdict import taken_by_patterns

    printed = hidden = 0
    for row in rows:
        if not args.all and not taken_by_patterns(catalog.verdict(row.kind, row.entry)):
            hidden += 1
            continue
        printed += 1
        found = listed_arguments(catalog, row) if args.verbose else ()
        print_text(row.probe, *(f"    {argument}" for argument in found))
    return printed, hidden
