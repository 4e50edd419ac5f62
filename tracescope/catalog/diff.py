"""What differs between two hosts: probes and symbols that came and went, fields, prototypes and verdicts that changed.

Ids and addresses change at every boot, and so does code that the kernel writes at run time: none of them counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from tracescope.catalog.advice import stability
from tracescope.catalog.facts import Fact
from tracescope.catalog.store import FORMAT, SYMBOL, Catalog
from tracescope.errors import TraceScopeError
from tracescope.model import Answer, Field, ProbeKind, Signature, SourceState, Stability, Verdict

if TYPE_CHECKING:
    from tracescope.sources.btf import Btf

__all__ = ("Change", "Diff", "Part", "Survival", "diff")


class Part(StrEnum):
    """What became of a probe."""

    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"
    """Its fields or its prototype."""
    VERDICT = "verdict"
    """Whether it can be attached."""


Content: TypeAlias = tuple[Field, ...] | str | Verdict | None
"""Of a change: the fields that differ, a prototype, a verdict; None for what came or went."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `module` is a function's or symbol's, empty for the core kernel."""

    part: Part
    kind: str
    probe: str
    module: str = ""
    before: Content = None
    after: Content = None


@dataclass(frozen=True, slots=True)
class Survival:
    """What became of the probes of one rung of the stability ladder whose verdict was yes or unknown before."""

    kind: str
    stability: Stability
    unchanged: int
    changed: int
    refused: int
    """Still there, and can no longer be attached."""
    gone: int

    @property
    def total(self) -> int:
        """The number of probes before."""
        return self.unchanged + self.changed + self.refused + self.gone


@dataclass(frozen=True, slots=True)
class Diff:
    """Every difference, by part, in the order of kinds and names.

    A function comes, goes and changes as its kprobe, not once more as its kretprobe, fentry and fexit. A kprobe's
    verdict holds for the kretprobe, a fentry's for the fexit.
    """

    changes: tuple[Change, ...]
    survival: tuple[Survival, ...]
    not_compared: tuple[tuple[str, str], ...] = ()
    """(kind, why) of each kind whose source one of the hosts did not give."""


# The source without which nothing can be said of a kind; the kinds in the order of the ladder.
_SOURCE: dict[str, str] = {
    ProbeKind.TRACEPOINT: "tracefs",
    ProbeKind.RAWTRACEPOINT: "kallsyms",
    ProbeKind.FENTRY: "btf",
    ProbeKind.KPROBE: "kallsyms",
    **dict.fromkeys((ProbeKind.SOFTWARE, ProbeKind.HARDWARE, ProbeKind.CACHE, ProbeKind.PMU), "perf"),
    FORMAT: "tracefs",
    SYMBOL: "kallsyms",
}
_FUNCTIONS = (ProbeKind.FENTRY, ProbeKind.KPROBE)
# Every raw tracepoint's iterator function takes the arguments of the raw tracepoint (include/linux/tracepoint.h).
_TRACEITER = "__traceiter_"
_LADDER = (ProbeKind.TRACEPOINT, ProbeKind.RAWTRACEPOINT, *_FUNCTIONS)

_PARTS = tuple(Part)

_Key = tuple[str, str]
"""A group or module, and a name."""


class _Side:
    """One kind's entries in one catalog."""

    def __init__(self, catalog: Catalog, kind: str) -> None:
        self.catalog = catalog
        self.kind = kind
        self.entries = _entries(catalog, kind)
        self._verdicts: dict[int, Verdict] = {}

    def change(self, part: Part, key: _Key, before: Content = None, after: Content = None) -> Change:
        module = key[0] if self.kind in (*_FUNCTIONS, SYMBOL) else ""
        return Change(part, self.kind, self.catalog.probe(self.kind, self.entries[key]), module, before, after)

    def verdict(self, key: _Key) -> Verdict:
        """By the entry's facts, which decide it: a few hundred different ones."""
        entry = self.entries[key]
        facts = self.catalog.facts[entry]
        if facts not in self._verdicts:
            self._verdicts[facts] = self.catalog.verdict(self.kind, entry)
        return self._verdicts[facts]


def diff(a: Catalog, b: Catalog) -> Diff:
    """What is different in `b`; kinds that one of them knows nothing of are left out and named."""
    changes: list[Change] = []
    survival: list[Survival] = []
    not_compared: list[tuple[str, str]] = []
    prototypes = dict(_prototypes(a, b))
    for kind, source in _SOURCE.items():
        if why := _unknown(source, a, b):
            not_compared.append((kind, why))
            continue
        before, after = _Side(a, kind), _Side(b, kind)
        changed = prototypes if kind in _FUNCTIONS else dict(_changed_events(before, after))
        changes += _changes(before, after, changed)
        if kind in _LADDER:
            survival += _survival(before, after, changed)
    changes.sort(key=lambda change: _PARTS.index(change.part))
    return Diff(tuple(changes), tuple(survival), tuple(not_compared))


def _unknown(source: str, a: Catalog, b: Catalog) -> str:
    """Why kinds of this source cannot be compared, or nothing."""
    reports = [catalog.knowledge.reports.get(source) for catalog in (a, b)]
    before, after = [report.state if report else SourceState.WAITING for report in reports]
    return "" if before is after is SourceState.OK else f"{source} is {before.value} before, {after.value} after"


