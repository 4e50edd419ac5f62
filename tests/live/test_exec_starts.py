"""The process monitor on this kernel: programs that start. What is recorded is what the test did.

What goes wrong in tracing execve, and the test that produces it (in this folder; _f: test_exec_failures, _e: ends,
_c: command, the others are here):

    page of filename or arguments not in memory   on_pages_that_were_never_touched; pointers_that_lead_nowhere (_f)
    arguments cut                                 longer_arguments_say; too_many_arguments (_f)
    none, 1, 21, 1,000 arguments; empty; bytes    arguments_come_whole_in_order; without_arguments_has_the_empty_one
    argv[0] is not the path                       arguments_come_whole_in_order
    exec by a thread that is not the leader       from_a_thread_that_is_not_the_leader; leader_ended_first (_e)
    two threads in exec at once                   threads_of_one_process (_f)
    32-bit calls hidden from the tracepoints      32_bit_programs
    failed execs, PATH walks                      each_reason_has_its_name; a_name_looked_for_along_path (_f)
    an answer that is not the kernel's (seccomp)  a_call_that_seccomp_answers (_f)
    failure past the point of no return           when_there_is_no_way_back (_f)
    entry without exit                            killed_in_the_middle_of_an_exec (_e)
    exit without entry                            32_bit_programs; a_call_that_seccomp_answers (_f)
    lost events, order between CPUs               20000_starts (_c)
    parent of the short-lived; orphans            posix_spawn_and_vfork; a_daemon
    pid namespaces                                a_process_in_a_pid_namespace
    pid comes again                               a_process_id_that_comes_again
    scripts, nested ones                          a_script_names_itself; whose_interpreter_is_a_script
    execveat, fexecve, AT_EMPTY_PATH              execution_by_descriptor
    path of the executed file (no bpf_d_path)     named_across_mounts_and_links
    setuid                                        a_setuid_program
    comm before and after                         arguments_come_whole_in_order; from_a_thread
    exec after exec in one process                programs_one_after_the_other
    lifetime and duration                         programs_one_after_the_other; was_there_before (_e)
    exit code, signal, core flag                  exit_codes_signals_and_core_dumps (_e)
    a life that outlasts the session              a_process_that_lives_on (_e)
    restart loop                                  test_exec_story
    the tracer killed                             test_killed

Not to be had here: arm64's missing exit of a successful call, and kernels whose entry event carries the filename.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monitored import TRUE, build, watch, watch_python

from tracescope.processes import ExecEvent, ExecFailed, ExitEvent, ForkEvent

Require = Callable[[bool, str], None]

START = """
import json, os, sys
program, argvs = json.load(open(sys.argv[1]))
for argv in argvs:
    if os.fork() == 0:
        os.execve(program, argv, {})
    os.wait()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user can enter, for programs and scripts."""
    path = Path(tempfile.mkdtemp(prefix="tracescope-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def started(program: str, *argvs: list[str]) -> list[ExecEvent]:
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump([program, argvs], file)
        file.flush()
        seen = watch_python(START, file.name)
    assert seen.counts.lost == 0
    found = seen.of(ExecEvent)[1:]
    assert [event.ppid for event in found] == [seen.pid] * len(argvs)
    return found


def script(path: Path, first_line: str) -> str:
    path.write_text(f"#!{first_line}\nexit 0\n")
    path.chmod(0o755)
    return str(path)


ARGVS = [
    [TRUE],
    [TRUE, *(str(number) for number in range(20))],
    [TRUE, *(str(number) for number in range(999))],
    [TRUE, ""],
    [TRUE, "", "a b", "", " ", ""],
    [TRUE, "größe", "日本語", b"\xff\xfe not utf-8".decode("utf-8", "surrogateescape")],
    [TRUE, "\x1b[31mred\x1b[0m", "line\nfeed", "[markup]"],
    ["another name", "x"],
    [TRUE, "x" * 4085],
]


def test_arguments_come_whole_in_order_with_their_true_size() -> None:
    found = started(TRUE, *ARGVS)
    assert [list(event.argv or ()) for event in found] == ARGVS
    sizes = [sum(len(os.fsencode(word)) + 1 for word in argv) for argv in ARGVS]
    assert [event.argv_size for event in found] == sizes
    assert max(sizes) == 4096
    assert not [event for event in found if event.argv_truncated or event.argv_error or event.filename_error]
    assert {event.filename for event in found} == {TRUE}
    assert {event.exe for event in found} == {os.path.realpath(TRUE)}
    assert {(event.ret, event.comm, event.comm_before) for event in found} == {(0, "true", Path(sys.executable).name)}


def test_longer_arguments_say_that_they_are_cut_and_how_long_they_are() -> None:
    longest = 128 * 1024 - 1
    argvs = [[TRUE, "x" * 4086], [TRUE, "y" * longest], [TRUE, *(["z" * 1000] * 100)]]
    found = started(TRUE, *argvs)
    assert [event.argv_size for event in found] == [4097, len(TRUE) + 1 + longest + 1, len(TRUE) + 1 + 100 * 1001]
    assert all(event.argv_truncated for event in found)
    assert ["\0".join(filter(None, event.argv or ())) for event in found] == ["\0".join(argv)[:4096] for argv in argvs]


def test_a_program_without_arguments_has_the_empty_one_that_the_kernel_gives_it() -> None:
    source = """
