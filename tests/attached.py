"""Sessions for the live tests: attach on this kernel, run something, detach, look at the events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracescope.attach.decode.events import Event
from tracescope.attach.launch import launch
from tracescope.attach.open import open_session
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.session import Counts, Session
from tracescope.host import LiveHost
from tracescope.model import EventFormat
from tracescope.sources.tracefs import parse_format

HOST = LiveHost()
START_SECONDS = 120
EXEC = "syscalls:sys_enter_execve"
EXEC_EXIT = "syscalls:sys_exit_execve"


def format_of(event: str) -> EventFormat:
    group, _, name = event.partition(":")
    return parse_format(HOST.read(f"{HOST.tracefs}/events/{group}/{name}/format"), group)


@contextmanager
def attached(*events: str, filters: Filters = NO_FILTERS, buffer: int = 1_000_000) -> Iterator[Session]:
    with open_session(HOST, [format_of(event) for event in events], filters, buffer=buffer) as session:
        session.wait_running(START_SECONDS)
        yield session


def decoded(session: Session) -> list[Event]:
    return [session.decode(record) for record in session.take()]


def run_traced(command: Sequence[str], *events: str) -> tuple[list[Event], Counts, int]:
    """The events of a command and its descendants, the counts, and the command's process id."""
    child = launch(command)
    try:
        with attached(*events, filters=Filters(tree=(child.pid,))) as session:
            child.release()
            child.wait()
            session.stop()
            return decoded(session), session.counts(), child.pid
    finally:
        child.abandon()


def run_python(source: str, *events: str, arguments: Sequence[str] = ()) -> tuple[list[Event], Counts, int]:
    """As `run_traced`, for a Python script; its own exec is left out."""
    found, counts, pid = run_traced([sys.executable, "-I", "-S", "-c", source, *arguments], *events)
    own = [event for event in found if event.pid == pid and event.args.get("filename") == sys.executable]
    return [event for event in found if event not in own[:1]], counts, pid


def programs_of(pid: int) -> set[int]:
    """The ids of the BPF programs that a process holds."""
    infos = [path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir() if path.exists()]
    return {int(line.split()[1]) for info in infos for line in info.splitlines() if line.startswith("prog_id:")}


def loaded_programs() -> set[int]:
    """The ids of all BPF programs in the kernel, as bpftool sees them."""
    shown = subprocess.run(["bpftool", "prog", "show", "-j"], capture_output=True, check=True, text=True).stdout
    return {row["id"] for row in json.loads(shown)}


def wait_until_gone(programs: set[int]) -> bool:
    """True as soon as none of these programs is in the kernel any more."""
    deadline = time.monotonic() + START_SECONDS
    while programs & loaded_programs() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not programs & loaded_programs()


def held_programs() -> list[str]:
    """The BPF objects and perf events that this process holds open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return [link for link in links if "bpf" in link or "perf_event" in link]
