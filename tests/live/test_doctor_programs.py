"""doctor on programs of ours in this kernel: those of a running session, and those that somebody still holds."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from attached import START_SECONDS, programs_of
from started import Started

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.held import held_programs
from tracescope.doctor_programs import programs_found

# With "fork" a child inherits the descriptors; it is what it is about that it starts well after the load.
HOLDER = f"""
import os, sys, time
from tracescope.attach.open import open_session
from tracescope.host import LiveHost
from tracescope.sources.tracefs import parse_format
host = LiveHost()
data = host.read(host.tracefs + "/events/syscalls/sys_enter_getppid/format")
session = open_session(host, [parse_format(data, "syscalls")])
session.start()
session.wait_running({START_SECONDS})
child = 0
if "fork" in sys.argv:
    time.sleep(0.2)
    child = os.fork()
    if not child:
        time.sleep({START_SECONDS})
        os._exit(0)
print(child, flush=True)
sys.stdin.read(1)
"""


@contextmanager
def holder(*arguments):
    """The process, its programs, its child's pid."""
    command = [sys.executable, "-c", HOLDER, *arguments]
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        try:
            yield process, programs_of(process.pid), child
        finally:
            process.kill()
            if child:
                os.kill(child, signal.SIGKILL)


def held(ids):
    return [one for one in held_programs() if one.id in ids]


def until(ids, wanted):
    """What is held, when that is as wanted or much time has passed."""
    deadline = time.monotonic() + START_SECONDS
    while not wanted(held(ids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held(ids)


def findings(ids):
    return list(programs_found(held(ids)))


def test_the_programs_of_a_session_that_runs_are_named_as_its_own_and_go_with_it():
    with holder() as (process, ids, _):
        assert ids
        ((what, why, fix),) = findings(ids)
        assert f"of a session that runs: pid {process.pid} ({sys.executable} -c" in what
        assert (why, fix) == ("", "")
        process.kill()
        process.wait()
        assert until(ids, lambda found: not found) == []


def test_what_a_child_inherited_is_left_behind_and_the_fix_ends_it():
    with holder("fork") as (process, ids, child):
        ((what, why, _),) = findings(ids)
        assert f"pid {process.pid} " in what
        assert why == ""
        process.kill()
        process.wait()
        ((what, why, fix),) = findings(ids)
        assert "left behind" in what
        assert str(min(ids)) in what
        assert f"pid {child} " in why
        assert fix == f"kill {child}"
        os.kill(child, signal.SIGTERM)
        assert until(ids, lambda found: not found) == []


@pytest.fixture
def bpf_folder(require, tmp_path):
    folder = tmp_path / "bpf"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "bpf", "none", folder], capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"no BPF file system can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_pinned_program_is_left_behind_and_the_fix_ends_it(bpf_folder):
    path = bpf_folder / "a pin"
    with holder() as (process, ids, _):
        (fd,) = (bpf.bpf(13, struct.pack("=III", id_, 0, 0)) for id_ in ids)  # BPF_PROG_GET_FD_BY_ID
        text = ctypes.create_string_buffer(os.fsencode(path))
        bpf.bpf(6, struct.pack("=QII", ctypes.addressof(text), fd, 0))  # BPF_OBJ_PIN
        os.close(fd)
        assert "session that runs" in findings(ids)[0].what
        process.kill()
        process.wait()
        assert [one.pins for one in until(ids, lambda found: not any(one.holders for one in found))] == [(str(path),)]
        ((what, why, fix),) = findings(ids)
        assert "left behind" in what
        assert str(path) in why
        subprocess.run(fix, shell=True, check=True)
        assert until(ids, lambda found: not found) == []