def _entries(catalog: Catalog, kind: str) -> dict[_Key, int]:
    facts, names, codes = catalog.facts, catalog.names, catalog.group_codes
    # What tracefs calls its group is no part of a raw tracepoint's name.
    groups = [""] * len(catalog.group_names) if kind == ProbeKind.RAWTRACEPOINT else catalog.group_names
    generated = int(Fact.GENERATED)
    found = {
        (groups[codes[entry]], names[entry]): entry
        for section in catalog.sections
        if kind in section.kinds and (kind != SYMBOL or section.kinds == (SYMBOL,))
        for entry in range(section.start, section.end)
        if not facts[entry] & generated
    }
    if kind == SYMBOL:
        # Of two functions of one name and module, the second is a symbol without probes.
        for key in _entries(catalog, ProbeKind.KPROBE):
            found.pop(key, None)
    return found


_Changed = Iterator[tuple[_Key, tuple[Content, Content]]]


def _prototypes(a: Catalog, b: Catalog) -> _Changed:
    """The functions whose prototypes differ."""
    from tracescope.sources.btf_types import Kind

    for module in a.knowledge.btf.keys() & b.knowledge.btf.keys():
        before, after = a.knowledge.btf[module], b.knowledge.btf[module]
        old, new = before.names(Kind.FUNC), after.names(Kind.FUNC)
        # Half of the functions share their prototype with another one: what is alike once is alike again.
        alike: set[tuple[int, int]] = set()
        for name in old.keys() & new.keys():
            types = before.target(old[name]), after.target(new[name])
            if types in alike:
                continue
            if pair := _signatures(before, after, name):
                yield ("" if module == "vmlinux" else module, name), (pair[0].prototype, pair[1].prototype)
            else:
                alike.add(types)


def _signatures(before: Btf, after: Btf, name: str) -> tuple[Signature, Signature] | None:
    """Both signatures of a function when they differ; those that cannot be read do not count."""
    try:
        # Much cheaper than both signatures, and few differ.
        if before.bpftrace_arguments(name) == after.bpftrace_arguments(name):
            return None
        old, new = before.function(name), after.function(name)
    except TraceScopeError:
        return None
    return (old, new) if old and new else None


def _changed_events(before: _Side, after: _Side) -> _Changed:
    """The events whose fields, or whose raw arguments, differ."""
    if before.kind in (ProbeKind.TRACEPOINT, FORMAT):
        return _fields(before, after)
    return _raw_arguments(before, after) if before.kind == ProbeKind.RAWTRACEPOINT else iter(())


def _fields(before: _Side, after: _Side) -> _Changed:
    old, new = before.catalog.knowledge.formats, after.catalog.knowledge.formats
    for key in before.entries.keys() & after.entries.keys():
        fields, others = old[":".join(key)].fields, new[":".join(key)].fields
        if fields != others:
            yield key, (_without(fields, others), _without(others, fields))


def _raw_arguments(before: _Side, after: _Side) -> _Changed:
    old, new = (side.catalog.knowledge.btf.get("vmlinux") for side in (before, after))
    if old and new:
        for key in before.entries.keys() & after.entries.keys():
            if pair := _signatures(old, new, f"{_TRACEITER}{key[1]}"):
                yield key, (_raw(pair[0]), _raw(pair[1]))


def _raw(iterator: Signature) -> str:
    """The arguments as C, without the iterator's own first one."""
    return ", ".join(f"{parameter.type} {parameter.name}" for parameter in iterator.parameters[1:])


def _without(fields: tuple[Field, ...], others: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple(field for field in fields if field not in others)


def _changes(before: _Side, after: _Side, changed: Mapping[_Key, tuple[Content, Content]]) -> Iterator[Change]:
    both = before.entries.keys() & after.entries.keys()
    if before.kind != ProbeKind.FENTRY:
        yield from (before.change(Part.REMOVED, key) for key in sorted(before.entries.keys() - both))
        yield from (after.change(Part.ADDED, key) for key in sorted(after.entries.keys() - both))
        yield from (after.change(Part.CHANGED, key, *changed[key]) for key in sorted(both & changed.keys()))
    if before.kind not in (FORMAT, SYMBOL):
        flipped = (key for key in both if before.verdict(key).answer is not after.verdict(key).answer)
        for key in sorted(flipped):
            yield after.change(Part.VERDICT, key, before.verdict(key), after.verdict(key))


def _survival(before: _Side, after: _Side, changed: Container[_Key]) -> Iterator[Survival]:
    fates: dict[Stability, Counter[str]] = {}
    for key in before.entries:
        if before.verdict(key).answer is not Answer.NO:
            rung = fates.setdefault(stability(ProbeKind(before.kind), key[1]), Counter())
            if key not in after.entries:
                rung["gone"] += 1
            elif after.verdict(key).answer is Answer.NO:
                rung["refused"] += 1
            else:
                rung["changed" if key in changed else "unchanged"] += 1
    for step in filter(fates.__contains__, Stability):
        rung = fates[step]
        yield Survival(before.kind, step, rung["unchanged"], rung["changed"], rung["refused"], rung["gone"])