import ctypes, os
if os.fork() == 0:
    ctypes.CDLL(None).execve(b"/bin/true", (ctypes.c_char_p * 1)(None), None)
    os._exit(1)
os.wait()
"""
    seen = watch_python(source)
    _, event = seen.of(ExecEvent)
    # Since 5.18 the kernel puts "" there; before, there was nothing.
    assert (event.argv, event.argv_size) in [(("",), 1), ((), 0)]
    assert event.filename == TRUE
    assert not event.argv_error


def test_arguments_on_pages_that_were_never_touched_are_read(tmp_path: Path, require: Require) -> None:
    cold = build(tmp_path, "cold")
    require(cold is not None, "no C compiler")
    page = tmp_path / "page"
    page.write_bytes(b"".join(word.ljust(4096, b"\0") for word in (b"zero", b"", b"two")))
    seen = watch([str(cold), TRUE, str(page)])
    assert seen.of(ExecEvent)[-1].argv == ("zero", "", "two")
    seen = watch([str(cold), "/no/such", str(page)])
    (failed,) = seen.of(ExecFailed)
    # The kernel gives up before it reads the arguments: what nobody read is flagged, what is shown is true.
    assert failed.filename == "/no/such"
    assert failed.argv in [("zero", "", "two"), (None, None, None)]
    assert bool(failed.argv_error) == (None in failed.argv)


def test_a_script_names_itself_its_interpreter_and_the_file_that_runs(folder: Path) -> None:
    name = script(folder / "script", "/bin/sh -e")
    (event,) = started(name, ["ignored", "one", ""])
    assert (event.filename, event.interpreter) == (name, "/bin/sh")
    assert event.argv == ("/bin/sh", "-e", name, "one", "")
    assert event.exe == os.path.realpath("/bin/sh")
    assert event.comm == "script"


def test_a_script_whose_interpreter_is_a_script_names_the_last_one(folder: Path) -> None:
    inner = script(folder / "inner", "/bin/sh")
    outer = script(folder / "outer", inner)
    (event,) = started(outer, [outer, "x"])
    assert (event.filename, event.interpreter) == (outer, "/bin/sh")
    assert event.argv == ("/bin/sh", inner, outer, "x")


def test_execution_by_descriptor_shows_descriptor_flags_and_the_file() -> None:
    source = """
import ctypes, os, shutil
libc = ctypes.CDLL(None)
argv = (ctypes.c_char_p * 3)(b"name", b"x", None)
memory = os.memfd_create("in memory")
with open("/bin/true", "rb") as program:
    os.write(memory, program.read())
os.dup2(os.open("/bin/true", os.O_RDONLY), 76, inheritable=False)
os.dup2(os.open("/bin", os.O_PATH), 77)
os.dup2(memory, 78)
for fd, path, flags in (
    (76, b"", 0x1000), (77, b"true", 0), (78, b"", 0x1000), (77, b"/bin/true", 0), (77, b"missing", 0),
):
    if os.fork() == 0:
        libc.execveat(fd, path, argv, None, flags)
        os._exit(1)
    os.wait()
