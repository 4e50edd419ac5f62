"""perf's events by name: their kinds, and what perf_event_open(2) takes for them.

Source: tools/perf/util/parse-events.c. Numbers: include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("PerfEvent", "config_of", "kind_of", "names_of")


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """A row of perf's list; `unit` is the PMU, empty where perf does not name it.

    `kind` is hardware, software, cache, tracepoint, pmu, tool, raw, breakpoint, sdt, metric or metricgroup.
    """

    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    unit: str = ""


_TYPES = {
    "Hardware event": "hardware",
    "Software event": "software",
    "Hardware cache event": "cache",
    "Tracepoint event": "tracepoint",
    "Kernel PMU event": "pmu",
    "Tool event": "tool",
    "Raw hardware event descriptor": "raw",
    "Raw event descriptor": "raw",
    "Hardware breakpoint": "breakpoint",
    "SDT event": "sdt",
}
# perf 6.15 and later give these as PMUs, with their own names as the unit.
_UNITS = {"software", "tool", "tracepoint", "breakpoint"}

_PERF_TYPES = {"hardware": 0, "software": 1, "cache": 3}
_HARDWARE = {
    name: number
    for number, names in enumerate(
        (
            "cpu-cycles cycles",
            "instructions",
            "cache-references",
            "cache-misses",
            "branch-instructions branches",
            "branch-misses",
            "bus-cycles",
            "stalled-cycles-frontend idle-cycles-frontend",
            "stalled-cycles-backend idle-cycles-backend",
            "ref-cycles",
        )
    )
    for name in names.split()
}
_SOFTWARE = {
    name: number
    for number, names in enumerate(
        (
            "cpu-clock",
            "task-clock",
            "page-faults faults",
            "context-switches cs",
            "cpu-migrations migrations",
            "minor-faults",
            "major-faults",
            "alignment-faults",
            "emulation-faults",
            "dummy",
            "bpf-output",
            "cgroup-switches",
        )
    )
    for name in names.split()
}
_CACHE = {
    f"{cache}-{singular}-misses" if missed else f"{cache}-{plural}": number | operation << 8 | missed << 16
    for number, cache in enumerate(("l1-dcache", "l1-icache", "llc", "dtlb", "itlb", "branch", "node"))
    for operation, (singular, plural) in enumerate((("load", "loads"), ("store", "stores"), ("prefetch", "prefetches")))
    for missed in (0, 1)
}
# In lower case: perf takes these names in any.
_CONFIGS = {"hardware": _HARDWARE, "software": _SOFTWARE, "cache": _CACHE}


def config_of(event: PerfEvent) -> tuple[int, int] | None:
    """The (type, config) of perf_event_open for a hardware, software or cache event; None for the others."""
    configs = _CONFIGS.get(event.kind, {})
    for name in (event.name.lower(), *event.aliases):
        if name in configs:
            return _PERF_TYPES[event.kind], configs[name]
    return None


def names_of(kind: str) -> list[str]:
    """The names, in lower case, of the hardware, software or cache events that `config_of` knows."""
    return list(_CONFIGS.get(kind, {}))


def kind_of(name: str, type_text: str, unit: str, *, topic: bool) -> str:
    """The kind from perf's own words; under a topic (`legacy hardware`, `cache`) later perfs leave it to the name."""
    kind = _TYPES.get(type_text, "pmu")
    if kind != "pmu":
        return kind
    if unit in _UNITS:
        return unit
    if name.startswith("sdt_"):
        return "sdt"
    if not topic:
        return "pmu"
    return next((kind for kind, configs in _CONFIGS.items() if name.lower() in configs), "pmu")
