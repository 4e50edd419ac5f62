"""Targets on the kernel: what their programs are loaded as, and how they are attached, kind by kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TypeAlias

from tracescope.attach.kernel import links, perf_probe, programs, samples
from tracescope.attach.kernel.perf_event import attach_tracepoint
from tracescope.attach.kernel.programs import ProgramType
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.targets.target import FunctionPlace, PerfPlace, Target, TracepointPlace, UserPlace
from tracescope.errors import AttachError
from tracescope.model import ProbeKind

__all__ = ("hang", "hang_many", "many_kinds", "program_types")

Refusal: TypeAlias = tuple[PlannedProbe, AttachError]

_TRACING, _FENTRY, _FEXIT = 26, 24, 25
_RETURNS = (ProbeKind.KRETPROBE, ProbeKind.URETPROBE)
_KERNEL = frozenset({ProbeKind.KPROBE, ProbeKind.KRETPROBE})
_USER = frozenset({ProbeKind.UPROBE, ProbeKind.URETPROBE})


def program_types(plan: Plan) -> dict[str, ProgramType]:
    """What each function of a plan's program is loaded as; the helpers are on tracepoints."""
    found = {}
    for probe in plan.probes:
        found[probe.function] = _many(probe.target) if probe.shared else _type(probe.end or probe.target)
        if probe.end:
            found[probe.begin] = _type(probe.target)
    return found


def _type(target: Target) -> ProgramType:
    match target.place:
        case TracepointPlace(_, 0):
            return programs.RAW_TRACEPOINT
        case TracepointPlace():
            return programs.TRACEPOINT
        case PerfPlace():
            return programs.PERF_EVENT
        case FunctionPlace(_, module, _, btf_id) if btf_id:
            return ProgramType(_TRACING, _FEXIT if target.kind is ProbeKind.FEXIT else _FENTRY, btf_id, module)
    return programs.KPROBE


def _many(target: Target) -> ProgramType:
    return programs.UPROBE_MULTI if isinstance(target.place, UserPlace) else programs.KPROBE_MULTI


def many_kinds(targets: Sequence[Target]) -> frozenset[ProbeKind]:
    """The kinds of these targets that this kernel attaches many of at once."""
    kinds = {target.kind for target in targets}
    found: set[ProbeKind] = set()
    for pair, asked in ((_KERNEL, links.has_kprobe_multi), (_USER, links.has_uprobe_multi)):
        if kinds & pair and len(targets) > 1 and asked():
            found |= pair
    return frozenset(found)


def hang_many(probes: Sequence[PlannedProbe], program: int, attached: ExitStack) -> list[Refusal]:
    """Run the program at all of these until `attached` is closed; those that cannot be, each with its reason.

    The kernel takes all or none: halves tell which one it is.
    """
    try:
        attached.callback(os.close, _hang_many(probes, program))
    except AttachError as error:
        if len(probes) == 1:
            return [(probes[0], error)]
        middle = len(probes) // 2
        return [one for half in (probes[:middle], probes[middle:]) for one in hang_many(half, program, attached)]
    return []


def _hang_many(probes: Sequence[PlannedProbe], program: int) -> int:
    first, cookies = probes[0].target, [probe.index for probe in probes]
    returns, places = first.kind in _RETURNS, [probe.target.place for probe in probes]
    if isinstance(first.place, UserPlace):
        sites = [place.sites[0] for place in places if isinstance(place, UserPlace)]
        semaphores = [site.semaphore for site in sites]
        return links.attach_uprobe_multi(
            program, first.place.path, [site.offset for site in sites], returns=returns,
            ref_ctr_offsets=semaphores if any(semaphores) else (), cookies=cookies, pid=first.place.pid,
        )  # fmt: skip
    names = [place.name for place in places if isinstance(place, FunctionPlace)]
    return links.attach_kprobe_multi(program, names, returns=returns, cookies=cookies)


def hang(target: Target, program: int, attached: ExitStack) -> None:
    """Run the program at the target until `attached` is closed. Raises AttachError."""
    for descriptor in _hang(target, program):
        attached.callback(os.close, descriptor)


def _hang(target: Target, program: int) -> tuple[int, ...]:
    returns = target.kind in _RETURNS
    match target.place:
        case TracepointPlace(name, 0):
            return (links.attach_raw_tracepoint(name, program),)
        case TracepointPlace():
            return (attach_tracepoint(target.format, program),)
        case FunctionPlace(_, _, _, btf_id) if btf_id:
            return (links.attach_tracing(target.probe, program),)
        case FunctionPlace(name, _, offset):
            return (perf_probe.attach_kprobe(program, name, offset=offset, returns=returns),)
        case UserPlace():
            return _hang_user(target, target.place, program, returns=returns)
        case PerfPlace(type_, config, period, frequency, one_cpu):
            if one_cpu:
                return (samples.attach_interval(program, period),)
            event = (type_, config)
            return samples.attach_samples(program, event, period=period, frequency=frequency, probe=target.probe)


def _hang_user(target: Target, place: UserPlace, program: int, *, returns: bool) -> tuple[int, ...]:
    """All sites or none."""
    with ExitStack() as undo:
        found = []
        # Sites that keep their arguments in different places are told apart by their number.
        apart = len({site.operands for site in place.sites}) > 1
        for number, site in enumerate(place.sites):
            descriptor = perf_probe.attach_uprobe(
                program, place.path, site.offset, returns=returns, ref_ctr_offset=site.semaphore, pid=place.pid,
                cookie=number if apart else None, probe=target.probe,
            )  # fmt: skip
            undo.callback(os.close, descriptor)
            found.append(descriptor)
        undo.pop_all()
    return tuple(found)
