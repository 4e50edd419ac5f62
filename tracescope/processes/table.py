"""Events to processes: who is there, who spawned whom, what each did, in bounded memory.

Events may come a little out of order and from any CPU: a process is known by its pid and start time, and without a
start time by its pid and the time. Pure: no kernel, no /proc, no clock.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from math import inf

from tracescope.processes.events import ExecEvent, ExecFailed, ExitEvent, ForkEvent, ProcessEvent
from tracescope.processes.failures import FailedExec, Walks
from tracescope.processes.groups import OWN_STARTS, Groups
from tracescope.processes.process import Process, program_of
from tracescope.processes.roll import Roll
from tracescope.processes.tally import Group
from tracescope.processes.words import exit_words

__all__ = ("ProcessTable",)

_SECOND = 1_000_000_000
_UNKNOWN = "(unknown)"
_MAX_LIFE = 1 << 62
_MAX_DEPTH = 256
_MAX_SECONDS = 600
_KEEP_FAILED = 2000
# Arguments can be long: the number of processes alone would not bound memory.
_KEEP_BYTES = 64 << 20


class ProcessTable:
    """All processes that are alive, the latest `keep` that are dead, and sums over those that are forgotten.

    The living are bounded by the kernel's pid_max: a pid that comes again ends whoever had it before.
    """

    def __init__(
        self,
        *,
        short_lived_ns: int = _SECOND,
        keep: int = 50_000,
        window_ns: int = 60 * _SECOND,
        ncpus: int | None = None,
        begin_ns: int | None = None,
        max_groups: int = 10_000,
    ) -> None:
        self.short_lived_ns = short_lived_ns
        self.ncpus = ncpus
        self.begin_ns = begin_ns
        """When the tracing began, in time of day; by itself the time of the first event."""
        self.now_ns = begin_ns or 0
        self.half_ns = max(window_ns // 2, 1)
        self.events = 0
        self.starts_by_second: dict[int, int] = defaultdict(int)
        """Execs in each second of the time of day, the latest ten minutes."""
        self.groups = Groups(max_groups)
        self._keep = keep
        self._walks = Walks(_KEEP_FAILED)
        self._roll = Roll(self._ended)
        self._dead: deque[tuple[Process, int]] = deque()
        self._dead_bytes = 0
        self._handlers: dict[type, Callable[..., None]] = {
            ForkEvent: self._fork,
            ExecEvent: self._exec,
            ExecFailed: self._exec_failed,
            ExitEvent: self._exit,
        }

    def add(self, event: ProcessEvent) -> None:
        """Take one event."""
        self.events += 1
        time_ns = event.time_ns
        if time_ns > self.now_ns:
            self.now_ns = time_ns
        if self.begin_ns is None:
            self.begin_ns = time_ns
        self._handlers[type(event)](event)

    def known(self, pid: int, start_ns: int | None, comm: str, exe: str | None = None, ppid: int | None = None) -> None:
        """Tell of a process that was found in /proc; what events said of it before stays."""
        process = self._roll.by_pid.get(pid)
        if process is None:
            process = self._roll.new(pid, None, self.now_ns)
        elif process.runs or process.forked:
            return
        process.there_before = True
        process.about_ns = start_ns
        process.comm, process.program = comm, exe or comm
        if process.parent is None and ppid:
            process.ppid, process.parent = ppid, self._roll.parent(ppid, None, self.now_ns).serial
        self._move(process, self._group(process.program, process))

    # What is in the table.

    def __iter__(self) -> Iterator[Process]:
        """The processes that are kept, dead and alive, oldest first."""
        return iter(self._roll.by_serial.values())

    def __len__(self) -> int:
        return len(self._roll.by_serial)

    @property
    def failed(self) -> deque[FailedExec]:
        """The latest failed execs, a walk along PATH as one."""
        return self._walks.rows

    def find(self, pid: int) -> Process | None:
        """The process that has this pid, or had it last."""
        return self._roll.by_pid.get(pid)

    def process(self, serial: int | None) -> Process | None:
        """A process by its serial number, as `Process.parent` has it; None when it is forgotten."""
        return None if serial is None else self._roll.by_serial.get(serial)

    def ancestors(self, process: Process) -> list[Process]:
        """Who spawned it, and who spawned that, nearest first."""
        found: list[Process] = []
        parent = self.process(process.parent)
        while parent is not None and len(found) < _MAX_DEPTH:
            found.append(parent)
            parent = self.process(parent.parent)
        return found

    def children(self) -> dict[int | None, list[Process]]:
        """The kept processes by the serial of their parent: the whole tree; None has those without one."""
        found: dict[int | None, list[Process]] = {}
        for process in self._roll.by_serial.values():
            parent = process.parent if process.parent in self._roll.by_serial else None
            found.setdefault(parent, []).append(process)
        return found

    def spawner(self, serial: int | None, now_ns: int) -> Process | None:
        """The nearest of this process and its ancestors that is not itself short-lived so far."""
        process = self.process(serial)
        for _ in range(_MAX_DEPTH):
            if process is None or process.there_before or process.parent is None:
                break
            age = process.age_ns(now_ns)
            if age is None or age >= self.short_lived_ns:
                break
            process = self.process(process.parent)
        return process

    # The four events.

    def _fork(self, event: ForkEvent) -> None:
        process = self._roll.of(event)
        if process.forked:
            return
        if process.end is not None:
            self._count_end(process, process.end, -1)
        process.forked, process.there_before = True, False
        if event.time_ns < process.first_ns:
            process.first_ns = event.time_ns
        if process.end is not None:
            process.life_ns = self._life(process, process.end)
            self._count_end(process, process.end, 1)
        parent = self._roll.by_serial.get(process.parent or 0)
        if parent is not None and not parent.program:
            # All that is known of a parent that was there before: at a fork both have one name.
            parent.program = event.comm or ""
        if process.group is None and not process.program:
            process.program = (parent.program if parent else event.comm) or _UNKNOWN
            self._move(process, self._group(process.program, process))

    def _exec(self, event: ExecEvent) -> None:
        process = self._roll.of(event)
        if event.pid in self._walks.open:
            self._lost_walks(self._walks.succeed(event), process)
        by_second = self.starts_by_second
        by_second[event.time_ns // _SECOND] += 1
        if len(by_second) > _MAX_SECONDS:
            del by_second[min(by_second)]
        program = program_of(event)
        group = self.groups.get(program, process.parent, process.cgroup_id)
        tally = group.at(event.time_ns // self.half_ns)
        tally.starts += 1
        arguments = hash(event.argv)
        if arguments in group.seen:
            tally.repeats += 1
        else:
            group.seen = (arguments, *group.seen[:3])
        if process.ran(event):
            process.program = program
            self._move(process, group)

    def _exec_failed(self, event: ExecFailed) -> None:
        process = self._roll.of(event)
        if process.group is None:
            process.program = process.program or event.comm or _UNKNOWN
            self._move(process, self._group(process.program, process))
        failed = self._walks.fail(event)
        if failed:
            self._lost_walks(failed, process)

    def _exit(self, event: ExitEvent) -> None:
        process = self._roll.of(event)
        if process.end is not None:
            return
        if not (process.runs or process.forked):
            process.there_before = True
        process.program = process.program or event.comm or _UNKNOWN
        process.end = event
        process.cpu_ns = event.cpu_ns or 0
        process.life_ns = self._life(process, event)
        process.window_cpu_ns = self._cpu_in_window(process, event)
        self._ended(process, event.time_ns)
        if event.pid in self._walks.open:
            self._lost_walks(self._walks.end(event.pid), process)

    # Counting.

    def _life(self, process: Process, event: ExitEvent) -> int | None:
        life = event.lifetime_ns
        if life is not None:
            return life if 0 <= life < _MAX_LIFE else max(min(life, _MAX_LIFE), 0)
        if process.runs:
            return max(event.time_ns - process.runs[-1].time_ns, 0)
        return max(event.time_ns - process.first_ns, 0) if process.forked else None

    def _cpu_in_window(self, process: Process, event: ExitEvent) -> int:
        """The part of the CPU time that fell into the window, taken as spread evenly over the life."""
        since = (event.time_ns // self.half_ns - 1) * self.half_ns
        if self.begin_ns is not None and self.begin_ns > since:
            since = self.begin_ns
        seen = event.time_ns - since if event.time_ns > since else 0
        life = event.age_ns or (process.life_ns if process.there_before else event.time_ns - process.first_ns)
        if life is None:
            return min(process.cpu_ns, seen * (self.ncpus or 1))
        return process.cpu_ns if life <= seen else process.cpu_ns * seen // life

    def _ended(self, process: Process, end_ns: int) -> None:
        """A process is over, by its exit or because another has its pid."""
        late = process.end_ns is not None
        process.end_ns = end_ns
        if process.group is not None and not late:
            self._group_of(process).alive -= 1
        if process.end is not None:
            self._count_end(process, process.end, 1)
        if late:
            return
        if process.life_ns is not None and process.life_ns < self.short_lived_ns:
            self._fold(process, OWN_STARTS)
        self._bury(process)

    def _count_end(self, process: Process, end: ExitEvent, sign: int) -> None:
        """Count how it ended, or take that back with `sign` -1."""
        life = process.life_ns
        tally = self._group_of(process).at(end.time_ns // self.half_ns)
        tally.end(sign, life, exit_words(end))
        tally.cpu_ns += sign * process.cpu_ns
        tally.window_cpu_ns += sign * process.window_cpu_ns
        if life is not None and life < self.short_lived_ns:
            tally.short += sign
        if process.forked and not process.execs:
            tally.starts += sign
            tally.forks += sign

    def _lost_walks(self, walks: list[FailedExec], process: Process) -> None:
        for walk in walks:
            group = self._group(walk.program, process)
            group.at(walk.first.time_ns // self.half_ns).failures += 1

    def _group(self, program: str, process: Process) -> Group:
        """The group for a program that this process runs."""
        return self.groups.get(program, process.parent, process.cgroup_id)

    def _group_of(self, process: Process) -> Group:
        group = process.group
        if group is None:
            group = self._group(process.program, process)
        while group.into is not None:
            group = group.into
        process.group = group
        return group

    def _move(self, process: Process, group: Group) -> None:
        """A process runs another program: it is alive there, or its end counts there."""
        end = process.end
        if process.end_ns is None:
            if process.group is not None:
                self._group_of(process).alive -= 1
            group.alive += 1
            process.group = group
        elif end is None:
            process.group = group
        else:
            execs, process.execs = process.execs, process.execs - 1
            self._count_end(process, end, -1)
            process.group, process.execs = group, execs
            process.life_ns = self._life(process, end)
            self._count_end(process, end, 1)

    def _fold(self, process: Process, below: float) -> None:
        """What a short-lived process spawned counts as its parent's: that one is who can be stopped."""
        if process.serial in self.groups.under:
            self.groups.fold(process.serial, process.parent if process.parent in self._roll.by_serial else None, below)

    def _bury(self, process: Process) -> None:
        size = process.argument_bytes
        self._dead.append((process, size))
        self._dead_bytes += size
        while len(self._dead) > self._keep or self._dead_bytes > _KEEP_BYTES:
            oldest, size = self._dead.popleft()
            self._dead_bytes -= size
            self._fold(oldest, inf)
            self._roll.forget(oldest)
