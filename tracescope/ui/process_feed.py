"""What the Processes screens show: the process table, the latest outcomes, and where their events come from."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    FailedExec,
    ForkEvent,
    Process,
    ProcessEvent,
    ProcessTable,
    Summary,
    event_json_line,
    summarize,
)

if TYPE_CHECKING:
    from tracescope.attach.monitor.monitor import MonitorSession
    from tracescope.attach.tracefs.running import Running
    from tracescope.recording import Recorder

__all__ = ("Monitor", "Outcome", "ProcessFeed")

_PULL = 5_000
"""At most so many events a pull: one pull must not hold the screen."""
_KEEP = 10_000
_PERIOD = 0.5
_SECONDS = 60


class Outcome(NamedTuple):
    """A row of the live list: an exec, a failed one (a walk along PATH is one), or the end of what never called it."""

    number: int
    event: ExecEvent | ExecFailed | ExitEvent
    process: Process | None
    walk: FailedExec | None

    @property
    def life_ns(self) -> int | None:
        """How long the program ran; None while it runs, and for what did not start."""
        return self.process.life_ns if self.process is not None and self.over else None

    @property
    def over(self) -> bool:
        """The process has ended, and ran nothing else after this."""
        process = self.process
        if process is None or process.alive or self.walk is not None:
            return False
        return not process.runs or process.runs[-1] is self.event


class ProcessFeed:
    """Takes events and sums them up, no more often than is cheap."""

    def __init__(self, *, ncpus: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ncpus = ncpus
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.table = ProcessTable(ncpus=self._ncpus)
        self.outcomes: deque[Outcome] = deque(maxlen=_KEEP)
        self._number = 0
        self._summary: Summary | None = None
        self._due = 0.0

    @property
    def now_ns(self) -> int:
        """The time of day that the summary is made for."""
        return self.table.now_ns

    @property
    def lost(self) -> int:
        """Events that could not be handed over so far."""
        return 0

    def pull(self) -> None:
        """Take the events that are there."""

    def summary(self) -> Summary:
        """The newest summary: the same object until another one is made."""
        began = self._clock()
        if self._summary is None or began >= self._due:
            self._summary = summarize(self.table, self.now_ns)
            now = self._clock()
            self._due = now + max(_PERIOD, 10 * (now - began))
        return self._summary

    def rates(self) -> list[int]:
        """Starts in each of the last 60 seconds, the running one last."""
        now = self.now_ns // 1_000_000_000
        starts = self.table.starts_by_second
        return [starts.get(second, 0) for second in range(now - _SECONDS + 1, now + 1)]

    def add(self, event: ProcessEvent) -> None:
        """Take one event."""
        self.table.add(event)
        if isinstance(event, ForkEvent):
            return
        process = self.table.find(event.pid)
        if process is not None and None is not event.start_ns != process.start_ns:
            process = None
        walk = None
        if isinstance(event, ExecFailed):
            walk = self.table.failed[-1]
            if walk.first is not event:
                return  # One more place of a walk that has its row.
        elif isinstance(event, ExitEvent) and process is not None and process.runs:
            return
        self.outcomes.append(Outcome(self._number, event, process, walk))
        self._number += 1


class Monitor(ProcessFeed):
    """The process monitor of this host. `start` blocks and belongs into a thread; all else is for the screen's."""

    def __init__(self, host: Host, open_monitor: Callable[[Host], MonitorSession]) -> None:
        super().__init__(ncpus=os.cpu_count())
        self.error: TraceScopeError | None = None
        self.recorder: Recorder | None = None
        self._host = host
        self._open = open_monitor
        self._opening = False
        self._session: MonitorSession | None = None
        self._running: list[Running] | None = None
        self._past_lost = 0

    @property
    def state(self) -> str:
        """`off`, `open`, or the session's own word."""
        session = self._session
        return str(session.state) if session is not None else "open" if self._opening else "off"

    @property
    def now_ns(self) -> int:
        """Now; when the monitor is off, the time of the last event."""
        return time.time_ns() if self._session is not None else self.table.now_ns

    @property
    def lost(self) -> int:
        """Lost in the kernel, or dropped because nobody took them."""
        if self._session is None:
            return self._past_lost
        counts = self._session.counts()
        return self._past_lost + counts.lost + counts.dropped

    def start(self) -> None:
        """Attach, and learn who was there before; what fails is in `error`."""
        from tracescope.attach.tracefs.running import running_processes

        if self._opening or self._session is not None:
            return
        self._opening, self.error, self._running = True, None, None
        try:
            session = self._open(self._host)
            session.start()
            self._session = session
            session.wait_running()
            self._running = list(running_processes(self._host))
        except TraceScopeError as error:
            self.error = error
        finally:
            self._opening = False

    def stop(self) -> None:
        """Detach; blocks until what is left was read."""
        if self._session is not None:
            self._session.stop()

    def pull(self) -> None:
        """Take what the session has; follow it to its end."""
        session = self._session
        if session is None or self._opening:
            return
        if self._running is not None:
            for one in self._running:
                self.table.known(one.pid, one.start_ns, one.comm, one.exe, one.ppid)
            self._running = None
        over = str(session.state) in ("ended", "failed")
        records = session.take(_PULL)
        self._take(session, records)
        if over and not records:
            self.error = self.error or session.error
            self._past_lost, self._session = self.lost, None
            self.end_recording()

    def _take(self, session: MonitorSession, records: list[bytes]) -> None:
        made = [session.decode(record) for record in records]
        for event in made:
            self.add(event)
        if self.recorder is None:
            return
        try:
            for event in made:
                self.recorder.write(event_json_line(event))
            self.recorder.pulse(self.lost)
        except TraceScopeError as error:
            self.error, self.recorder = error, None

    def record(self, path: Path) -> None:
        """Write all further events into a new file; Refused when it cannot be made."""
        from tracescope.recording import Recorder, host_facts

        self.recorder = Recorder(path, kind="exec", host=host_facts(self._host))

    def end_recording(self) -> Path | None:
        """End the recording; where it is, if there was one."""
        if self.recorder is None:
            return None
        recorder, self.recorder = self.recorder, None
        try:
            recorder.close(self.lost)
        except TraceScopeError as error:
            self.error = error
        return recorder.path

    def close(self) -> None:
        """Detach, and end the recording with what is left."""
        self.stop()
        while self._session is not None:
            self.pull()
