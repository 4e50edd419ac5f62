"""The execve tracepoints on this kernel: what is shown is what the test passed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from attached import EXEC, EXEC_EXIT, attached, decoded, format_of, run_python, run_traced
from started import Started

from tracescope.attach.decode.events import event_json, event_words
from tracescope.attach.plan import HELPER_EVENTS, Filters, plan
from tracescope.attach.session import Session

EXECAT = "syscalls:sys_enter_execveat"
TRUE = "/bin/true"

KNOWN = [
    [TRUE],
    [TRUE, ""],
    [TRUE, "a b", "", "", " "],
    [TRUE, "größe", "日本語", "🐍"],
    [TRUE, *(f"argument-{number}" for number in range(30))],
    [TRUE, "\x1b[31mred\x1b[0m", "line\nfeed", "tab\t", "\x07"],
    [TRUE, "[markup]", "[/]", "[red]x[/red]", "*/", '"quoted" \\'],
    [TRUE, b"\xff\xfe not utf-8".decode("utf-8", "surrogateescape"), "\u202eevil"],
    ["another name", "x"],
    [TRUE, "x" * 4095],
    [TRUE, *(["y" * 1000] * 8)],
]

SPAWN = """
import json, os, sys
for argv in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        os.execve("/bin/true", argv, {"A": "1", "B": "2"})
    os.waitpid(pid, 0)
"""


def spawned(argvs, *events):
    return run_python(SPAWN, *events, arguments=[json.dumps(argvs)])


def test_every_program_is_seen_with_its_arguments_in_order_and_none_is_lost():
    found, counts, parent = spawned(KNOWN, EXEC)
    assert [event.args["argv"] for event in found] == KNOWN
    assert {event.args["filename"] for event in found} == {TRUE}
    assert {event.ppid for event in found} == {parent}
    assert [event.args["envp"] for event in found] == [2] * len(KNOWN)
    assert all("argv_truncated" not in event.args for event in found)
    assert [event.time_ns for event in found] == sorted(event.time_ns for event in found)
    assert (counts.events, counts.lost, counts.dropped) == (len(KNOWN) + 1, 0, 0)


def test_json_keeps_the_bytes_and_a_line_of_text_has_no_control_character():
    found, _, _ = spawned(KNOWN, EXEC)
    rows = [json.loads(json.dumps(event_json(event))) for event in found]
    assert [row["args"]["argv"] for row in rows] == KNOWN
    assert all(row["probe"] == "tracepoint:syscalls:sys_enter_execve" and "ret" not in row for row in rows)
    lines = [event_words(event) for event in found]
    assert all(line.isprintable() for line in lines)
    assert "\\x1b[31mred" in lines[5]


def test_what_is_cut_says_so():
    many = [TRUE, *(str(number) for number in range(199))]
    long = [TRUE, "z" * 4096, "after"]
    huge = [TRUE, "a" * 90_000]
    several = [TRUE, *(["b" * 4000] * 4)]
    found, counts, _ = spawned([many, long, huge, several], EXEC)
    assert all(event.args["argv_truncated"] is True for event in found)
    assert found[0].args["argv"] == many[:128]
    assert found[1].args["argv"] == [TRUE, "z" * 4095, "after"]
    assert found[2].args["argv"] == [TRUE, "a" * 4095]
    assert found[3].args["argv"] == several[:4]
    assert counts.lost == 0


def test_a_failed_exec_shows_its_arguments_and_the_error():
    source = """
import os
for name in ("/no/such/program", "/etc/passwd", "/"):
    try:
        os.execve(name, [name, "argument"], {})
    except OSError:
        pass
