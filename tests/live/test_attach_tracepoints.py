"""Tracepoints of every shape on this kernel: decoded arguments are what the test did, and the counts are exact."""

from __future__ import annotations

import os
import signal

import pytest
from attached import HOST, attached, decoded, run_python

from tracescope.attach.plan import Filters
from tracescope.sources.tracefs import read_available_events

FORK, EXIT = "sched:sched_process_fork", "sched:sched_process_exit"


def named(events, name):
    return [event for event in events if event.probe.endswith(f":{name}")]


def test_fork_and_exit_name_the_processes():
    source = """
import os, sys
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
    found, counts, pid = run_python(source, FORK, EXIT)
    (fork,) = named(found, "sched_process_fork")
    assert fork.pid == fork.args["parent_pid"] == pid
    assert fork.args["parent_comm"] == fork.args["child_comm"] == fork.comm
    exits = named(found, "sched_process_exit")
    assert [event.args["pid"] for event in exits] == [fork.args["child_pid"], pid]
    assert [event.args["comm"] for event in exits] == [fork.comm] * 2
    assert [event.ppid for event in exits] == [pid, os.getpid()]
    assert counts.lost == 0


def test_arguments_of_system_calls_have_their_own_size_and_sign():
    with attached(
        "syscalls:sys_enter_openat",
        "syscalls:sys_exit_openat",
        "syscalls:sys_enter_write",
        "syscalls:sys_exit_write",
        "syscalls:sys_enter_lseek",
        "syscalls:sys_enter_kill",
        filters=Filters(pid=(os.getpid(),)),
    ) as session:
        session.take()
        fd = os.open("/dev/null", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        assert os.write(fd, b"x" * 4711) == 4711
        with pytest.raises(OSError, match="Invalid argument"):
            os.lseek(fd, -42, 99)
        with pytest.raises(ProcessLookupError):
            os.kill(2**22 + 1, signal.SIGUSR2)
        os.close(fd)
        with pytest.raises(FileNotFoundError):
            os.open("/no/such/file", os.O_RDONLY)
        session.stop()
        found = decoded(session)
    (opened, *_, missing) = named(found, "sys_enter_openat")
    assert opened.args["flags"] == "O_RDWR|O_CREAT|O_APPEND|O_CLOEXEC"
    assert opened.args["mode"] == "0640"
    assert opened.args["dfd"] == "AT_FDCWD"
    assert opened.args["filename"] == "/dev/null"
    assert "__syscall_nr" not in opened.args
    returns = named(found, "sys_exit_openat")
    assert (returns[0].ret, returns[0].args) == (fd, {})
    assert returns[-1].ret == -2
    assert (missing.args["filename"], missing.args["flags"]) == ("/no/such/file", "O_RDONLY|O_CLOEXEC")
    (write,) = [event for event in named(found, "sys_enter_write") if event.args["count"] == 4711]
    assert write.args["fd"] == fd
    assert 4711 in [event.ret for event in named(found, "sys_exit_write")]
    assert [event.args["offset"] for event in named(found, "sys_enter_lseek") if event.args["fd"] == fd] == [-42]
    (kill,) = named(found, "sys_enter_kill")
    assert kill.args == {"pid": 2**22 + 1, "sig": "SIGUSR2"}
    assert {event.pid for event in found} == {os.getpid()}


def test_signals_wakeups_and_switches_carry_names_and_numbers():
    source = """
import os, signal
child = os.fork()
if child == 0:
    signal.pause()
open("/proc/self/comm", "w").write("tracescope-test")
while " S " not in open(f"/proc/{child}/stat").read():
    os.sched_yield()
os.kill(child, signal.SIGUSR1)
os.waitpid(child, 0)
"""
    found, counts, pid = run_python(source, "signal:signal_generate", "sched:sched_waking", "sched:sched_switch")
    sent = [event for event in named(found, "signal_generate") if event.args["sig"] == "SIGUSR1"]
    assert [(event.pid, event.args["errno"], event.comm) for event in sent] == [(pid, 0, "tracescope-test")]
    child = sent[0].args["pid"]
    assert sent[0].args["comm"] != "tracescope-test"
    woken = [event for event in named(found, "sched_waking") if event.args["pid"] == child and event.pid == pid]
    assert woken
    assert {event.args["comm"] for event in woken} <= {sent[0].args["comm"]}
    assert {event.args["prio"] for event in woken} == {120 + os.nice(0)}
    switches = named(found, "sched_switch")
    assert {event.args["prev_comm"] for event in switches if event.pid == pid} >= {"tracescope-test"}
    # Asleep in pause() before the signal.
    assert "S" in {event.args["prev_state"] for event in switches if event.tid == child}
    assert counts.lost == 0


def test_the_bytes_of_dynamic_fields_follow_their_own_length():
    source = """
