"""What a host has, read from its lists of events and symbols by other means than the catalog's."""

from __future__ import annotations

from fnmatch import filter as matching

from tracescope.host import Host

SOFTWARE = frozenset({"context-switches", "cpu-migrations", "major-faults", "minor-faults", "page-faults"})
FUNCTION_KINDS = frozenset({"kprobe", "kretprobe", "fentry", "fexit"})


class KnownProbes:
    """Answers `has` for kernel probes: a function counts when kallsyms names it, a glob when any event matches."""

    def __init__(self, events: set[str], functions: set[str]) -> None:
        self.events = events
        self.functions = functions
        self.groups: dict[str, list[str]] = {}
        for event in sorted(events):
            group, name = event.split(":")
            self.groups.setdefault(name, []).append(group)

    @classmethod
    def of(cls, host: Host) -> KnownProbes:
        events = host.read(f"{host.tracefs}/available_events").decode().split()
        rows = (line.split() for line in host.read("/proc/kallsyms").decode().splitlines())
        return cls(set(events), {row[2] for row in rows if row[1] in "tTwW"})

    def __call__(self, probe: str) -> bool:
        kind, _, name = probe.partition(":")
        if kind == "tracepoint":
            return name in self.events or ("*" in name and bool(matching(self.events, name)))
        if kind == "rawtracepoint":
            return name in self.groups and self.groups[name] != ["syscalls"]
        if kind in FUNCTION_KINDS:
            return name.rpartition(":")[2] in self.functions
        return kind == "software" and name in SOFTWARE