"""
    found, _, pid = run_python(source, EXEC, EXEC_EXIT)
    calls = [event for event in found if event.probe.endswith("enter_execve")]
    returns = [event for event in found if event.probe.endswith("exit_execve")][1:]
    assert [event.args["argv"][0] for event in calls] == ["/no/such/program", "/etc/passwd", "/"]
    assert {event.args["argv"][1] for event in calls} == {"argument"}
    assert [(event.ret, event_json(event)["errno"]) for event in returns] == [
        (-2, "ENOENT"),
        (-13, "EACCES"),
        (-13, "EACCES"),
    ]
    assert {event.pid for event in found} == {pid}
    assert [event.probe[-12:] for event in found[1:]] == ["enter_execve", "_exit_execve"] * 3


# mmap() of a file gives pages that this process never touched: BPF cannot read them at entry.
COLD = """
import ctypes, mmap, os, sys, tempfile
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def cold(text):
    file = tempfile.TemporaryFile()
    file.write(text + b"\\0")
    file.flush()
    return libc.mmap(None, 4096, 1, 2, file.fileno(), 0)
path, kind = sys.argv[1].encode(), sys.argv[2]
filename = cold(path)
texts = [b"cold zero", b"", b"cold two"]
pointers = [cold(text) for text in texts]
argv = (ctypes.c_void_p * 4)(*pointers, None)
array = argv
if kind == "array":
    file = tempfile.TemporaryFile()
    file.write(bytes(argv))
    file.flush()
    array = libc.mmap(None, 4096, 1, 2, file.fileno(), 0)
envp = (ctypes.c_char_p * 3)(b"A=1", b"B=2", None)
libc.execve.argtypes = [ctypes.c_void_p] * 3
if kind == "at":
    libc.execveat(-100, ctypes.c_void_p(filename), argv, envp, 0)
else:
    libc.execve(filename, array, envp)
"""


@pytest.mark.parametrize("kind", ["strings", "array", "at"])
def test_pages_that_were_never_touched_are_read_when_the_kernel_has_them(kind):
    found, counts, _ = run_python(COLD, EXEC, EXECAT, EXEC_EXIT, arguments=[TRUE, kind])
    (call,) = [event for event in found if "enter" in event.probe]
    assert call.args["filename"] == TRUE
    assert call.args["argv"] == ["cold zero", "", "cold two"]
    assert call.args["envp"] == 2
    assert counts.lost == 0


@pytest.fixture
def before_6_10(monkeypatch):
    """A host without sched_prepare_exec."""
    events = [event for event in HELPER_EVENTS if event != "sched:sched_prepare_exec"]
    monkeypatch.setattr("tracescope.attach.open.HELPER_EVENTS", events)


def test_without_the_prepare_event_the_new_programs_stack_tells_the_arguments(before_6_10):
    for kind in ("strings", "array", "at"):
        found, _, _ = run_python(COLD, EXEC, EXECAT, arguments=[TRUE, kind])
        (call,) = found
        assert (call.args["filename"], call.args["argv"]) == (TRUE, ["cold zero", "", "cold two"])


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script"
    path.write_text("#!/bin/sh -e\ntrue\n")
    path.chmod(0o755)
    return path


def test_a_script_run_from_cold_pages_keeps_what_was_asked_for(script):
    found, _, _ = run_python(COLD, EXEC, arguments=[str(script), "strings"])
    assert found[0].args["filename"] == str(script)
    assert found[0].args["argv"] == ["cold zero", "", "cold two"]


def test_what_the_interpreter_replaced_is_not_made_up(script, before_6_10):
    found, _, _ = run_python(COLD, EXEC, arguments=[str(script), "strings"])
    # The kernel put the interpreter in the place of argv[0], which is gone.
    assert found[0].args["filename"] == str(script)
    assert found[0].args["argv"] == [None, "", "cold two"]


def test_a_failed_exec_from_cold_pages_flags_what_nobody_read():
    found, counts, _ = run_python(COLD, EXEC, EXEC_EXIT, arguments=["/no/such/program", "strings"])
    (call,) = [event for event in found if "enter" in event.probe]
    # The kernel reads the name first; whether it reads the arguments before it fails depends on the kernel.
    assert call.args["filename"] == "/no/such/program"
    assert [shown for shown in call.args["argv"] if shown is not None] in ([], ["cold zero", "", "cold two"])
    assert len(call.args["argv"]) == 3
    assert counts.lost == 0


def test_pointers_that_lead_nowhere_are_shown_as_unreadable():
    source = """
