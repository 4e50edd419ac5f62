"""The process monitor on this kernel: how processes end, what they used, and what is left when the session is over."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from monitored import HOST, TRUE, CompiledOnce, Seen, build, monitor, taken, watch, watch_python
from started import Started

from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.plan import Filters
from tracescope.processes import ExecEvent, ExitEvent, ForkEvent

Require = Callable[[bool, str], None]

# Every way to end, and what wait() says of it.
ENDS = """
import json, os, resource, signal, sys
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
found = []
for how in json.loads(sys.argv[2]):
    pid = os.fork()
    if pid == 0:
        if how < 0:
            os.kill(os.getpid(), -how)
        os._exit(how)
    found.append((pid, os.waitpid(pid, 0)[1]))
with open("statuses", "w") as file:
    json.dump(found, file)
"""


def test_exit_codes_signals_and_core_dumps_are_those_that_wait_tells(tmp_path: Path, require: Require) -> None:
    hows = [
        0,
        1,
        2,
        127,
        255,
        *(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT)),
    ]
    seen = watch_python(ENDS, str(tmp_path), json.dumps(hows))
    statuses = json.loads((tmp_path / "statuses").read_text())
    ends = {event.pid: event for event in seen.of(ExitEvent)}
    assert len(ends) == len(hows) + 1
    for pid, status in statuses:
        event = ends[pid]
        killed = os.WIFSIGNALED(status)
        assert event.exit_code == (None if killed else os.WEXITSTATUS(status))
        assert event.signal == (os.WTERMSIG(status) if killed else None)
        assert event.core == (os.WCOREDUMP(status) if killed else None)
    assert [ends[pid].signal for pid, _ in statuses[5:]] == [9, 15, 11, 6]
    pattern = HOST.read("/proc/sys/kernel/core_pattern").decode().strip()
    require(os.WCOREDUMP(statuses[-1][1]), f"no process dumps core here (core_pattern is {pattern})")
    assert [ends[pid].core for pid, _ in statuses[5:]] == [False, False, True, True]


# The kernel's own account, in nanoseconds, of one child after the other.
USAGE = """
import json, os, sys, time
found = []
for milliseconds in (0, 1, 3, 50):
    pid = os.fork()
    if pid == 0:
        while time.process_time_ns() < milliseconds * 1_000_000:
            pass
        os._exit(0)
    usage = os.wait4(pid, 0)[2]
    found.append((pid, (usage.ru_utime + usage.ru_stime) * 1e9, usage.ru_maxrss * 1024))
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


def test_cpu_time_and_memory_are_those_that_wait4_tells_also_of_a_life_below_a_tick(tmp_path: Path) -> None:
    seen = watch_python(USAGE, str(tmp_path / "usage"))
    usages = json.loads((tmp_path / "usage").read_text())
    for (pid, cpu_ns, memory), milliseconds in zip(usages, (0, 1, 3, 50), strict=True):
        (event,) = seen.of(ExitEvent, pid=pid)
        assert event.cpu_ns > milliseconds * 1_000_000
        # wait4() may be there some microseconds before the process has left its CPU.
        assert event.cpu_ns == pytest.approx(cpu_ns, abs=1_000_000)
        assert event.max_rss == memory


def test_a_process_whose_leader_ended_first_ends_once_with_the_cpu_time_of_all_threads(
    tmp_path: Path, require: Require
) -> None:
    program = build(tmp_path, "leader", "-pthread")
    require(program is not None, "no C compiler")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen = watch([str(program)])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (event,) = seen.of(ExitEvent)
    assert (event.exit_code, event.pid, event.signal) == (5, seen.pid, None)
    assert event.tid != event.pid
    used = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9
    assert used > 80_000_000
    assert event.cpu_ns == pytest.approx(used, abs=2_000_000)


def test_without_the_kernels_word_the_last_thread_is_found_by_the_count_of_those_alive() -> None:
    # As on kernels before 6.16, whose exit event does not say it.
    child = subprocess.Popen(["sh", "-c", "read go; /bin/true; exit 4"], stdin=subprocess.PIPE)
    plan = replace(plan_monitor(HOST, Filters(tree=(child.pid,))), says_dead=False)
    with MonitorSession(plan, backend=CompiledOnce()) as session:
        session.wait_running(120)
        child.communicate(b"\n")
        session.stop()
        found = [event for event in taken(session) if isinstance(event, ExitEvent)]
    assert [event.exit_code for event in found] == [0, 4]


