"""From the names that a user gives to targets: each kind of probe is looked up where this host knows it."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from tracescope.attach.targets.sample import sample_target
from tracescope.attach.targets.target import Target, tracepoint
from tracescope.attach.targets.user import usdt_probes, user_functions
from tracescope.errors import Missing, Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import Answer, EventFormat, ProbeKind
from tracescope.sources.tracefs import parse_format, read_available_events

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog, Row
    from tracescope.sources.btf import Btf

__all__ = ("MANY", "Finder", "find_targets")

MANY = 128
"""More probes than these in one session are asked for twice."""
_MOST = 4096
_WILD = "*?["
_ENTRIES = {
    ProbeKind.KRETPROBE: ProbeKind.KPROBE,
    ProbeKind.FEXIT: ProbeKind.FENTRY,
    ProbeKind.URETPROBE: ProbeKind.UPROBE,
}
_SAMPLED = (ProbeKind.SOFTWARE, ProbeKind.HARDWARE, ProbeKind.CACHE, ProbeKind.PROFILE, ProbeKind.INTERVAL)
_KINDS = (ProbeKind.TRACEPOINT, ProbeKind.RAWTRACEPOINT, *_ENTRIES, *_ENTRIES.values(), ProbeKind.USDT, *_SAMPLED)
_ENDS = {entry: end for end, entry in _ENTRIES.items()}
_ENTER, _EXIT = "sys_enter_", "sys_exit_"


def find_targets(
    host: Host, names: Sequence[str], *, pair: bool = False, catalog: Catalog | None = None, pid: int = -1
) -> list[Target]:
    """Targets by full name or glob, each once; with `pair` an entry and its end are one. Raises Refused, Missing.

    `catalog` spares reading one; `pid` is the process whose files user probes are looked up in.
    """
    return Finder(host, catalog, pid).targets(names, pair=pair)


class Finder:
    """Looks names up on one host; what many of them need is read once."""

    def __init__(self, host: Host, catalog: Catalog | None = None, pid: int = -1) -> None:
        self._host = host
        self._given = catalog
        self._pid = pid

    def targets(self, names: Sequence[str], *, pair: bool = False) -> list[Target]:
        """As `find_targets`."""
        found: dict[str, Target] = {}
        for name in names:
            for target in self._named(name):
                one = self._paired(target) if pair else target
                found[one.probe] = one
                if len(found) > _MOST:
                    raise Refused(f"{name} names too many probes", f"at most {_MOST} at once", "name fewer")
        return list(found.values())

    def _named(self, name: str) -> Iterable[Target]:
        kind, _, rest = name.partition(":")
        match kind:
            case ProbeKind.TRACEPOINT:
                return self._tracepoints(rest)
            case ProbeKind.RAWTRACEPOINT:
                return self._raw_tracepoints(ProbeKind(kind), rest)
            case ProbeKind.KPROBE | ProbeKind.KRETPROBE | ProbeKind.FENTRY | ProbeKind.FEXIT:
                return self._functions(ProbeKind(kind), rest)
            case ProbeKind.UPROBE | ProbeKind.URETPROBE:
                return user_functions(ProbeKind(kind), rest, self._pid)
            case ProbeKind.USDT:
                return usdt_probes(rest, self._pid)
            case ProbeKind.SOFTWARE | ProbeKind.HARDWARE | ProbeKind.CACHE | ProbeKind.PROFILE | ProbeKind.INTERVAL:
                return (sample_target(ProbeKind(kind), rest),)
        raise self._no_kind(name)

    # Tracepoints

    def _tracepoints(self, rest: str) -> Iterator[Target]:
        for event in self._events(rest):
            yield tracepoint(self._format(event))

    def _format(self, event: str) -> EventFormat:
        group, _, name = event.partition(":")
        return parse_format(self._host.read(f"{self._host.tracefs}/events/{group}/{name}/format"), group)

    def _events(self, pattern: str) -> list[str]:
        group, _, event = pattern.partition(":")
        if group == "ftrace":
            what = f"tracepoint:{pattern} cannot be attached"
            why = "formats of the ftrace group describe what tracers write"
            raise Refused(what, why, "for functions kprobe: or fentry:")
        plain = event and not any(mark in pattern for mark in (*_WILD, "/"))
        if plain and self._host.exists(f"{self._host.tracefs}/events/{group}/{event}/format"):
            return [pattern]
        events = read_available_events(self._host)
        matching = [known for known in events if fnmatch.fnmatchcase(known, pattern)]
        if not matching:
            raise _no_such("tracepoint", pattern, events)
        return matching

    def _no_kind(self, name: str) -> TraceScopeError:
        """For what is no full name: the one that may be meant."""
        kinds = ", ".join(kind.value for kind in _KINDS)
        what, why = f"{name} is no full name", f"it begins with none of {kinds}"
        try:
            events = [f"tracepoint:{one}" for one in read_available_events(self._host)]
        except TraceScopeError:
            events = []
        near = [one for one in events if one.endswith((f":{name}", f"_{name}"))] or [
            one for one in events if name in one
        ]
        meant = f"did you mean {', '.join(near[:3])}; " if near else ""
        return Refused(what, why, f"{meant}tracescope list '*{name.strip('*')}*' and tracescope choose WORD… name some")

    # What BTF describes

    def _raw_tracepoints(self, kind: ProbeKind, rest: str) -> Iterator[Target]:
        from tracescope.attach.targets.btf import raw_tracepoint

        for row in self._rows(kind, rest):
            yield raw_tracepoint(row.name, self._btf(row.module))

    def _functions(self, kind: ProbeKind, rest: str) -> Iterator[Target]:
        from tracescope.attach.targets.btf import function_target
        from tracescope.catalog.facts import Fact

        for row in self._rows(kind, rest):
            second = bool(self._catalog.facts[row.entry] & Fact.ALIAS_IN_FTRACE)
            yield function_target(kind, row.name, row.module, self._btf(row.module), second_name=second)

    def _rows(self, kind: ProbeKind, rest: str) -> Iterable[Row]:
        """The catalog's rows: one by its name, or those of a glob that nothing forbids, each function once."""
        from tracescope.catalog.aliases import without_aliases
        from tracescope.catalog.patterns import matching
        from tracescope.catalog.verdict import explain, taken_by_patterns

        catalog, name = self._catalog, f"{kind}:{rest}"
        if any(mark in rest for mark in _WILD):
            rows = [row for row in matching(catalog, [name]) if row.kind == kind]
            allowed = [row for row in rows if taken_by_patterns(catalog.verdict(row.kind, row.entry))]
            if rows and not allowed:
                raise Refused(f"{name} cannot be attached", *explain(catalog.verdict(kind, rows[0].entry).reasons[0]))
            if not rows:
                raise _no_such(kind, rest, ())
            once = {*without_aliases(catalog, [row.entry for row in allowed])}
            return [row for row in allowed if row.entry in once]
        row = catalog.find(name)
        if row is None or row.kind != kind:
            raise _no_such(kind, rest, set(catalog.names))
        verdict = catalog.verdict(row.kind, row.entry)
        if verdict.answer is Answer.NO:
            why, fix = explain(verdict.reasons[0])
            meant = _instead(catalog, row)
            raise Refused(f"{name} cannot be attached", why, "; ".join(filter(None, (fix, meant))))
        return [row]

    @cached_property
    def _catalog(self) -> Catalog:
        from tracescope.catalog.read import read_sources, sources_for

        return self._given or read_sources(self._host, sources_for((ProbeKind.KPROBE, ProbeKind.RAWTRACEPOINT)))

    def _btf(self, module: str) -> Btf | None:
        known = self._catalog.knowledge.btf
        return known.get(module or "vmlinux") or known.get("vmlinux")

    # Pairs

    def _paired(self, target: Target) -> Target:
        """The entry with its end; raises Refused for what has none."""
        twin = self._twin_name(target)
        if "_execve" in target.format.name and target.kind is ProbeKind.TRACEPOINT:
            why = "a call that succeeds does not return to the program that made it"
            raise Refused(f"{target.probe} cannot be paired", why, "tracescope exec shows both ends in one row")
        if twin is None:
            raise Refused(
                f"{target.probe} is no entry or return", "there is nothing to pair it with", "leave out --pair"
            )
        (other,) = self.targets([twin])
        first, last = (other, target) if self._is_end(target) else (target, other)
        return replace(first, end=last)

    def _is_end(self, target: Target) -> bool:
        return target.kind in _ENTRIES or target.format.name.startswith(_EXIT)

    def _twin_name(self, target: Target) -> str | None:
        kind, _, rest = target.probe.partition(":")
        group, _, name = rest.rpartition(":")
        if target.kind is ProbeKind.TRACEPOINT and group == "syscalls":
            enters = name.startswith(_ENTER)
            call = name.removeprefix(_ENTER).removeprefix(_EXIT)
            return f"{kind}:{group}:{_EXIT if enters else _ENTER}{call}"
        twin = _ENDS.get(target.kind) or _ENTRIES.get(target.kind)
        return f"{twin}:{rest}" if twin else None


def _instead(catalog: Catalog, row: Row) -> str:
    """The stable probes that see what this one would have seen; empty when nobody knows any."""
    from tracescope.catalog.detail import describe

    try:
        found = [probe for probe, _ in describe(catalog, row).alternatives if probe.startswith("tracepoint:")]
    except TraceScopeError:
        return ""
    return f"here perhaps {', '.join(found[:2])}" if found else ""


def _no_such(kind: str, name: str, known: Iterable[str]) -> Missing:
    last = name.rpartition(":")[2].strip("*?")
    names = list(known)
    near = [one for one in names if last and last in one][:3]
    near = near or difflib.get_close_matches(name if kind == "tracepoint" else last, names, 3)
    fix = f"did you mean {', '.join(f'{kind}:{one}' for one in near)}" if near else f"tracescope list '{kind}:*'"
    return Missing(f"there is no {kind} {name}", "the kernel does not list it", fix)
