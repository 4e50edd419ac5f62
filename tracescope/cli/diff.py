"""Say what differs between two hosts, in numbers first: of what could be attached before, how much is there unchanged.

HOST is a snapshot (zip or folder), or `live` (or `-`) for this machine. Then every probe and symbol that came and went,
fields and prototypes that changed, verdicts that flipped; PATTERN picks some, by a glob over the full name such as
'tracepoint:sched:*'. A function comes, goes and changes as its kprobe; a kprobe's verdict holds for the kretprobe, a
fentry's for the fexit.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
from collections import Counter
from dataclasses import asdict, replace

from tracescope.catalog.diff import Change, Diff, Survival, diff
from tracescope.catalog.diff_text import diff_lines
from tracescope.catalog.patterns import full_name
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.cli.output import note, print_json, print_text
from tracescope.errors import Refused, UsageError
from tracescope.host import open_host
from tracescope.model import Field, SourceState, Verdict

__all__ = ("add_arguments", "run")

_LIVE = ("live", "-")
# bpftrace's listing is slow to read, and decides nothing of what is compared.
_SOURCES = tuple(source for source in ALL_SOURCES if source != "bpftrace")
_EXAMPLES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("before", metavar="HOST", help="the host to start from")
    parser.add_argument("after", metavar="HOST", help="the host to compare with it")
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="only these probes' changes; default: all")
    parser.add_argument("-a", "--all", action="store_true", help=f"every change, not only {_EXAMPLES} of each group")
    parser.add_argument("--json", action="store_true", help="one object a change, then one with the summary")


def run(args: argparse.Namespace) -> int:
    """Compare the hosts; that they differ is no refusal."""
    if args.host is not None:
        raise UsageError("diff takes two hosts and no --host", "", "tracescope diff HOST HOST")
    found = _only(diff(_read(args.before), _read(args.after)), args.patterns)
    if args.json:
        for change in found.changes:
            print_json(_change_json(change))
        print_json({"summary": _summary_json(found)})
    else:
        for line in diff_lines(found, None if args.all else _EXAMPLES):
            print_text(line)
    return 0


def _read(where: str) -> Catalog:
    host = open_host(None if where in _LIVE else where)
    catalog = read_sources(host, _SOURCES)
    for text in host.notes:
        note(f"{host.label}: {text}")
    bad = [report for report in catalog.knowledge.reports.values() if report.state is not SourceState.OK]
    if len(bad) == len(_SOURCES):
        raise Refused(f"{host.label}: nothing to read", f"{bad[0].name}: {bad[0].why}", bad[0].fix)
    for report in bad:
        note(f"{host.label}: {report.name} {report.state.value}: {report.why}")
    return catalog


def _only(found: Diff, patterns: list[str]) -> Diff:
    if not patterns:
        return found
    matches = re.compile("|".join(fnmatch.translate(full_name(pattern)) for pattern in patterns)).match
    return replace(found, changes=tuple(change for change in found.changes if matches(change.probe)))


def _change_json(change: Change) -> dict[str, object]:
    return {
        "change": change.part.value,
        "probe": change.probe,
        "kind": change.kind,
        "module": change.module,
        "before": _value_json(change.before),
        "after": _value_json(change.after),
    }


def _value_json(value: tuple[Field, ...] | str | Verdict | None) -> object:
    """Fields as in `show --json`, a prototype as C, a verdict with its reasons."""
    if isinstance(value, Verdict):
        return {"verdict": value.answer.value, "reasons": [reason.value for reason in value.reasons]}
    if isinstance(value, tuple):
        return [
            {"name": f.name, "type": f.full_type, "offset": f.offset, "size": f.size, "signed": f.signed} for f in value
        ]
    return value


def _summary_json(found: Diff) -> dict[str, object]:
    counts: dict[str, Counter[str]] = {}
    for change in found.changes:
        counts.setdefault(change.part.value, Counter())[change.kind] += 1
    return {
        "counts": counts,
        "survival": [_survival_json(row) for row in found.survival],
        "not_compared": [{"kind": kind, "why": why} for kind, why in found.not_compared],
    }


def _survival_json(row: Survival) -> dict[str, object]:
    return {**asdict(row), "total": row.total}
