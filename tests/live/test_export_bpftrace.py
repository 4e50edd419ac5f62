"""The installed bpftrace takes what is written for it, and counts what TraceScope's own session does."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from attached import run_traced
from started import Started

from tracescope.cli.main import main

CALLS = "tracepoint:syscalls:sys_"
OPENS = 37
WORK = f"import os, sys; [os.close(os.open('/dev/null', 0)) for _ in range({OPENS})]"
SELECTIONS = {
    "execve": [f"{CALLS}enter_execve", f"{CALLS}exit_execve"],
    "all four": [f"{CALLS}{end}_{name}" for name in ("execve", "execveat") for end in ("enter", "exit")],
    "openat with a filter": [f"{CALLS}enter_openat", "--comm", 'a"b', "--where", 'args.filename =~ "/etc/*"'],
    "openat pair": [f"{CALLS}enter_openat", "--pair", "--where", "ret < 0 && duration_ns > 10"],
    "sched_switch counted": ["tracepoint:sched:sched_switch", "--count-by", "args.prev_comm, kstack"],
    "read sizes": [f"{CALLS}exit_read", "--hist", "args.ret", "--count-by", "comm", "--where", "args.ret > 0"],
    "read pair": [f"{CALLS}enter_read", "--pair", "--hist", "duration_ns", "--count-by", "comm, args.fd"],
    "exec, dynamic text": ["tracepoint:sched:sched_process_exec"],
    "a followed tree": [f"{CALLS}enter_openat", "--tree", "1", "--uid", "0", "--show", "ppid, comm"],
    "software": ["software:page-faults:100", "--count-by", "comm"],
    "profile": ["profile:hz:99", "--count-by", "kstack"],
    "interval": ["interval:s:1"],
}


@pytest.fixture(autouse=True)
def bpftrace(require) -> None:
    require(shutil.which("bpftrace") is not None, "bpftrace is not installed")


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["export", *words, "--as", "bpftrace"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", SELECTIONS.values(), ids=SELECTIONS)
def test_bpftrace_takes_the_script(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "made.bt"
    file.write_text(exported(capsys, *words))
    help_text = subprocess.run(["bpftrace", "--help"], capture_output=True, text=True, timeout=60)
    dry = "--dry-run" if "--dry-run" in help_text.stdout + help_text.stderr else "-d"
    ran = subprocess.run(["bpftrace", dry, str(file)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]


def run_script(text: str, tmp_path: Path, command: str) -> str:
    file = tmp_path / "made.bt"
    file.write_text(text)
    ran = subprocess.run(["bpftrace", "-c", command, str(file)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def test_it_prints_as_many_events_as_the_own_session(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    where = 'args.filename == "/dev/null"'
    work = tmp_path / "work.py"
    work.write_text(WORK)
    text = exported(capsys, f"{CALLS}enter_openat", "--where", where, "--comm", "opens_null")
    program = tmp_path / "opens_null"
    program.symlink_to(os.path.realpath(sys.executable))
    out = run_script(text, tmp_path, f"{program} -I -S {work}")
    printed = [line for line in out.splitlines() if "filename=/dev/null" in line]
    events, counts, _ = run_traced([str(program), "-I", "-S", str(work)], "syscalls:sys_enter_openat")
    own = [event for event in events if event.args.get("filename") == "/dev/null"]
    assert len(printed) == len(own) == OPENS
    assert counts.lost == 0


def test_it_counts_as_many_events_as_the_own_session(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    work = tmp_path / "work.py"
    work.write_text(WORK)
    program = tmp_path / "opens_null"
    program.symlink_to(os.path.realpath(sys.executable))
    text = exported(
        capsys, f"{CALLS}enter_openat", "--pair", "--where", 'args.filename == "/dev/null" && ret >= 0',
        "--count-by", "comm", "--comm", "opens_null",
    )  # fmt: skip
    out = run_script(text, tmp_path, f"{program} -I -S {work}")
    events, _, _ = run_traced([str(program), "-I", "-S", str(work)], "syscalls:sys_enter_openat")
    own = [event for event in events if event.args.get("filename") == "/dev/null"]
    assert re.findall(r"^@\[opens_null\]: (\d+)$", out, re.MULTILINE) == [str(len(own))] == [str(OPENS)]


def interrupted(tracer: Started[bytes]) -> bytes:
    """What it still says. bpftrace before 0.18 does not hear an interrupt while it prints: it is sent again."""
    for _ in range(30):
        tracer.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return tracer.communicate(timeout=1)[0]
    raise AssertionError


def test_a_child_of_a_followed_process_is_followed(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "made.bt"
    where = 'args.filename =~ "/dev/*"'
    file.write_text(exported(capsys, f"{CALLS}enter_openat", "--tree", str(os.getpid()), "--where", where))
    work = f'{sys.executable} -I -S -c "{WORK}"; :'
    with Started(["bpftrace", "-B", "none", str(file)], stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None
        # It prints its title before it has attached everything: an event of ours is the sign that it has.
        out, end = b"", time.monotonic() + 60
        while b"filename=/dev/full" not in out:
            assert tracer.poll() is None
            assert time.monotonic() < end
            os.close(os.open("/dev/full", os.O_RDONLY))
            if select.select([tracer.stdout], [], [], 0.05)[0]:
                out += os.read(tracer.stdout.fileno(), 1 << 16)
        subprocess.run(["/bin/sh", "-c", work], check=True)
        # What it has not taken out of its buffers when it is ended, it throws away.
        while out.count(b"filename=/dev/null ") < OPENS and time.monotonic() < end:
            if select.select([tracer.stdout], [], [], 1)[0]:
                out += os.read(tracer.stdout.fileno(), 1 << 16)
        out += interrupted(tracer)
    assert out.count(b"filename=/dev/null ") == OPENS


def test_files_are_written_once(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["export", f"{CALLS}enter_execve", "--as", "bpftrace", "-o", str(tmp_path / "new")]
    assert main(words) == 0
    file = tmp_path / "new" / "sys_enter_execve.bt"
    assert "join(" in file.read_text()
    file.write_text("mine")
    assert main(words) == 1
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine"
