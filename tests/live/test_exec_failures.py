"""The process monitor on this kernel: execs that fail."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from monitored import TRUE, Seen, build, watch, watch_python

from tracescope.processes import ExecEvent, ExecFailed, ExitEvent

Require = Callable[[bool, str], None]

TRY = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.execve(path, [path, "argument"], {})
    except OSError:
        pass
"""


def errors(seen: Seen) -> list[tuple[str | None, str | None]]:
    return [(event.filename, event.errno) for event in seen.of(ExecFailed)]


def test_each_reason_has_its_name_and_the_arguments(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    private = tmp_path / "private"
    private.write_text("#!/bin/sh\n")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    paths = ["/no/such", str(private), str(text), "/", f"{text}/below", str(loop), "/" + "x" * 300]
    seen = watch_python(TRY, *paths)
    reasons = ["ENOENT", "EACCES", "ENOEXEC", "EACCES", "ENOTDIR", "ELOOP", "ENAMETOOLONG"]
    assert errors(seen) == list(zip(paths, reasons, strict=True))
    for event in seen.of(ExecFailed):
        assert event.argv == (event.filename, "argument")
        assert event.ret == -getattr(__import__("errno"), event.errno or "")
        assert event.pid == seen.pid
        assert event.duration_ns
        assert (event.argv_error, event.filename_error, event.argv_truncated) == (None, None, None)
    assert seen.life(seen.pid) == ["exec", *["exec_failed"] * len(paths), "exit"]
    assert seen.counts.lost == 0


def test_too_many_arguments() -> None:
    source = """
import os
try:
    os.execve("/bin/true", ["x", "a" * (128 * 1024)], {})
except OSError:
    pass
"""
    (event,) = watch_python(source).of(ExecFailed)
    assert (event.filename, event.errno) == (TRUE, "E2BIG")
    assert event.argv == ("x", "a" * 4095)
    assert event.argv_truncated


def test_a_name_looked_for_along_path_is_every_try_and_then_the_program() -> None:
    path = "/no/such/1:/no/such/2:/etc:/bin"
    seen = watch_python(f"import os; os.execvpe('true', ['true', 'found'], {{'PATH': '{path}'}})")
    assert errors(seen) == [("/no/such/1/true", "ENOENT"), ("/no/such/2/true", "ENOENT"), ("/etc/true", "ENOENT")]
    assert seen.of(ExecEvent)[-1].filename == TRUE
    assert {event.argv for event in seen.of(ExecFailed)} == {("true", "found")}


def test_pointers_that_lead_nowhere_are_flagged_and_never_empty() -> None:
    source = """
import ctypes
libc = ctypes.CDLL(None)
libc.execve(ctypes.c_void_p(8), None, None)
libc.execve(b"/no/such", ctypes.c_void_p(8), None)
libc.execve(b"/no/such", (ctypes.c_void_p * 3)(8, 0), None)
"""
    first, second, third = watch_python(source).of(ExecFailed)
    assert (first.filename, first.filename_error, first.errno) == (None, True, "EFAULT")
    assert (second.filename, second.argv, second.argv_error) == ("/no/such", (None,), True)
    assert (third.filename, third.argv, third.argv_error) == ("/no/such", (None,), True)


def test_a_call_that_seccomp_answers_is_a_failed_exec_of_an_unknown_program(tmp_path: Path, require: Require) -> None:
    program = build(tmp_path, "blocked")
    require(program is not None, "no C compiler")
    seen = watch([str(program), TRUE])
    require(seen.status == 13, "no seccomp filters")
    (event,) = seen.of(ExecFailed)
    assert (event.errno, event.filename, event.filename_error, event.duration_ns) == ("EACCES", None, True, None)
    assert seen.life(seen.pid) == ["exec", "exec_failed", "exit"]


RACE = """
import ctypes, threading
libc = ctypes.CDLL(None)
def fail(name):
    argv = (ctypes.c_char_p * 3)(b"thread", name, None)
    for _ in range(200):
        libc.execve(b"/no/such/" + name, argv, None)
threads = [threading.Thread(target=fail, args=(b"%d" % number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_of_one_process_that_fail_at_the_same_time_are_not_mixed_up() -> None:
    seen = watch_python(RACE)
    failed = seen.of(ExecFailed)
    assert len(failed) == 4 * 200
    assert {(event.argv, event.filename) for event in failed} == {
        (("thread", str(number)), f"/no/such/{number}") for number in range(4)
    }
    assert len({(event.tid, event.filename) for event in failed}) == 4
    assert {event.pid for event in failed} == {seen.pid}
    assert not [event for event in failed if event.duration_ns is None or event.argv_error]


def broken_elf(path: Path) -> str:
    """An x86-64 or arm64 program whose only segment lies beyond what a process can have."""
    own = Path("/proc/self/exe").read_bytes()[:64]
    machine = struct.unpack_from("<H", own, 18)[0]
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 1 << 62, 1 << 62, 120, 120, 4096)
    path.write_bytes(head + segment)
    path.chmod(0o755)
    return str(path)


def test_an_exec_that_fails_when_there_is_no_way_back_keeps_its_name(tmp_path: Path, require: Require) -> None:
    require(struct.calcsize("P") == 8, "not a 64-bit machine")
    path = broken_elf(tmp_path / "broken")
    seen = watch_python(f"import os; os.execv({path!r}, ['broken', 'x'])")
    assert seen.life(seen.pid) == ["exec", "exec_failed", "exit"]
    (event,) = seen.of(ExecFailed)
    assert event.filename == path
    # The memory that held the arguments is gone: nothing is read from the new one instead.
    assert (event.argv, event.argv_error) == ((None,), True)
    assert seen.of(ExitEvent)[0].signal == 11
    assert seen.status == -11


def test_only_failed_execs_are_handed_over_when_asked_for() -> None:
    seen = watch(["sh", "-c", "/no/such; /bin/true; exec /bin/true"], failed_only=True)
    assert [event.name for event in seen.events] == ["exec_failed"]
    assert errors(seen) == [("/no/such", "ENOENT")]
    assert seen.counts.events == 1


def test_strict_mode_has_starts_and_failures_from_the_calls_alone(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexec /bin/true last\n")
    script.chmod(0o755)
    seen = watch(["sh", "-c", f"/no/such; {script} one"], strict=True)
    assert [event.name for event in seen.events] == ["exec", "exec_failed", "exec", "exec"]
    first, second, third = seen.of(ExecEvent)
    assert second.filename == str(script)
    assert second.argv == ("/bin/sh", str(script), "one")
    assert (third.filename, third.argv, third.ret, third.comm_before) == (TRUE, (TRUE, "last"), 0, "script")
    assert first.duration_ns
    long = tmp_path / ("d" * 200) / ("e" * 200)
    long.parent.mkdir()
    os.link(script, long) if script.stat().st_dev == long.parent.stat().st_dev else long.write_text("#!/bin/sh\n")
    seen = watch([str(long)], strict=True)
    # The call is over and its memory gone: what was kept of the name says that it is not all.
    event = seen.of(ExecEvent)[0]
    assert event.filename == str(long)[:255]
    assert event.filename_error
