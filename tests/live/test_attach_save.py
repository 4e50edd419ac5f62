"""`attach --save` against `replay`: the file tells what the session told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = (sys.executable, "-m", "tracescope")
ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *words], capture_output=True, cwd=ROOT, check=False, timeout=100)


def test_a_replayed_recording_prints_what_the_session_printed(tmp_path: Path, require):
    require(os.geteuid() == 0, "not root")
    file = str(tmp_path / "a.rec")
    probe = "tracepoint:syscalls:sys_enter_execve"
    live = run("attach", probe, "--json", "--save", file, "--", "/usr/bin/env", "true", "a b", "")
    assert live.returncode == 0
    assert live.stdout.count(b"\n") >= 2
    again = run("replay", file, "--json")
    assert again.stdout == live.stdout
    assert again.stderr.endswith(live.stderr.splitlines()[-1] + b"\n")


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, require):
    require(os.geteuid() == 0, "not root")
    file = tmp_path / "a.rec"
    file.write_text("mine")
    refused = run("attach", "tracepoint:syscalls:sys_enter_execve", "--save", str(file), "--", "/bin/true")
    assert refused.returncode == 1
    assert file.read_text() == "mine"