"""
    seen = watch_python(source)
    found = seen.of(ExecEvent)[1:]
    true = os.path.realpath(TRUE)
    assert [(event.fd, event.at_flags, event.filename, event.exe) for event in found] == [
        (76, 0x1000, "/dev/fd/76", true),
        (77, 0, "/dev/fd/77/true", true),
        (78, 0x1000, "/dev/fd/78", "/memfd:in memory"),
        (77, 0, TRUE, true),
    ]
    assert {event.argv for event in found} == {("name", "x")}
    (failed,) = seen.of(ExecFailed)
    assert (failed.fd, failed.filename, failed.errno) == (77, "/dev/fd/77/missing", "ENOENT")


def test_the_executed_file_is_named_across_mounts_and_links(folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    (folder / "link").symlink_to(below / "copy")
    commands = f"mount -t tmpfs none {below} && cp {TRUE} {below}/copy && {folder}/link"
    seen = watch(["unshare", "--mount", "sh", "-c", commands])
    assert seen.status == 0
    (event,) = seen.of(ExecEvent, filename=f"{folder}/link")
    assert event.exe == f"{below}/copy"


def test_a_setuid_program_run_by_nobody_is_seen_from_start_to_end(folder: Path, require: Require) -> None:
    program = build(folder, "nothing", "-static", "-nostdlib")
    require(program is not None, "no C compiler")
    os.chmod(str(program), 0o4755)
    source = "import os, sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], ['setuid', 'x'])"
    seen = watch_python(source, str(program))
    assert seen.status == 0
    event = seen.of(ExecEvent)[-1]
    assert (event.uid, event.filename, event.argv) == (65534, program, ("setuid", "x"))
    assert [(end.uid, end.exit_code) for end in seen.of(ExitEvent)] == [(65534, 0)]


def test_execs_from_a_thread_that_is_not_the_leader(tmp_path: Path, require: Require) -> None:
    program = build(tmp_path, "threads", "-pthread")
    require(program is not None, "no C compiler")
    seen = watch([str(program), "/no/such", TRUE])
    assert seen.life(seen.pid) == ["exec", "exec_failed", "exec", "exit"]
    (failed,), event = seen.of(ExecFailed), seen.of(ExecEvent)[-1]
    assert (failed.filename, failed.argv, failed.errno) == ("/no/such", ("from a thread", "failing"), "ENOENT")
    assert (event.filename, event.argv, event.ret) == (TRUE, ("from a thread", "done"), 0)
    assert failed.tid == event.tid != seen.pid
    assert failed.pid == event.pid == seen.pid
    assert event.duration_ns
    assert event.comm_before == "threads"
    # It is the same process all the time, and its last thread ended it.
    assert len({one.start_ns for one in seen.events}) == 1
    assert seen.of(ExitEvent)[0].exit_code == 0


def test_32_bit_programs_are_seen_executed_and_executing(tmp_path: Path, require: Require) -> None:
    program = build(tmp_path, "compat", "-m32", "-static", "-nostdlib")
    require(program is not None, "no compiler for 32-bit programs")
    try:
        require(os.spawnv(os.P_WAIT, str(program), ["compat"]) == 7, "the kernel runs no 32-bit programs")
    except OSError:
        require(False, "the kernel runs no 32-bit programs")
    compat = str(program)
    seen = watch([compat, compat, compat, TRUE, "x"])
    found = seen.of(ExecEvent)
    assert [event.argv for event in found] == [
        (compat, compat, compat, TRUE, "x"), (compat, compat, TRUE, "x"), (compat, TRUE, "x"), (TRUE, "x"),
    ]  # fmt: skip
    # x86 hides the calls of 32-bit code from their tracepoints: nobody saw them begin, and nothing is made up.
    assert [event.duration_ns is None for event in found] == [False, True, True, True]
    assert [event.comm_before for event in found][1:] == [None] * 3
    assert seen.of(ExitEvent)[0].exit_code == 0
    seen = watch([compat, "/no/such"])
    assert seen.life(seen.pid) == ["exec", "exit"]
    assert seen.of(ExitEvent)[0].exit_code == 2


def test_programs_one_after_the_other_in_one_process() -> None:
    seen = watch(["sh", "-c", "exec /bin/sh -c 'exec /bin/sh -c \"exec /bin/true last\"'"])
    assert seen.life(seen.pid) == ["exec"] * 4 + ["exit"]
    found = seen.of(ExecEvent)
    assert {event.start_ns for event in found} == {seen.events[0].start_ns}
    assert found[-1].argv == (TRUE, "last")
    (end,) = seen.of(ExitEvent)
    # The last program's life, and the process's.
    assert end.lifetime_ns == end.time_ns - found[-1].time_ns
    assert end.age_ns > found[-1].time_ns - found[0].time_ns


def test_posix_spawn_and_vfork_have_a_parent_a_fork_and_an_end() -> None:
    source = """
