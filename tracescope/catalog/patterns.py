"""PATTERN arguments: globs over a probe's full name, as bpftrace takes them (`tracepoint:syscalls:*`, `*execve*`)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from itertools import chain

from tracescope.catalog.store import KIND_ORDER, SYMBOL, Catalog, Row
from tracescope.model import ProbeKind

__all__ = ("full_name", "kinds_of", "matching")

_SPELLINGS = {
    "t": ProbeKind.TRACEPOINT,
    "rt": ProbeKind.RAWTRACEPOINT,
    "f": ProbeKind.FENTRY,
    "fr": ProbeKind.FEXIT,
    "kfunc": ProbeKind.FENTRY,
    "kretfunc": ProbeKind.FEXIT,
    "k": ProbeKind.KPROBE,
    "kr": ProbeKind.KRETPROBE,
    "u": ProbeKind.UPROBE,
    "ur": ProbeKind.URETPROBE,
    "U": ProbeKind.USDT,
    "s": ProbeKind.SOFTWARE,
    "h": ProbeKind.HARDWARE,
}


def full_name(pattern: str) -> str:
    """The pattern with bpftrace's short and old kind names spelled out; a lone word is a glob over any kind."""
    kind, colon, rest = pattern.partition(":")
    return f"{_SPELLINGS.get(kind, kind)}:{rest}" if colon else pattern


def kinds_of(patterns: list[str]) -> list[str]:
    """The kinds of probes that the patterns can name; all of them without a pattern."""
    tests = [_kind_test(pattern) for pattern in patterns or ["*"]]
    return [kind for kind in KIND_ORDER if kind != SYMBOL and any(test.match(kind) for test in tests)]


def matching(catalog: Catalog, patterns: list[str]) -> Iterator[Row]:
    """The rows whose full name matches one of the patterns, in the catalog's order."""
    wanted = [(_kind_test(p), _literal(p), re.compile(fnmatch.translate(p)).match) for p in patterns or ["*"]]
    for kind in kinds_of(patterns):
        tests = [(literal, match) for of_kind, literal, match in wanted if of_kind.match(kind)]
        entries = chain.from_iterable(range(s.start, s.end) for s in catalog.sections if kind in s.kinds)
        for entry in entries:
            name, probe = catalog.names[entry], ""
            for literal, match in tests:
                # A look at the bare name spares most full names.
                if literal in name and match(probe := probe or catalog.probe(kind, entry)):
                    yield catalog.row(kind, entry)
                    break


def _kind_test(pattern: str) -> re.Pattern[str]:
    kind, colon, _ = pattern.partition(":")
    return re.compile(fnmatch.translate(kind if colon else "*"))


def _literal(pattern: str) -> str:
    """What every match's bare name ends with: the text behind the last colon, or wildcard (which may be one)."""
    return "" if "[" in pattern else re.split(r"[*?]", pattern)[-1].rpartition(":")[2]
