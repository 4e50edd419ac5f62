"""What the processes add up to: by program, by spawner, and the loops.

Rates and shares are those of the window (the last half to whole minute by default, less at the beginning); counts are
totals. CPU time is counted when a process ends, whole, for the program that it ran last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracescope.processes.groups import OTHERS
from tracescope.processes.table import ProcessTable
from tracescope.processes.tally import quantile
from tracescope.processes.view import Parent, Sum, View

__all__ = ("Loop", "ProgramSummary", "Spawner", "Summary", "summarize")

_SETTLED_NS = 2_000_000_000
# A service that fails five times within the window is in a loop; what ends well has to come much more often.
_FAILING_STARTS = 5
_LOOP_STARTS = 20
_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Spawner:
    """A process and what it started: itself, and with all that came of it."""

    parent: Parent
    children: int
    children_per_minute: float
    descendants: int
    descendants_per_minute: float


@dataclass(frozen=True, slots=True)
class Loop:
    """One program started again and again, from one parent or within one cgroup, living short."""

    program: str
    parent: Parent | None
    cgroup_id: int | None
    starts: int
    """Within the window."""
    starts_per_minute: float
    parent_share: float
    """Which part of all starts of this program came from here."""
    direct: bool
    """Spawned by the parent itself, with no short-lived process (a shell) in between."""
    median_life_ns: int
    exit_words: str
    """How most of them ended."""
    share: float
    """How many of them ended so."""
    failing: bool
    cpu_share: float | None


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """One program. The cpu shares are the window's: of the machine (None: its CPUs are not known), and of all seen."""

    program: str
    starts: int
    forks: int
    recent_starts: int
    starts_per_minute: float
    failures: int
    alive: int
    ended: int
    short_lived: int
    cpu_ns: int
    cpu_share: float | None
    seen_share: float
    median_life_ns: int | None
    p95_life_ns: int | None
    exits: tuple[tuple[str, int], ...]
    """How they ended, most frequent first."""
    parents: tuple[tuple[Parent | None, int], ...]
    """Who started them, most starts first."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything at one moment. `window_ns` is what the rates were measured over."""

    now_ns: int
    window_ns: int
    starts: int
    recent_starts: int
    starts_per_minute: float
    failures: int
    alive: int
    short_lived: int
    cpu_ns: int
    cpu_share: float | None
    programs: tuple[ProgramSummary, ...]
    """Most CPU of late first, then most starts."""
    spawners: tuple[Spawner, ...]
    """Most descendants a minute first."""
    loops: tuple[Loop, ...]
    """Most CPU first, then most starts."""

    @property
    def settled(self) -> bool:
        """Whether the window is long enough for rates to say something."""
        return self.window_ns >= _SETTLED_NS


def summarize(table: ProcessTable, now_ns: int | None = None) -> Summary:
    """What the table knows, at a time of day; by itself the time of its latest event."""
    view = View(table, table.now_ns if now_ns is None else now_ns)
    total, window = view.all.total, view.all.window
    programs = [_program(view, name, found) for name, found in view.programs.items() if _is_of_interest(found)]
    programs.sort(
        key=lambda row: (row.program == OTHERS, -row.seen_share, -row.recent_starts, -row.starts, row.program)
    )
    return Summary(
        now_ns=view.now_ns,
        window_ns=view.window_ns,
        starts=total.starts,
        recent_starts=window.starts,
        starts_per_minute=view.rate(window.starts),
        failures=total.failures,
        alive=view.all.alive,
        short_lived=total.short,
        cpu_ns=total.cpu_ns,
        cpu_share=view.cpu_share(window.window_cpu_ns),
        programs=tuple(programs),
        spawners=tuple(_spawners(view)),
        loops=tuple(_loops(view)),
    )


def _is_of_interest(found: Sum) -> bool:
    """A program that only sits there since before the tracing began is none."""
    return bool(found.total.starts or found.total.ends or found.total.failures)


def _most_first(counts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((words, count) for words, count in counts if count > 0), key=lambda row: (-row[1], row[0])))