import os, subprocess
os.waitpid(os.posix_spawn("/bin/true", ["spawned"], {}), 0)
subprocess.run(["/bin/true", "vforked"], close_fds=False)
"""
    seen = watch_python(source)
    for event, name in zip(seen.of(ExecEvent)[1:], ("spawned", "vforked"), strict=True):
        assert (event.argv or ())[-1] == name
        assert seen.life(event.pid) == ["fork", "exec", "exit"]
        assert (event.ppid, event.parent_start_ns) == (seen.pid, seen.events[0].start_ns)


def test_a_thread_is_no_process() -> None:
    source = "import threading\nfor _ in range(5):\n    t = threading.Thread(target=int); t.start(); t.join()"
    seen = watch_python(source)
    assert seen.life(seen.pid) == ["exec", "exit"]
    assert not seen.of(ForkEvent)


def test_a_daemon_is_followed_when_its_parents_are_gone() -> None:
    source = """
import os, sys
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    middle = os.getpid()
    if os.fork() == 0:
        os.close(read)
        while os.path.exists(f"/proc/{middle}"):
            pass
        os.set_inheritable(write, True)
        os.execv("/bin/true", ["daemon"])
    os._exit(0)
os.wait()
os.close(write)
os.read(read, 1)
"""
    seen = watch_python(source)
    middle, daemon = [event.pid for event in seen.of(ForkEvent)]
    assert seen.life(middle) == ["fork", "exit"]
    assert seen.life(daemon) == ["fork", "exec", "exit"]
    fork, event = seen.of(ForkEvent, pid=daemon)[0], seen.of(ExecEvent, pid=daemon)[0]
    assert fork.ppid == middle
    # Whoever adopts orphans here is its parent now.
    assert event.ppid not in (middle, seen.pid)
    assert event.start_ns == fork.start_ns


def test_a_process_id_that_comes_again_is_another_process(tmp_path: Path, require: Require) -> None:
    program = build(tmp_path, "reuse")
    require(program is not None, "no C compiler")
    seen = watch([str(program), TRUE])
    require(seen.status == 0, "clone3() takes no process id")
    first, second = seen.of(ExecEvent)[1:]
    assert first.pid == second.pid
    assert [(first.argv or ())[-1], (second.argv or ())[-1]] == ["first", "second"]
    assert seen.life(first.pid) == ["fork", "exec", "exit"] * 2
    keys = [event.start_ns for event in seen.events if event.pid == first.pid]
    assert keys == [first.start_ns] * 3 + [second.start_ns] * 3
    assert first.start_ns != second.start_ns


def test_a_process_in_a_pid_namespace_has_both_numbers() -> None:
    seen = watch(["unshare", "--pid", "--fork", TRUE, "inside"])
    event = seen.of(ExecEvent)[-1]
    assert event.argv == (TRUE, "inside")
    assert event.ns_pid == 1
    assert event.pid == seen.of(ForkEvent)[0].pid > 1
    assert seen.of(ExecEvent)[0].ns_pid is None


def test_what_runs_is_told_as_json_of_the_contract() -> None:
    seen = watch(["sh", "-c", "/bin/true x; /no/such/program; exit 3"])
    rows = [json.loads(json.dumps(event.to_json())) for event in seen.events if event.name != "fork"]
    assert [row["event"] for row in rows] == ["exec", "exec", "exit", "exec_failed", "exit", "exit"]
    for row in rows:
        assert {"event", "time", "pid", "tid", "ppid", "uid", "comm"} <= row.keys()
    assert {"filename", "argv", "ret", "duration_ns"} <= rows[1].keys()
    assert (rows[3]["ret"], rows[3]["errno"]) == (-2, "ENOENT")
    assert {"lifetime_ns", "exit_code", "cpu_ns"} <= rows[-1].keys()
    assert rows[-1]["exit_code"] == 3
