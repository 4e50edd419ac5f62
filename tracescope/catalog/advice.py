"""How long a probe will last, and the better probe by name, from the rules in `advice.toml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from tracescope.model import ProbeKind, Stability

__all__ = ("Alternative", "better", "stability")

_MOST = 5
_FUNCTIONS = frozenset({ProbeKind.KPROBE, ProbeKind.KRETPROBE, ProbeKind.FENTRY, ProbeKind.FEXIT})
_AT_RETURN = frozenset({ProbeKind.KRETPROBE, ProbeKind.FEXIT})
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv)(?:\.|$)")

_LADDER = {
    ProbeKind.RAWTRACEPOINT: Stability.TYPED,
    ProbeKind.FENTRY: Stability.TYPED,
    ProbeKind.FEXIT: Stability.TYPED,
    ProbeKind.KPROBE: Stability.UNSTABLE,
    ProbeKind.KRETPROBE: Stability.UNSTABLE,
    ProbeKind.UPROBE: Stability.UNSTABLE,
    ProbeKind.URETPROBE: Stability.UNSTABLE,
}
"""Kinds that are not here are stable: tracepoints, USDT, and perf's own events."""


class Alternative(NamedTuple):
    """A full probe name, and one sentence why to take it."""

    probe: str
    why: str


class _Proposal(NamedTuple):
    probe: str
    why: str
    returns: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    on: frozenset[ProbeKind]
    match: re.Pattern[str]
    proposals: tuple[_Proposal, ...]
    last: bool


def stability(kind: ProbeKind, name: str) -> Stability:
    """How likely a probe of this kind on this name is to survive the next kernel."""
    step = _LADDER.get(kind, Stability.STABLE)
    copied = step is not Stability.STABLE and _SUFFIX.search(name.rpartition(":")[2])
    return Stability.FRAGILE if copied else step


def better(
    kind: ProbeKind, name: str, has: Callable[[str], bool], events: Mapping[str, Sequence[str]]
) -> list[Alternative]:
    """What to take instead of, or together with, this probe: at most 5, best first, only what `has` says exists.

    Args:
        kind: The probe's kind.
        name: Its full name without the kind: `sched:sched_switch`, `vfs_read`, `vmlinux:vfs_read`.
        has: Whether this host has a probe of this full name.
        events: The groups of each tracepoint name on this host.
    """
    module, _, subject = name.rpartition(":") if kind in _FUNCTIONS else ("", "", name)
    itself = f"{kind}:{name}"
    found: dict[str, str] = {}
    for probe, why in _proposed(kind, subject, module or "vmlinux", events):
        if probe not in found and probe != itself and has(probe):
            found[probe] = why
            if len(found) == _MOST:
                break
    return [Alternative(probe, why) for probe, why in found.items()]


def _proposed(kind: ProbeKind, name: str, module: str, events: Mapping[str, Sequence[str]]) -> Iterator[Alternative]:
    """What the rules say, in order, whether or not this host has it."""
    base = _SUFFIX.split(name, maxsplit=1)[0] if kind in _FUNCTIONS else name
    at_return = kind in _AT_RETURN
    for rule in _rules():
        match = rule.match.fullmatch(name) or rule.match.fullmatch(base)
        if kind not in rule.on or match is None:
            continue
        # At the return one wants the end of the call first, at the entry its beginning.
        for proposal in sorted(rule.proposals, key=lambda p: p.returns != at_return):
            probe = match.expand(proposal.probe).replace("{module}", module).replace("{kind}", kind)
            if at_return and probe.startswith("fentry:"):
                continue
            yield from (Alternative(full, proposal.why) for full in _expanded(probe, events))
        if rule.last:
            return


def _expanded(probe: str, events: Mapping[str, Sequence[str]]) -> list[str]:
    """`tracepoint:*:NAME` in each group that has an event of this name; any other probe as it is."""
    if not probe.startswith("tracepoint:*:"):
        return [probe]
    event = probe.removeprefix("tracepoint:*:")
    return [f"tracepoint:{group}:{event}" for group in events.get(event, ())]


@cache
def _rules() -> tuple[_Rule, ...]:
    import tomllib
    from importlib.resources import files

    text = files("tracescope.catalog").joinpath("advice.toml").read_text(encoding="utf-8")
    return tuple(
        _Rule(
            frozenset(map(ProbeKind, row.get("on", _FUNCTIONS))),
            re.compile(row["match"]),
            tuple(_Proposal(p["probe"], p["why"], p.get("returns", False)) for p in row["probes"]),
            row.get("last", False),
        )
        for row in tomllib.loads(text)["rule"]
    )
