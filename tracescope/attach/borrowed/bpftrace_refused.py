"""What bpftrace's errors say of a script of ours: which fields and which probes it refuses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tracescope.attach.borrowed.bpftrace_words import names_of
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import PlannedProbe

__all__ = ("Refusals", "merged", "refusals_in")

Refusals = Mapping[int, Mapping[str, str]]
"""By the probe's index the reasons, by field; the field "" stands for the whole probe."""
_PLACE = re.compile(r":(?:\d+-)?(\d+)(?::(\d+)-(\d+))?: ERROR: (.*)")
_ERROR = re.compile(r"ERROR: (.*)")


def refusals_in(log: str, text: str, plan: Plan) -> dict[int, dict[str, str]]:
    """What was refused of the script `text`, from what bpftrace wrote to its standard error; empty: nobody knows.

    An error names a place in the script (FILE:LINE:FROM-TO), or the tracepoint. An error about a field that the script
    can do without concerns that field alone.
    """
    lines = text.split("\n")
    found: dict[int, dict[str, str]] = {}
    for said in log.splitlines():
        error = _ERROR.search(said)
        if error is None:
            continue
        place = _PLACE.search(said)
        at = int(place[1]) if place else 0
        line = lines[at - 1] if 0 < at <= len(lines) else ""
        part = line[int(place[2]) - 1 : int(place[3])] if place and place[2] else ""
        for probe in plan.probes:
            names = set(_names(probe))
            if any(_names_it(error[1], name) for name in names) or (
                not _any_named(error[1], plan) and any(line.startswith(name) for name in names)
            ):
                field = next((one for one in _fields(probe) if _is_about(one, error[1], part)), "")
                found.setdefault(probe.index, {}).setdefault(field, error[1].strip())
    return found


def merged(one: Refusals, other: Refusals) -> dict[int, dict[str, str]]:
    """Both together; where the same is refused, the first reason."""
    return {index: {**other.get(index, {}), **one.get(index, {})} for index in sorted({*one, *other})}


def _names(probe: PlannedProbe) -> Iterator[str]:
    yield from names_of(probe.target)
    if probe.end is not None:
        yield from names_of(probe.end)


def _any_named(error: str, plan: Plan) -> bool:
    return any(_names_it(error, name) for probe in plan.probes for name in _names(probe))


def _names_it(error: str, name: str) -> bool:
    event = re.escape(name.removeprefix("tracepoint:"))
    return re.search(rf"(?<![\w.:-])(?:tracepoint:)?{event}(?![\w.-])", error) is not None


def _fields(probe: PlannedProbe) -> Iterator[str]:
    return (layout.field.name for layout in probe.fields)


def _is_about(field: str, error: str, part: str) -> bool:
    """An error quotes the field, or its place is one where the script reads the field and nothing else."""
    if f"'{field}'" in error:
        return True
    return re.search(rf"args(?:\.|->){re.escape(field)}\b", part) is not None and len(re.findall("args", part)) == 1
