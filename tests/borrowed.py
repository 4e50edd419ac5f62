"""One workload under any backend, and its events in a form in which two runs can be compared."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from attached import HOST, START_SECONDS, format_of
from started import Started

from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.decode.events import Event, event_json
from tracescope.attach.event_session import EventSession
from tracescope.attach.launch import launch
from tracescope.attach.life import Counts
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.target import tracepoint

_PIDS = ("pid", "child_pid", "parent_pid", "old_pid", "prev_pid", "next_pid")


@cache
def _written(source: str) -> str:
    """A file with the script: as an argument it would be too long for one tracer's strings."""
    folder = tempfile.mkdtemp(prefix="tracescope-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "workload.py"
    path.write_text(source)
    return str(path)


@contextmanager
def running(
    backend: str, *events: str, filters: Filters = NO_FILTERS, asked: Asked = NOTHING, bare: bool = False
) -> Iterator[EventSession]:
    targets = [tracepoint(format_of(event)) for event in events]
    session = start_session(
        HOST, targets, filters, asked=asked, backend=backend, bare=bare, buffer=1_000_000
    )  # fmt: skip
    with session:
        session.wait_running(START_SECONDS)
        yield session


def killed(source: str, left: Callable[[], Iterable[Any]]) -> tuple[int, str]:
    """Kill a process while the `session` of its source runs: its pid, which only then is `left`; what `doctor` says."""
    run = "with session as one:\n one.wait_running(60)\n print('up', flush=True)\n time.sleep(100)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    with Started(
        [sys.executable, "-c", f"import time\n{source}\n{run}"], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"up\n"
        assert process.pid not in {one.pid for one in left()}
        process.kill()
    assert process.pid in {one.pid for one in left()}
    doctor = [sys.executable, "-m", "tracescope", "doctor"]
    return process.pid, subprocess.run(doctor, capture_output=True, text=True, check=True, env=environment).stdout


def run_under(
    backend: str, source: str, *events: str, asked: Asked = NOTHING, bare: bool = False
) -> tuple[list[Event], Counts, int]:
    """The events of a Python script and its descendants, its own exec left out; the counts; its pid."""
    child = launch([sys.executable, "-I", "-S", _written(source)])
    try:
        with running(backend, *events, filters=Filters(tree=(child.pid,)), asked=asked, bare=bare) as session:
            child.release()
            assert child.wait() == 0
            session.stop()
            assert not session.failed
            found = [session.decode(record) for record in session.take()]
            return found, session.counts(), child.pid
    finally:
        child.abandon()


def by_process(events: Sequence[Event], root: int) -> dict[object, list[dict[str, Any]]]:
    """The events of each process in their order, as JSON without what differs from run to run; pids by their role."""
    born = sorted({event.pid for event in events} - {root})
    roles: Mapping[int, object] = {root: "root", **{pid: index for index, pid in enumerate(born)}}
    found: dict[object, list[dict[str, Any]]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.time_ns):
        shown = event_json(event)
        for name in ("time", "cpu", "duration_ns"):  # and, below, an address on the stack
            shown.pop(name, None)
        for name in ("pid", "tid", "ppid"):
            shown[name] = roles.get(shown.get(name), "other")
        shown["args"] = {
            name: roles.get(value, "other") if name in _PIDS else value
            for name, value in event.args.items()
            if name != "ovalue"
        }
        found[shown["pid"]].append(shown)
    return found
