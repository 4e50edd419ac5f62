"""Which process an event is of: by pid and start time, and without a start time by pid and the order of things.

Events may come a little out of order and from any CPU, pids come again, and some processes were there before.
"""

from __future__ import annotations

from collections.abc import Callable

from tracescope.processes.events import ExecEvent, ForkEvent, ProcessEvent
from tracescope.processes.process import Process

__all__ = ("Roll",)

# /proc gives start times in ticks of 10 ms (USER_HZ is 100).
_TICK_NS = 20_000_000


class Roll:
    """All processes that are kept. `ended` is called for one that is known to be gone because another has its pid."""

    def __init__(self, ended: Callable[[Process, int], None]) -> None:
        self.by_serial: dict[int, Process] = {}
        self.by_pid: dict[int, Process] = {}
        self._by_key: dict[tuple[int, int], Process] = {}
        self._ended = ended
        self._serial = 0

    def of(self, event: ProcessEvent) -> Process:
        """The process of an event, made when it is new, with its parent and what the event says of it."""
        pid, start_ns, ppid = event.pid, event.start_ns, event.ppid
        process = self.by_pid.get(pid)
        if process is None or start_ns is None or process.start_ns != start_ns:
            process = self._find(process, event) or self.new(pid, start_ns, event.time_ns)
            if process.start_ns is None and start_ns is not None:
                process.start_ns = start_ns
                self._by_key[pid, start_ns] = process
        if ppid and ppid != process.ppid:
            self._link(process, event)
        # Exec changes the name and, of a setuid program, the user.
        if process.comm is None or type(event) is ExecEvent:
            process.comm = event.comm or process.comm
            process.uid = process.uid if event.uid is None else event.uid
            process.cgroup_id = event.cgroup_id or process.cgroup_id
            process.ns_pid = event.ns_pid or process.ns_pid
        return process

    def new(self, pid: int, start_ns: int | None, first_ns: int) -> Process:
        """Enter a process; whoever had its pid before is gone."""
        self._serial += 1
        process = Process(self._serial, pid, start_ns, first_ns)
        self.by_serial[process.serial] = process
        if start_ns is not None:
            self._by_key[pid, start_ns] = process
        old = self.by_pid.get(pid)
        if old is not None and start_ns is not None and old.start_ns is not None and start_ns < old.start_ns:
            # Something late of a process that is gone: its pid belongs to another already.
            self._ended(process, first_ns)
            return process
        if old is not None and old.alive:
            self._ended(old, first_ns)
        self.by_pid[pid] = process
        return process

    def parent(self, pid: int, start_ns: int | None, time_ns: int) -> Process:
        """The parent that an event names; made of nothing but its pid when it was not seen before."""
        process = self.by_pid.get(pid)
        if process is not None:
            if start_ns is not None and process.start_ns is not None and process.start_ns != start_ns:
                process = self._by_key.get((pid, start_ns))
            elif process.end_ns is not None and process.end_ns < time_ns:
                process = None
        if process is None:
            process = self.new(pid, start_ns, time_ns)
            process.there_before = True
        return process

    def forget(self, process: Process) -> None:
        """Strike a process off."""
        del self.by_serial[process.serial]
        if self.by_pid.get(process.pid) is process:
            del self.by_pid[process.pid]
        if process.start_ns is not None and self._by_key.get((process.pid, process.start_ns)) is process:
            del self._by_key[process.pid, process.start_ns]

    def _find(self, process: Process | None, event: ProcessEvent) -> Process | None:
        if process is None or self._is(process, event):
            return process
        return None if event.start_ns is None else self._by_key.get((event.pid, event.start_ns))

    def _is(self, process: Process, event: ProcessEvent) -> bool:
        """Whether the event is of this process, and not of another with the same pid."""
        start = event.start_ns
        if start is not None:
            if process.start_ns is not None:
                return process.start_ns == start
            # The tracer's clock may stand still in suspend, that of /proc goes on: only "later" tells.
            if process.about_ns is not None and start > process.about_ns + _TICK_NS:
                return False
        if type(event) is ForkEvent and process.about_ns is None:
            return event.time_ns <= process.first_ns
        return process.end_ns is None or event.time_ns <= process.end_ns

    def _link(self, process: Process, event: ProcessEvent) -> None:
        """An event names another parent than is known: the one who forked it stays, others adopted it."""
        if process.ppid is not None and type(event) is not ForkEvent:
            process.adopted_by = event.ppid
            return
        process.adopted_by = process.ppid
        process.ppid = event.ppid
        process.parent = self.parent(event.ppid or 0, event.parent_start_ns, event.time_ns).serial
