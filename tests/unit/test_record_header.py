"""The header of a record, as the C compiler of this machine makes it out of a task in memory."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from formats import OFFSETS
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.program.head import fill_text
from tracescope.attach.record.layout import HEADER

BEFORE = """
typedef unsigned long long u64;
typedef unsigned int u32;
struct record { u64 time_ns; u32 cpu, probe, pid, tid, ppid, flags; char comm[16]; };
static u64 bpf_ktime_get_ns(void) { return 7; }
static u32 bpf_get_smp_processor_id(void) { return 3; }
"""
AFTER = """
static u64 task;
static u64 our_task(void) { return task; }
void header(struct record *record, u64 at) { task = at; current_task = our_task; fill(record, 5); }
"""
ROOM = OFFSETS.comm + 16


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """A library with the function `header`."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler here")
    folder: Path = tmp_path_factory.mktemp("header")
    (folder / "header.c").write_text(BEFORE + fill_text(OFFSETS) + AFTER)
    command = ["gcc", "-O2", "-fno-strict-aliasing", "-shared", "-fPIC", "-o", "header.so", "header.c"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "header.so"))


def task(tgid: int, pid: int, parent: int, comm: bytes) -> ctypes.Array[ctypes.c_char]:
    """A `struct task_struct` with what the header takes of it."""
    room = ctypes.create_string_buffer(ROOM)
    struct.pack_into("=I", room, OFFSETS.tgid, tgid)
    struct.pack_into("=I", room, OFFSETS.pid, pid)
    struct.pack_into("=Q", room, OFFSETS.real_parent, parent)
    struct.pack_into("=16s", room, OFFSETS.comm, comm)
    return room


def check_command(header: ctypes.CDLL, comm: bytes) -> None:
    parent = task(41, 41, 0, b"parent")
    child = task(42, 43, ctypes.addressof(parent), comm)
    record = ctypes.create_string_buffer(HEADER.size)
    header.header(record, ctypes.c_uint64(ctypes.addressof(child)))
    known = comm.partition(b"\0")[0].ljust(16, b"\0")
    assert HEADER.unpack(record.raw) == (7, 3, 5, 42, 43, 41, 0, known)


@given(st.binary(min_size=16, max_size=16))
def test_a_command_ends_with_its_nul_whatever_is_behind_it(header: ctypes.CDLL, comm: bytes) -> None:
    check_command(header, comm)


@pytest.mark.parametrize("length", range(17))
def test_a_shorter_command_leaves_nothing_of_a_longer_one(header: ctypes.CDLL, length: int) -> None:
    check_command(header, (b"x" * length + b"\0" + b"\x80\x01old-comm-------")[:16])
