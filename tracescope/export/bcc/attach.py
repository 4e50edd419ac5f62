"""The lines of a BCC program that attach its probes. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracescope.attach.targets.target import FunctionPlace, PerfPlace, Shape, Target, TracepointPlace, UserPlace
from tracescope.export.c.program import Program
from tracescope.model import EventFormat, ProbeKind

__all__ = ("attach_lines", "tracepoint_line")


def attach_lines(made: list[Program]) -> Iterator[str]:
    """Those of the probes' programs, in the order in which they are to run."""
    for one in made:
        if one.entry and one.target.end:
            # First the end: a call that is seen to begin is seen to end.
            yield from _attach_one(one.target.end, one.function)
            yield from _attach_one(one.target, one.entry)
        else:
            yield from _attach_one(one.target, one.function)


def tracepoint_line(format_: EventFormat, function: str) -> str:
    """The line for one tracepoint and its program."""
    return f'b.attach_tracepoint(tp="{format_.group}:{format_.name}", fn_name="{function}")'


def _attach_one(target: Target, function: str) -> Iterator[str]:
    match target.place:
        case TracepointPlace(name) if target.shape is Shape.WORDS:
            yield f"b.attach_raw_tracepoint(tp={name!a}, fn_name={function!a})"
        case TracepointPlace():
            yield f"b.attach_tracepoint(tp={f'{target.format.group}:{target.format.name}'!a}, fn_name={function!a})"
        case FunctionPlace(name, _, offset) if target.kind in (ProbeKind.KPROBE, ProbeKind.KRETPROBE):
            where = f", event_off={offset}" if offset else ""
            yield f"b.attach_{target.kind}(event={name!a}{where}, fn_name={function!a})"
        case FunctionPlace():
            yield f"pass  # BCC attaches {function} by its name"
        case UserPlace(path, sites, pid):
            returns = target.kind is ProbeKind.URETPROBE
            for site in sites:
                yield (
                    f"attach_user(b, {os.fsencode(path)!r}, {site.offset:#x}, {site.semaphore:#x}, "
                    f"{function!a}, {returns}, {pid})"
                )
        case PerfPlace(type_, config, period, frequency, one_cpu):
            every = f"sample_freq={frequency}" if frequency else f"sample_period={period}"
            cpu = ", cpu=0" if one_cpu else ""
            yield f"b.attach_perf_event(ev_type={type_}, ev_config={config:#x}, fn_name={function!a}, {every}{cpu})"
