"""A session on the kernel's own trace buffers: no compiler and no BPF, an instance of our own in tracefs.

Tracepoints, and functions as events that are defined for the session. A record names its task by number alone:
processes, parents and names come from /proc at the start and from the kernel's own events after it. Of memory that an
argument points to the record has nothing, but for the file of an execve that succeeded (sched_process_exec), and the
texts that newer kernels copy (`__filename_val`).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import count
from operator import itemgetter
from typing import ClassVar

from tracescope.attach.borrowed.kernel_filter import kernel_filter
from tracescope.attach.borrowed.running import running_tasks
from tracescope.attach.borrowed.session import BorrowedSession
from tracescope.attach.borrowed.tasks import Tasks
from tracescope.attach.borrowed.tracefs_events import Events, Traced, event_of
from tracescope.attach.borrowed.tracefs_functions import define, definition, is_dynamic, remove, remove_left_events
from tracescope.attach.life import SessionState
from tracescope.attach.plan import Filters, Plan
from tracescope.attach.ready import read_formats
from tracescope.attach.record.layout import HEADER
from tracescope.attach.targets.target import Target, UserPlace
from tracescope.attach.tracefs.instance import TracefsInstance
from tracescope.errors import AttachError, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources.btf import Btf

__all__ = ("TASK_EVENTS", "TracefsSession")

TASK_EVENTS = ("task:task_newtask", "task:task_rename", "sched:sched_process_exec", "sched:sched_process_exit")
"""The events that tell who the tasks are."""
_PAUSE = 0.02
_ROUNDS = 10
# So much is read of a CPU before others have a turn; who traces a flood loses events, not the machine.
_PAGES, _TURN, _BEHIND = 32, 256, 0.002
# So long what the buffers still hold is read at the end; the rest is counted as lost. Seconds.
_LAST_EVENTS = 2.0
# The buffers of all CPUs together, and of one.
_TOTAL_KB, _MOST_KB, _LEAST_KB = 65536, 2048, 256


class TracefsSession(BorrowedSession):
    """`helpers` are the formats of `TASK_EVENTS` and of the ends of execve; `formats` those of the probes' events."""

    BACKEND: ClassVar = "tracefs"

    def __init__(
        self, host: Host, plan: Plan, where: str, btf: Btf | None, *, formats: Mapping[str, EventFormat],
        helpers: Mapping[str, EventFormat], buffer: int,
    ) -> None:  # fmt: skip
        super().__init__(plan, where, btf, buffer=buffer)
        self._host = host
        self._helpers = helpers
        self._tasks = Tasks()
        self._formats = dict(formats)
        self._filters = {
            probe.index: kernel_filter(typed, probe, plan.filters)
            for probe, typed in zip(plan.probes, self.typed, strict=True)
        }
        ends = [(probe, end) for probe in plan.probes for end in (probe.target, probe.end) if end]
        defined = [definition(end) for _, end in ends if is_dynamic(end)]
        lines = [f"{event_of(end)}  {self._filters[probe.index] or 'no filter'}" for probe, end in ends]
        self.program_text = "\n".join([*defined, "# events of the instance, each with its filter", *lines, ""])
        self._comms = {name.encode("utf-8", "surrogateescape") for name in plan.filters.comm}
        self._instances: tuple[TracefsInstance, ...] = ()
        self._unread = 0
        self._later: list[tuple[int, bool, int, bytes]] = []

    def _run(self, enter: Callable[[SessionState], None]) -> None:
        enter(SessionState.LOAD)
        cpus = os.cpu_count() or 1
        size = max(_LEAST_KB, min(_MOST_KB, _TOTAL_KB // cpus))
        with ExitStack() as undo:
            # The tasks in one of their own: the kernel's filter by task holds for all events of an instance.
            tasks, probes = (
                undo.enter_context(TracefsInstance.create(self._host, kilobytes=size, overwrite=False))
                for size in (_LEAST_KB, size)
            )
            self._instances = (tasks, probes)
            remove_left_events(self._host)
            self._define(undo, probes)
            if self._stop.is_set():
                return
            enter(SessionState.ATTACH)
            self._attach(tasks, probes)
            enter(SessionState.RUN)
            self._settled.set()
            rounds, calm = count(1), True
            while not self._stop.wait(_PAUSE if calm else _BEHIND):
                calm = not self._read()
                if next(rounds) % _ROUNDS == 0:
                    self._count_lost()
            enter(SessionState.DETACH)
            probes.stop()
            tasks.stop()
            self._read_rest()
            self._count_lost()

    def _define(self, undo: ExitStack, instance: TracefsInstance) -> None:
        """The events of functions, which go after the instance that they are switched on in."""
        starts: dict[str, int] = {}
        for probe in self.plan.probes:
            try:
                for end in (probe.target, probe.end):
                    if end is not None and is_dynamic(end):
                        define(self._host, end)
                        undo.callback(self._take_back, instance, end)
                        event = event_of(end)
                        self._formats[event], starts[event] = self._defined(end)
            except AttachError as error:
                self.failed.append((probe, error))
        gone = {id(probe) for probe, _ in self.failed}
        if len(gone) == len(self.plan.probes):
            raise self.failed[0][1]
        probes = [probe for probe in self.plan.probes if id(probe) not in gone]
        tree = bool(self.plan.filters.tree)
        self._events_of = Events(probes, self._formats, self._helpers, self._tasks, tree=tree, starts=starts)

    def _defined(self, target: Target) -> tuple[EventFormat, int]:
        """The event's number and whose it is from the kernel; its own words, and where they begin."""
        event = event_of(target)
        found = read_formats(self._host, (event,)).get(event)
        if found is None:
            raise AttachError(f"{target.probe} cannot be attached", "its new event has no format")
        # `__probe_ip` alone, or `__probe_func` and `__probe_ret_ip`.
        start = max((one.offset + one.size for one in found.fields if one.name.startswith("__probe_")), default=8)
        return replace(target.format, id=found.id, common=found.common), start

    def _take_back(self, instance: TracefsInstance, target: Target) -> None:
        with suppress(TraceScopeError):
            instance.disable(event_of(target))
        with suppress(TraceScopeError):
            remove(self._host, target)

    def _attach(self, tasks: TracefsInstance, instance: TracefsInstance) -> None:
        """First those events that tell who is who, then /proc, then the probes: so nobody is unknown."""
        for event in self._helpers:
            tasks.enable(event)
        tasks.start()
        followed = self._choose_tasks(instance)
        for tid, task in running_tasks(self._host):
            task.followed = tid in followed
            self._tasks.add(tid, task)
        instance.start()
        for traced in self._events_of.traced:
            self._enable(instance, traced)
        if len(self.failed) == len(self.plan.probes):
            raise self.failed[0][1]

    def _enable(self, instance: TracefsInstance, traced: Traced) -> None:
        probe, expression = traced.probe, self._filters[traced.probe.index]
        try:
            if expression:
                instance.set_filter(traced.event, expression)
            instance.enable(traced.event)
        except TraceScopeError as error:
            if all(probe is not failed for failed, _ in self.failed):
                self.failed.append(
                    (probe, AttachError(f"{traced.event} cannot be switched on", error.why or error.what))
                )

    def _choose_tasks(self, instance: TracefsInstance) -> set[int]:
        """Let the kernel leave out what cannot be wanted; what is left is looked at once more here.

        The threads of the trees that are followed, as they are now.
        """
        filters = self.plan.filters
        if filters.tree:
            return instance.trace_trees(filters.tree)
        if filters.pid:
            threads = {int(name) for pid in filters.pid for name in _names(self._host, f"/proc/{pid}/task")}
            # Threads and processes that they start are added by the kernel: the processes are left out here.
            instance.trace_threads(threads or filters.pid, follow=True)
        elif filters.tid:
            instance.trace_threads(filters.tid)
        else:
            # The calls that read the trace would be traced, and read, and traced again.
            instance.leave_out_threads(int(name) for name in _names(self._host, "/proc/self/task"))
        return set()

    def _read(self) -> bool:
        """What was written before now, in the order of time over all CPUs; true when there is more."""
        until, behind = time.clock_gettime_ns(time.CLOCK_MONOTONIC), False
        found = self._later
        for helps, instance in zip((True, False), self._instances, strict=True):
            pages: Counter[int] = Counter()
            # On many CPUs a turn is no longer.
            limit = max(1, min(_PAGES, _TURN // len(instance.reader.cpus)))
            for cpu, page in instance.reader.read(limit):
                found += [(moment, helps, cpu, data) for moment, data in page.records]
                pages[cpu] += 1
                if pages[cpu] == limit and page.records:
                    # What comes behind this on its CPU was not read yet.
                    until, behind = min(until, page.records[-1][0]), True
        found.sort(key=itemgetter(0))
        cut = next((at for at, one in enumerate(found) if one[0] >= until), len(found))
        self._later = found[cut:]
        self._hand_over(found[:cut])
        return behind

    def _read_rest(self) -> None:
        """What is left when nothing is written any more: no more than the buffers hold, and not for ever."""
        end = time.monotonic() + _LAST_EVENTS
        while (more := self._read()) and time.monotonic() < end:
            pass
        self._hand_over(self._later)
        self._later = []
        self._put(list(self._events_of.rest()), self._wanted)
        if more:
            self._unread = sum(stats.waiting for stats in self._instances[-1].reader.stats().values())

    def _hand_over(self, found: Sequence[tuple[int, bool, int, bytes]]) -> None:
        self._put([made for one in found for made in self._events_of.records(*one)], self._wanted)

    def _count_lost(self) -> None:
        """What a full buffer had no room for; without the tasks' own it is not known who somebody is."""
        lost = sum(stats.lost for one in self._instances for stats in one.reader.stats().values())
        self._lost = lost + self._unread

    def _wanted(self, record: bytes) -> bool:
        filters: Filters = self.plan.filters
        _, _, number, pid, tid, _, _, comm = HEADER.unpack_from(record)
        place = self.plan.probes[number].target.place
        return (
            (not isinstance(place, UserPlace) or place.pid in (-1, pid))
            and (not filters.pid or pid in filters.pid)
            and (not filters.tid or tid in filters.tid)
            and pid not in filters.but_not
            and (not filters.comm or comm.partition(b"\0")[0] in self._comms)
        )


def _names(host: Host, folder: str) -> Sequence[str]:
    try:
        return [name for name in host.names(folder) if name.isdecimal()]
    except TraceScopeError:
        return ()
