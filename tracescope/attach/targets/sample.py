"""Targets of perf's events and of timers: `software:page-faults:100`, `profile:hz:99`, `interval:s:1`."""

from __future__ import annotations

from tracescope.attach.kernel.samples import default_period, sampled_event
from tracescope.attach.targets.target import PerfPlace, Shape, Target, word_fields, words_format
from tracescope.errors import Refused
from tracescope.model import ProbeKind

__all__ = ("sample_target",)

_ROWS = (("ip", "void *", 8, False), ("period", "u64", 8, False), ("addr", "void *", 8, False))
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}
_CPU_CLOCK = (1, 0)


def sample_target(kind: ProbeKind, rest: str) -> Target:
    """The target of a name without its kind; the number behind it is the period. Raises Refused, AttachError."""
    name, _, number = rest.partition(":")
    if kind in (ProbeKind.PROFILE, ProbeKind.INTERVAL):
        place = _timer(kind, name, number)
    else:
        place = PerfPlace(*sampled_event(kind, name), period=_number(kind, rest, number) or default_period(kind, name))
    # Of other events nobody fills the address in.
    count = 3 if name.endswith("faults") else 2 if kind is not ProbeKind.INTERVAL else 1
    fields = word_fields(_ROWS[:count])
    return Target(kind, f"{kind}:{rest}", words_format(str(kind), name, fields), Shape.SAMPLE, place)


def _timer(kind: ProbeKind, unit: str, number: str) -> PerfPlace:
    every = _number(kind, f"{unit}:{number}", number)
    if not every or unit not in (*_NANOSECONDS, "hz"):
        example = "profile:hz:99" if kind is ProbeKind.PROFILE else "interval:s:1"
        raise Refused(f"{kind}:{unit}:{number} is no timer", "it takes hz, s, ms or us, and a number", example)
    if kind is ProbeKind.PROFILE and unit == "hz":
        return PerfPlace(*_CPU_CLOCK, frequency=every)
    period = 1_000_000_000 // every if unit == "hz" else every * _NANOSECONDS[unit]
    return PerfPlace(*_CPU_CLOCK, period=max(1, period), one_cpu=kind is ProbeKind.INTERVAL)


def _number(kind: ProbeKind, rest: str, number: str) -> int:
    if number and not (number.isascii() and number.isdecimal() and len(number) < 16):
        raise Refused(f"{kind}:{rest} is no probe", f"{number!r} is no number", f"{kind}:{rest.partition(':')[0]}:100")
    return int(number or 0)
