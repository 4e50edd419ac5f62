"""A command held back until it is released."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracescope.attach.launch import find_program, launch
from tracescope.errors import Refused


def script(path, text="#!/bin/sh\nexit 3\n", mode=0o755):
    path.write_text(text)
    path.chmod(mode)
    return path


def test_nothing_runs_before_the_release(tmp_path):
    mark = tmp_path / "mark"
    child = launch(["sh", "-c", f"touch {mark}; exit 3"])
    assert child.poll() is None
    assert not mark.exists()
    assert Path(f"/proc/{child.pid}/exe").readlink() == Path("/proc/self/exe").readlink()
    child.release()
    assert child.wait() == 3
    assert mark.exists()
    assert child.poll() == 3


def test_a_child_that_is_given_up_never_runs(tmp_path):
    mark = tmp_path / "mark"
    child = launch(["touch", str(mark)])
    child.abandon()
    assert not mark.exists()
    assert not Path(f"/proc/{child.pid}").exists()


def test_a_child_whose_parent_dies_never_runs(tmp_path):
    mark = tmp_path / "mark"
    source = f"""
import os
from tracescope.attach.launch import launch
print(launch(["touch", {str(mark)!r}]).pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    # The pipe ends only when the child has, so nothing has to be waited for.
    assert done.stdout.strip().isdecimal()
    assert not mark.exists()


def test_the_first_program_on_path_that_can_run_is_taken(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    script(tmp_path / "a" / "tool", mode=0o644)
    (tmp_path / "b" / "tool").mkdir()
    script(tmp_path / "c" / "tool")
    path = ":".join(str(tmp_path / folder) for folder in ("none", "a", "b", "c"))
    assert find_program("tool", path) == str(tmp_path / "c" / "tool")
    assert find_program("./tool", path) == "./tool"
    with pytest.raises(Refused, match="no program of this name is on PATH"):
        find_program("nothing", path)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [(None, 0, "No such file"), ("#!/bin/sh\n", 0o644, "Permission denied"), ("\x7fnothing", 0o755, "format error")],
)
def test_a_program_that_cannot_be_executed_is_refused(tmp_path, text, mode, why):
    path = tmp_path / "program"
    if text is not None:
        script(path, text, mode)
    child = launch([str(path)])
    with pytest.raises(Refused, match=why):
        child.release()
    assert child.wait() == 127


def test_a_command_has_the_signals_of_a_fresh_process():
    child = launch(["sh", "-c", "kill -PIPE $$; exit 0"])
    child.release()
    assert child.wait() == -signal.SIGPIPE


def test_a_command_inherits_no_descriptor_of_ours(tmp_path):
    seen = tmp_path / "seen"
    child = launch(["sh", "-c", f"ls /proc/self/fd > {seen}"])
    child.release()
    assert child.wait() == 0
    expected = subprocess.run(
        ["sh", "-c", "ls /proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
    )
    assert seen.read_text() == expected.stdout