def test_a_process_that_was_there_before_has_its_whole_life(tmp_path: Path) -> None:
    child = subprocess.Popen(["sh", "-c", "read go; exit 7"], stdin=subprocess.PIPE)
    ticks = int(HOST.read(f"/proc/{child.pid}/stat").rpartition(b")")[2].split()[19])
    with monitor(Filters(tree=(child.pid,))) as session:
        child.communicate(b"\n")
        session.stop()
        (event,) = taken(session)
    assert isinstance(event, ExitEvent)
    assert (event.exit_code, event.pid, event.ppid) == (7, child.pid, os.getpid())
    # Nobody saw its exec: the life that is told is that from its fork.
    assert event.lifetime_ns == event.age_ns
    assert event.start_ns is not None
    assert event.start_ns // 10_000_000 == ticks


def test_a_process_that_lives_on_is_no_end_and_nothing_is_lost() -> None:
    with Started(["sh", "-c", "read go; /bin/true; exec /bin/cat"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        with monitor(Filters(tree=(child.pid,))) as session:
            child.stdin.write(b"\n")
            child.stdin.flush()
            found = []
            while not any(isinstance(event, ExecEvent) and event.pid == child.pid for event in found):
                found += taken(session)
            session.stop()
            found += taken(session)
            counts = session.counts()
        assert [event.name for event in found if event.pid == child.pid] == ["exec"]
        assert [event.name for event in found if event.pid != child.pid] == ["fork", "exec", "exit"]
        assert (counts.events, counts.lost, counts.dropped) == (4, 0, 0)
        assert child.poll() is None
        child.stdin.close()
        assert child.wait() == 0


KILLED = """
import os, signal, sys, time
for turn in range(150):
    pid = os.fork()
    if pid == 0:
        os.execve("/bin/true", ["x" * 100_000] * 15, {})
    end = time.perf_counter_ns() + turn * 20_000
    while time.perf_counter_ns() < end:
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def entries(session: MonitorSession, name: str) -> list[object]:
    """What is in a map of a running session, as bpftool sees it."""
    assert session._loaded is not None
    info = Path(f"/proc/self/fdinfo/{session._loaded.maps[name]}").read_text()
    (number,) = [line.split()[1] for line in info.splitlines() if line.startswith("map_id:")]
    done = subprocess.run(["bpftool", "-j", "map", "dump", "id", number], capture_output=True, check=True, text=True)
    found: list[object] = json.loads(done.stdout)
    return found


def test_processes_killed_in_the_middle_of_an_exec_end_and_leave_nothing_behind() -> None:
    left: dict[str, list[object]] = {}

    def wait_and_look(session: MonitorSession) -> None:
        os.waitid(os.P_PID, child_of(session), os.WEXITED | os.WNOWAIT)
        for name in ("calls", "programs", "ending", "tree"):
            # Others on this machine may be in the middle of an exec; what had leaked would stay.
            for _ in range(100):
                left[name] = entries(session, name)
                if not left[name]:
                    break

    seen = watch_python(KILLED, during=wait_and_look)
    assert left == {"calls": [], "programs": [], "ending": [], "tree": []}
    pids = [event.pid for event in seen.of(ForkEvent)]
    assert len(pids) == 150
    lives = {tuple(name for name in seen.life(pid) if name != "exec_failed") for pid in pids}
    assert lives <= {("fork", "exit"), ("fork", "exec", "exit")}
    assert ("fork", "exit") in lives
    assert {event.signal for event in seen.of(ExitEvent) if event.pid in pids} <= {9, None}
    assert seen.counts.lost == 0


def child_of(session: MonitorSession) -> int:
    return session.plan.filters.tree[0]


def test_a_session_that_is_over_holds_nothing_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    seen: Seen = watch([TRUE])
    assert seen.life(seen.pid) == ["exec", "exit"]
    assert set(os.listdir("/proc/self/fd")) == before