def _program(view: View, name: str, found: Sum) -> ProgramSummary:
    total, window = found.total, found.window
    all_cpu = view.all.window.window_cpu_ns
    origins = [(serial, one.total.starts) for serial, one in view.origins[name].items()]
    return ProgramSummary(
        program=name,
        starts=total.starts,
        forks=total.forks,
        recent_starts=window.starts,
        starts_per_minute=view.rate(window.starts),
        failures=total.failures,
        alive=found.alive,
        ended=total.ends,
        short_lived=total.short,
        cpu_ns=total.cpu_ns,
        cpu_share=view.cpu_share(window.window_cpu_ns),
        seen_share=window.window_cpu_ns / all_cpu if all_cpu else 0.0,
        median_life_ns=quantile(total.lives, 0.5),
        p95_life_ns=quantile(total.lives, 0.95),
        exits=_most_first(total.exits.items()),
        parents=tuple(
            (view.parent(serial), starts) for serial, starts in sorted(origins, key=lambda row: -row[1]) if starts
        ),
    )


def _spawners(view: View) -> list[Spawner]:
    """Each process that started others: a child is direct when no short-lived process stood between."""
    counts: dict[int, list[int]] = {}
    for _, serial, found in view.starts_from():
        process = view.table.process(serial)
        if process is None or not found.total.starts:
            continue
        line = [process, *view.table.ancestors(process)]
        for depth, ancestor in enumerate(line):
            row = counts.setdefault(ancestor.serial, [0, 0, 0, 0])
            if depth == 0:
                row[0] += found.total.starts - found.total.through
                row[1] += found.window.starts - found.window.through
            row[2] += found.total.starts
            row[3] += found.window.starts
    found_spawners = []
    for serial, (children, recent, descendants, recent_descendants) in counts.items():
        parent = view.parent(serial)
        if parent and children:
            rates = view.rate(recent), view.rate(recent_descendants)
            found_spawners.append(Spawner(parent, children, rates[0], descendants, rates[1]))
    return sorted(found_spawners, key=lambda row: (-row.children_per_minute, -row.descendants, row.parent.pid))


def _loops(view: View) -> list[Loop]:
    loops = []
    for program, serial, found in view.starts_from():
        loop = _loop(view, program, found, view.parent(serial), None)
        if loop:
            loops.append(loop)
    # The same service started by another parent each time (a shim, a supervisor that forks) stays in its cgroup.
    named = {loop.program for loop in loops}
    for (program, cgroup_id), found in view.cgroups.items():
        if program not in named and cgroup_id is not None:
            loop = _loop(view, program, found, None, cgroup_id)
            if loop:
                loops.append(loop)
    return sorted(loops, key=lambda loop: (-(loop.cpu_share or 0), -loop.starts, loop.program))


def _loop(view: View, program: str, found: Sum, parent: Parent | None, cgroup_id: int | None) -> Loop | None:
    """The loop that these starts are, if they are one."""
    window = found.window
    life = quantile(window.lives, 0.5)
    exits = _most_first(window.exits.items())
    if program == OTHERS or (parent is None and cgroup_id is None) or life is None or not exits:
        return None
    if life >= view.table.short_lived_ns or window.starts < _FAILING_STARTS:
        return None
    failed = sum(count for words, count in exits if words != "exit 0")
    failing = failed >= _MOST * window.ends
    again = window.forks + window.repeats
    if not failing and (window.starts < _LOOP_STARTS or again < _MOST * window.starts):
        return None
    words, count = exits[0]
    all_starts = view.programs[program].window.starts
    return Loop(
        program=program,
        parent=parent,
        cgroup_id=cgroup_id,
        starts=window.starts,
        starts_per_minute=view.rate(window.starts),
        parent_share=window.starts / all_starts,
        direct=window.through == 0,
        median_life_ns=life,
        exit_words=words,
        share=count / window.ends,
        failing=failing,
        cpu_share=view.cpu_share(window.window_cpu_ns),
    )
