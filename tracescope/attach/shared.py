"""Probes of one kind that one program serves: the kernel hands it a cookie, which is the probe's index. Pure.

That takes the kernel's links for many functions at once (kprobe.multi, uprobe.multi), and a program that does the same
at each: no memory is read behind arguments, and the condition is about none of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import replace

from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.targets.target import FunctionPlace, Shape, UserPlace
from tracescope.model import ProbeKind

__all__ = ("groups", "share")


def share(probes: tuple[PlannedProbe, ...], kinds: Collection[ProbeKind]) -> tuple[PlannedProbe, ...]:
    """The same probes; those of `kinds` that can run one program have the function `many_N`."""
    alike: dict[Hashable, list[PlannedProbe]] = defaultdict(list)
    for probe in probes:
        key = _key(probe) if probe.target.kind in kinds else None
        if key is not None:
            alike[key].append(probe)
    named: dict[int, PlannedProbe] = {}
    for number, same in enumerate(group for group in alike.values() if len(group) > 1):
        raw = max(probe.raw for probe in same)
        named |= {probe.index: replace(probe, shared=f"many_{number}", raw=raw) for probe in same}
    return tuple(named.get(probe.index, probe) for probe in probes)


def groups(probes: Iterable[PlannedProbe]) -> dict[str, list[PlannedProbe]]:
    """The probes by the function of their program, in their order."""
    found: dict[str, list[PlannedProbe]] = {}
    for probe in probes:
        found.setdefault(probe.function, []).append(probe)
    return found


def _key(probe: PlannedProbe) -> Hashable | None:
    """What probes must have in common; None for one that needs a program of its own."""
    condition, place = probe.condition, probe.target.place
    if probe.captures or probe.end or probe.shape not in (Shape.REGISTERS, Shape.RESULT):
        return None
    text = condition.definitions + condition.statements + condition.value if condition else ""
    if "ctx" in text:
        return None
    match place:
        # The kernel keeps one cookie an address: two names of one function would get each other's events.
        case FunctionPlace(offset=0, second_name=False):
            return (probe.target.kind, text)
        case UserPlace(path, (_,), pid):
            return (probe.target.kind, text, path, pid)
    return None
