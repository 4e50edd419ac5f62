"""The perf buffer, which older kernels need, forced on this one: the same events as through the ring buffer."""

from __future__ import annotations

import os
import sys
from unittest.mock import ANY

import pytest
from attached import HOST, decoded, format_of, held_programs
from monitored import TRUE, CompiledOnce

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.transport import Transport, find_transport
from tracescope.attach.launch import launch
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.open import open_session
from tracescope.attach.perf_buffer import PerfReader
from tracescope.attach.plan import Filters

GETPPID, OPENAT = "syscalls:sys_enter_getppid", "syscalls:sys_enter_openat"
EXEC = ("syscalls:sys_enter_execve", "sched:sched_process_exec")
CALLS = """
import os
for number in range(1000):
    os.getppid()
for number in range(20):
    os.close(os.open(f"/dev/null", os.O_RDONLY | os.O_CLOEXEC))
for name in ("/no/such/program", "/bin/true"):
    try:
        os.posix_spawn(name, [name, "an argument", "x" * 3000], {})
        os.wait()
    except OSError:
        pass
"""
SCRIPT = [sys.executable, "-I", "-S", "-c", CALLS]


def through(transport, *events, command=SCRIPT, **options):
    child = launch(command)
    try:
        formats, filters = [format_of(event) for event in events], Filters(tree=(child.pid,))
        with open_session(HOST, formats, filters, transport=transport, buffer=1_000_000, **options) as session:
            session.wait_running(120)
            child.release()
            child.wait()
            session.stop()
            return decoded(session), session.counts()
    finally:
        child.abandon()


def told(events):
    """What is the same each time; a name on a page of a library that was not in memory may be any."""
    changing = ("pid", "old_pid")
    rows = [
        (event.probe, {name: _text(value) for name, value in event.args.items() if name not in changing}, event.ret)
        for event in events
    ]
    return [row for row in rows if "glibc-hwcaps" not in str(row)]


def _text(value):
    return ANY if isinstance(value, dict) and value.keys() == {"address"} else value


@pytest.mark.parametrize("events", [(GETPPID,), (OPENAT,), (GETPPID, OPENAT, *EXEC)], ids=["fixed", "text", "exec"])
def test_the_events_are_those_of_the_ring_buffer(events):
    (ring, counted), (perf, also) = (through(transport, *events) for transport in Transport)
    assert len(perf) >= 20
    assert told(perf) == told(ring)
    assert (also.events, also.lost) == (counted.events, 0) == (len(perf), 0)


def test_events_of_all_cpus_come_in_the_order_of_time(require):
    cpus = sorted(os.sched_getaffinity(0))
    require(len(cpus) > 1, "one CPU")
    source = f"""
import os
for turn in range(200):
    os.sched_setaffinity(0, [{cpus}[turn % {len(cpus)}]])
    os.getppid()
"""
    events, counts = through(Transport.PERF, GETPPID, command=[sys.executable, "-I", "-S", "-c", source])
    assert {event.cpu for event in events} == {*cpus}
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)
    assert (counts.events, counts.lost, len(events)) == (200, 0, 200)


def test_what_finds_no_room_is_counted_by_the_program_and_by_the_kernel(monkeypatch):
    """The kernel says how many it lost when there is room again, so the reader reads once between two bursts."""
    monkeypatch.setattr("tracescope.attach.perf_buffer._LEAST", 4096)
    monkeypatch.setattr("tracescope.attach.ring_session.RING_BYTES", 4096)
    monkeypatch.setattr("tracescope.attach.life.ProgramSession.PAUSE", 0.0)
    readers, open_ = [], PerfReader.__init__

    def remember(self, *arguments):
        open_(self, *arguments)
        readers.append(self)

    monkeypatch.setattr(PerfReader, "__init__", remember)
    source = "import os\nos.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nfor _ in range(200_000): os.getppid()"
    # A command that ends with a single call: for it there is room, and behind it the kernel tells what was lost.
    source += "\nimport time; time.sleep(0.5); os.getppid()"
    events, counts = through(Transport.PERF, GETPPID, command=[sys.executable, "-I", "-S", "-c", source])
    assert counts.events == len(events)
    assert counts.events + counts.lost == 200_001
    assert counts.lost > 0
    assert sum(readers[0].lost.values()) == counts.lost
    assert len(readers[0].lost) == 1


def test_the_process_monitor_says_the_same():
    def names(transport):
        child = launch(["/bin/sh", "-c", f"{TRUE} a 'b c'; /no/such/program; exit 3"])
        try:
            plan = plan_monitor(HOST, Filters(tree=(child.pid,)), transport=transport)
            with MonitorSession(plan, backend=CompiledOnce()) as session:
                session.wait_running(120)
                child.release()
                child.wait()
                session.stop()
                assert session.counts().lost == 0
                events = [session.decode(record) for record in session.take()]
        finally:
            child.abandon()
        return [
            (
                event.name,
                event.comm,
                *(getattr(event, name, None) for name in ("argv", "filename", "errno", "exit_code")),
            )
            for event in sorted(events, key=lambda event: event.time_ns)
        ]

    ring, perf = (names(transport) for transport in Transport)
    assert perf == ring
    assert {"exec", "exec_failed", "exit", "fork"} == {row[0] for row in perf}


def test_a_kernel_without_ring_buffers_is_asked_for_a_perf_buffer(monkeypatch):
    assert find_transport() is Transport.RING
    create = bpf.map_create

    def older(kind, *arguments):
        return create(1_000_000 if kind == bpf.RINGBUF else kind, *arguments)

    monkeypatch.setattr(bpf, "map_create", older)
    assert find_transport() is Transport.PERF
    events, counts = through(None, GETPPID)
    assert (len(events), counts.events, counts.lost) == (1000, 1000, 0)


def test_nothing_is_left_open():
    before = held_programs()
    through(Transport.PERF, GETPPID, command=[TRUE])
    assert held_programs() == before
