"""The table at one moment: its groups added up by program, by who spawned them, and by cgroup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tracescope.processes.groups import OWN_STARTS
from tracescope.processes.table import ProcessTable
from tracescope.processes.tally import Group, Tally

__all__ = ("Parent", "Sum", "View")

_MINUTE = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Parent:
    """Who spawned: `pid` and what it runs; the program is empty when nothing but the pid is known."""

    serial: int
    pid: int
    program: str
    there_before: bool


class Sum:
    """Groups added up: everything, and the window."""

    def __init__(self) -> None:
        self.total = Tally()
        self.window = Tally()
        self.alive = 0

    def add(self, group: Group, generation: int) -> None:
        """Add a group; the window is this generation and the one before."""
        for tally in group.tallies():
            self.total.merge(tally)
        for tally in group.window(generation):
            self.window.merge(tally)
        self.alive += group.alive


class View:
    """The table at one moment, with what all parts of the summary need."""

    def __init__(self, table: ProcessTable, now_ns: int) -> None:
        self.table = table
        self.now_ns = now_ns
        self.generation = now_ns // table.half_ns
        begin = max(table.begin_ns or 0, (self.generation - 1) * table.half_ns)
        self.window_ns = max(now_ns - begin, 0)
        self.all = Sum()
        self.programs: dict[str, Sum] = defaultdict(Sum)
        self.origins: dict[str, dict[int | None, Sum]] = defaultdict(lambda: defaultdict(Sum))
        """By program, then by the serial of the spawner."""
        self.cgroups: dict[tuple[str, int | None], Sum] = defaultdict(Sum)
        for group in table.groups:
            own = group.starts >= OWN_STARTS
            spawner = table.process(group.parent) if own else table.spawner(group.parent, now_ns)
            serial = spawner.serial if spawner else None
            sums = (
                self.all,
                self.programs[group.program],
                self.origins[group.program][serial],
                self.cgroups[group.program, group.cgroup_id],
            )
            for one in sums:
                one.add(group, self.generation)

    def starts_from(self) -> Iterator[tuple[str, int | None, Sum]]:
        """Each program and spawner, with what came of them."""
        for program, origins in self.origins.items():
            for serial, found in origins.items():
                yield program, serial, found

    def rate(self, count: int) -> float:
        """So many in the window, as a rate a minute."""
        return count * _MINUTE / self.window_ns if self.window_ns else 0.0

    def cpu_share(self, cpu_ns: int) -> float | None:
        """CPU time of the window as a share of what the machine has; None when its CPUs are not known."""
        if not self.table.ncpus or not self.window_ns:
            return None
        return cpu_ns / (self.window_ns * self.table.ncpus)

    def parent(self, serial: int | None) -> Parent | None:
        """The spawner with this serial; None when it is forgotten."""
        process = self.table.process(serial)
        if process is None:
            return None
        return Parent(process.serial, process.pid, process.program, process.there_before)
