"""One process as far as its events tell: who made it, what it ran, how it ended."""

from __future__ import annotations

from bisect import insort

from tracescope.processes.events import ExecEvent, ExitEvent
from tracescope.processes.tally import Group
from tracescope.processes.words import exit_words

__all__ = ("Process", "program_of")

MAX_RUNS = 16


class Process:
    """One process. `serial` is its number in the table: pids come again, serials do not."""

    __slots__ = (
        "about_ns",
        "adopted_by",
        "argument_bytes",
        "cgroup_id",
        "comm",
        "cpu_ns",
        "end",
        "end_ns",
        "execs",
        "first_ns",
        "forked",
        "group",
        "life_ns",
        "ns_pid",
        "parent",
        "pid",
        "ppid",
        "program",
        "runs",
        "serial",
        "start_ns",
        "there_before",
        "uid",
        "window_cpu_ns",
    )

    def __init__(self, serial: int, pid: int, start_ns: int | None, first_ns: int) -> None:
        self.serial = serial
        self.pid = pid
        self.start_ns = start_ns
        self.about_ns: int | None = None
        """The start as /proc tells it: whole clock ticks."""
        self.first_ns = first_ns
        """The time of day of its first event."""
        self.parent: int | None = None
        """The serial of who forked it; stays when it is reparented."""
        self.ppid: int | None = None
        """The pid of who forked it."""
        self.adopted_by: int | None = None
        """The pid that became its parent when its own had ended."""
        self.there_before = False
        """It was there before the first event."""
        self.forked = False
        """Its fork was seen."""
        self.program = ""
        """The path of what it runs, as requested; at worst the command name; empty when nothing is known."""
        self.comm: str | None = None
        self.uid: int | None = None
        self.cgroup_id: int | None = None
        self.ns_pid: int | None = None
        self.runs: tuple[ExecEvent, ...] = ()
        """The programs it ran, in order; the latest 16."""
        self.execs = 0
        self.argument_bytes = 0
        self.end: ExitEvent | None = None
        self.end_ns: int | None = None
        """When it ended; without `end`: when at the latest, the exit itself was not seen."""
        self.life_ns: int | None = None
        """How long its last program ran, or without exec the process."""
        self.cpu_ns = 0
        self.window_cpu_ns = 0
        self.group: Group | None = None

    @property
    def alive(self) -> bool:
        """Not known to have ended."""
        return self.end_ns is None

    @property
    def exit_words(self) -> str:
        """How it ended: `exit 1`, `SIGSEGV core`; else `alive`."""
        return "alive" if self.alive else exit_words(self.end)

    @property
    def argv(self) -> tuple[str | None, ...] | None:
        """The arguments of what it runs; None when not known."""
        return self.runs[-1].argv if self.runs else None

    def ran(self, event: ExecEvent) -> bool:
        """Add a program; false if a later one is known already."""
        self.execs += 1
        try:
            self.argument_bytes += len("".join(event.argv or ()))  # type: ignore[arg-type]
        except TypeError:
            self.argument_bytes += len("".join(filter(None, event.argv or ())))
        if not self.runs or event.time_ns >= self.runs[-1].time_ns:
            self.runs = (*self.runs[1 - MAX_RUNS :], event) if self.runs else (event,)
            return True
        runs = list(self.runs)
        insort(runs, event, key=lambda run: run.time_ns)
        self.runs = tuple(runs[-MAX_RUNS:])
        return False

    def age_ns(self, now_ns: int) -> int | None:
        """How long its last program has run, or did; None for a process that was there before."""
        if not self.alive:
            return self.life_ns
        if self.runs:
            return max(now_ns - self.runs[-1].time_ns, 0)
        return max(now_ns - self.first_ns, 0) if self.forked else None


def program_of(event: ExecEvent) -> str:
    """What an exec runs: the path as requested when it is a whole one, else the best name there is."""
    path = event.filename
    if path and path.startswith("/") and not path.startswith("/dev/fd/"):
        return path
    if event.exe and not event.interpreter:
        return event.exe
    if path and not path.startswith("/dev/fd/"):
        return path
    return (event.argv and event.argv[0]) or event.comm or path or ""
