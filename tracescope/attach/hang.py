"""Targets on the kernel: what their programs are loaded as, and how they are attached, kind by kind."""

from __future__ import annotations

import os
from contextlib import ExitStack

from tracescope.attach import links, perf_probe, programs, samples
from tracescope.attach.perf_event import attach_tracepoint
from tracescope.attach.plan import Plan
from tracescope.attach.programs import ProgramType
from tracescope.attach.target import FunctionPlace, PerfPlace, Target, TracepointPlace, UserPlace
from tracescope.model import ProbeKind

__all__ = ("hang", "program_types")

_TRACING, _FENTRY, _FEXIT = 26, 24, 25
_RETURNS = (ProbeKind.KRETPROBE, ProbeKind.URETPROBE)


def program_types(plan: Plan) -> dict[str, ProgramType]:
    """What each function of a plan's program is loaded as; the helpers are on tracepoints."""
    found = {}
    for probe in plan.probes:
        found[probe.function] = _type(probe.end or probe.target)
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
        for site in place.sites:
            descriptor = perf_probe.attach_uprobe(
                program, place.path, site.offset, returns=returns, ref_ctr_offset=site.semaphore, pid=place.pid,
                probe=target.probe,
            )  # fmt: skip
            undo.callback(os.close, descriptor)
            found.append(descriptor)
        undo.pop_all()
    return tuple(found)