import ctypes
libc = ctypes.CDLL(None)
libc.execve(ctypes.c_void_p(8), None, None)
libc.execve(b"/no/such", ctypes.c_void_p(8), ctypes.c_void_p(8))
"""
    found, _, _ = run_python(source, EXEC, EXEC_EXIT)
    first, second = [event for event in found if "enter" in event.probe]
    assert first.args == {"filename": None, "argv": [], "envp": 0}
    assert second.args == {"filename": "/no/such", "argv": [None], "envp": None}
    errors = [event.ret for event in found if "exit" in event.probe]
    assert errors[-2:] == [-14, -14] or errors[-2:] == [-14, -2]


def test_execveat_shows_descriptor_path_and_flags():
    source = """
import ctypes, os
libc = ctypes.CDLL(None)
argv = (ctypes.c_char_p * 3)(b"name", b"x", None)
fd = os.open("/bin", os.O_PATH)
os.dup2(fd, 77)
if os.fork() == 0:
    libc.execveat(77, b"true", argv, None, 0)
os.wait()
fd = os.open("/bin/true", os.O_RDONLY)
os.dup2(fd, 78)
libc.execveat(78, b"", argv, None, 0x1000)
"""
    found, _, _ = run_python(source, EXEC, EXECAT)
    assert [event.args for event in found] == [
        {"fd": 77, "filename": "true", "argv": ["name", "x"], "envp": 0, "flags": 0},
        {"fd": 78, "filename": "", "argv": ["name", "x"], "envp": 0, "flags": 0x1000},
    ]


def test_the_tree_is_followed_through_an_exec_by_a_thread_and_nothing_else_is_seen():
    source = """
import os, subprocess, sys, threading
after = "import os; os.system('/bin/true after')"
thread = threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, "-c", after]))
thread.start()
thread.join()
"""
    child = """
import subprocess, time
while True:
    subprocess.run(["/bin/true", "stranger"])
"""
    stranger = subprocess.Popen([sys.executable, "-c", child])
    try:
        found, _, pid = run_python(source, EXEC)
    finally:
        stranger.kill()
        stranger.wait()
    argvs = [event.args["argv"] for event in found]
    assert argvs[-1] == [TRUE, "after"]
    assert not [argv for argv in argvs if "stranger" in argv]
    thread = found[0]
    assert thread.pid == pid
    assert thread.tid != pid


def test_a_tree_that_runs_already_is_followed_with_its_descendants():
    source = """
import subprocess, sys
inner = "import sys, subprocess; print(flush=True); sys.stdin.read(1); subprocess.run(['/bin/true', 'grandchild'])"
subprocess.run([sys.executable, "-c", inner])
"""
    command = [sys.executable, "-c", source]
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        with attached(EXEC, filters=Filters(tree=(running.pid,))) as session:
            running.communicate(b"x")
            session.stop()
            found = decoded(session)
    assert [event.args["argv"] for event in found][-1:] == [[TRUE, "grandchild"]]


def test_filters_by_pid_user_and_name_act_together():
    parent = os.getpid()
    with attached(EXEC, EXEC_EXIT, filters=Filters(uid=(os.getuid(),), comm=("true", "no-such-name"))) as session:
        os.spawnv(os.P_WAIT, TRUE, [TRUE, "named"])
        session.stop()
        found = [event for event in decoded(session) if event.ppid == parent]
    # At entry the caller's old name counts, at exit the new one.
    assert [(event.probe[-11:], event.comm) for event in found] == [("exit_execve", "true")]


def test_without_btf_there_is_no_ppid_and_the_session_says_so():
    made = plan([format_of(EXEC)])
    assert len(made.notes) == 2
    with Session(made) as session:
        session.wait_running(120)
        os.spawnv(os.P_WAIT, TRUE, [TRUE, "no btf"])
        session.stop()
        found = [event for event in decoded(session) if event.args["argv"] == [TRUE, "no btf"]]
    assert [event.ppid for event in found] == [None]
    assert "ppid" not in event_json(found[0])


def test_a_bare_name_is_one_exec():
    found, counts, pid = run_traced(["true", "once"], EXEC)
    assert [(event.pid, event.args["argv"]) for event in found] == [(pid, ["true", "once"])]
    assert counts.events == 1