import os
name = "/tmp/" + "d" * 200
open("/proc/self/comm", "w").write("renamed")
os.execv("/bin/true", ["true"])
"""
    found, _, _ = run_python(source, "task:task_rename", "sched:sched_process_exec", "sched:sched_prepare_exec")
    executed = named(found, "sched_process_exec")[-1]
    assert executed.args["filename"] == "/bin/true"
    assert executed.args["old_pid"] == executed.pid
    prepared = named(found, "sched_prepare_exec")[-1]
    assert prepared.args == {"interp": "/bin/true", "filename": "/bin/true", "pid": executed.pid, "comm": "renamed"}
    assert "renamed" in {event.args["newcomm"] for event in named(found, "task_rename")}


def test_flag_fields_are_shown_by_name():
    with attached("kmem:kmem_cache_alloc", filters=Filters(pid=(os.getpid(),))) as session:
        os.close(os.open("/dev/null", os.O_RDONLY))
        session.stop()
        found = [event.args for event in decoded(session)]
    (file,) = [args for args in found if args["name"] == "filp"][-1:]
    assert "GFP_KERNEL" in file["gfp_flags"].split("|")
    assert file["ptr"].startswith("0xffff")
    assert file["bytes_alloc"] >= file["bytes_req"] > 100
    assert file["node"] == -1
    assert isinstance(file["accounted"], bool)


CALLS = 200_000
GETPPID = f"""
import ctypes
call = ctypes.CDLL(None).getppid
for _ in range({CALLS}):
    call()
"""


def test_every_call_under_load_is_either_handed_over_or_counted_as_lost():
    found, counts, pid = run_python(GETPPID, "syscalls:sys_enter_getppid")
    assert counts.events + counts.lost == CALLS
    assert len(found) + counts.dropped == counts.events
    assert counts.lost == 0
    assert {(event.pid, event.probe) for event in found} == {(pid, "tracepoint:syscalls:sys_enter_getppid")}


def test_enter_and_exit_under_load_come_in_turn():
    found, counts, _ = run_python(GETPPID, "syscalls:sys_enter_getppid", "syscalls:sys_exit_getppid")
    assert [count.events + count.lost for count in counts.per_probe] == [CALLS, CALLS]
    assert counts.lost == 0
    names = [event.probe for event in found[:1000]]
    assert names[::2] == ["tracepoint:syscalls:sys_enter_getppid"] * 500
    assert names[1::2] == ["tracepoint:syscalls:sys_exit_getppid"] * 500
    assert {event.ret for event in found if event.ret is not None} == {os.getpid()}


def test_what_nobody_takes_is_dropped_oldest_first_and_counted():
    with attached("syscalls:sys_enter_getppid", filters=Filters(pid=(os.getpid(),)), buffer=1000) as session:
        for _ in range(50_000):
            os.getppid()
        session.stop()
        counts = session.counts()
        times = [event.time_ns for event in decoded(session)]
    assert counts.events == 50_000
    assert counts.lost == 0
    assert 0 < len(times) <= 50_000
    assert len(times) + counts.dropped == 50_000
    assert times == sorted(times)


def test_one_event_of_every_group_gets_a_program_that_loads():
    groups = {event.partition(":")[0]: event for event in read_available_events(HOST) if event[:7] != "ftrace:"}
    with attached(*groups.values(), filters=Filters(pid=(2**22 + 1,))) as session:
        failed = {probe.name: str(error) for probe, error in session.failed}
    assert failed == {}
    assert len(session.plan.probes) == len(groups) >= 20


def test_a_field_shows_what_the_process_changed():
    found, _, pid = run_python("import os; os.nice(5)", EXIT)
    (event,) = [event for event in found if event.tid == pid]
    assert event.args["prio"] == 120 + os.nice(0) + 5
