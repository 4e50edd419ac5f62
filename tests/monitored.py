"""The process monitor for the live tests: attach, run something of ours, detach, look at what was recorded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tracescope.attach.backend import BccBackend, Compiled, Loaded, load
from tracescope.attach.launch import launch
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.plan import Filters
from tracescope.attach.session import Counts
from tracescope.host import LiveHost
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent, ForkEvent, ProcessEvent

HOST = LiveHost()
PROGRAMS = Path(__file__).parent / "live" / "programs"
TRUE = "/bin/true"
_START_SECONDS = 120
EventT = TypeVar("EventT", ForkEvent, ExecEvent, ExecFailed, ExitEvent)


class CompiledOnce:
    """The same text compiles to the same instructions: once is enough for all tests of a run."""

    def load(self, text: str, kinds: object) -> Loaded:
        return load(_compiled(text))


@cache
def _compiled(text: str) -> Compiled:
    return BccBackend().compile(text)


@dataclass
class Seen:
    """What was recorded of a command and its descendants."""

    events: list[ProcessEvent]
    counts: Counts
    pid: int
    status: int

    def of(self, kind: type[EventT], **wanted: object) -> list[EventT]:
        """The events of one kind whose attributes have these values, in the order of time."""
        chosen = [event for event in self.events if isinstance(event, kind)]
        return [event for event in chosen if all(getattr(event, name) == value for name, value in wanted.items())]

    def life(self, pid: int) -> list[str]:
        """What happened to a process."""
        return [event.name for event in self.events if event.pid == pid]


@contextmanager
def monitor(filters: Filters, **modes: bool) -> Iterator[MonitorSession]:
    """A running session; the filter must keep strangers out."""
    session = MonitorSession(plan_monitor(HOST, filters, **modes), backend=CompiledOnce(), buffer=1_000_000)
    with session:
        session.wait_running(_START_SECONDS)
        yield session


def taken(session: MonitorSession) -> list[ProcessEvent]:
    """What is there, in the order of time."""
    return sorted((session.decode(record) for record in session.take()), key=lambda event: event.time_ns)


def told(events: Sequence[ProcessEvent]) -> list[tuple[object, ...]]:
    """What happened, without what differs from run to run: processes are numbered in the order in which they appear."""
    numbers: dict[int, int] = {}
    rows: list[tuple[object, ...]] = []
    for event in events:
        place = numbers.setdefault(event.pid, len(numbers)), numbers.setdefault(event.ppid, len(numbers))
        more: tuple[object, ...] = (event.uid, event.comm, event.cgroup_id, event.ns_pid is None)
        if isinstance(event, ExecEvent):
            more += (event.filename, event.argv, event.argv_size, event.interpreter, event.exe, event.comm_before)
        if isinstance(event, ExecFailed):
            more += (event.filename, event.argv, event.ret)
        if isinstance(event, ExitEvent):
            more += (event.exit_code, event.signal)
        rows.append((*place, event.name, *more))
    return rows


def watch(command: Sequence[str], during: Callable[[MonitorSession], None] | None = None, **options: Any) -> Seen:
    """Run a command and record it and its descendants; `options` are filters or modes."""
    modes = {name: options.pop(name) for name in ("strict", "failed_only") if name in options}
    child = launch(command)
    try:
        with monitor(Filters(tree=(child.pid,), **options), **modes) as session:
            child.release()
            if during:
                during(session)
            status = child.wait()
            session.stop()
            return Seen(taken(session), session.counts(), child.pid, status)
    finally:
        child.abandon()


def watch_python(source: str, *arguments: str, **options: Any) -> Seen:
    """As `watch`, for a Python script without site packages; its own exec is the first event."""
    return watch([sys.executable, "-I", "-S", "-c", source, *arguments], **options)


def build(folder: Path, name: str, *flags: str) -> str | None:
    """The path of a test program, or None where it cannot be built."""
    out = folder / name
    compiler = shutil.which("gcc") or shutil.which("clang") or "cc"
    command = [compiler, "-O1", *flags, "-o", str(out), str(PROGRAMS / f"{name}.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(out)
