"""Counting in the kernel: exact counts by key, histograms equal to ours, stacks that name the right functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from bisect import bisect_right
from collections import Counter

import pytest

SIZES = [0, 1, 2, 3, 7, 8, 63, 64, 65, 1000, 4095, 4096, 5000] * 3
WRITER = f"""
import os
fd = os.open("/dev/null", os.O_WRONLY)
for size in {SIZES}:
    os.write(fd, b"x" * size)
for _ in range(7):
    try:
        os.write(99, b"no")
    except OSError:
        pass
"""
WRITE, WRITTEN = "tracepoint:syscalls:sys_enter_write", "tracepoint:syscalls:sys_exit_write"


def attach(*arguments: str, command: list[str] | None = None) -> tuple[list[dict[str, object]], str]:
    """The rows, and the last line on standard error."""
    whole = [sys.executable, "-m", "tracescope", "attach", *arguments, "--json", "--"]
    done = subprocess.run(
        [*whole, *(command or [sys.executable, "-I", "-S", "-c", WRITER])],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.splitlines()[-1]


def test_counts_by_keys_are_exact():
    rows, last = attach(WRITE, "--count-by", "args.fd,args.count")
    counted = {(row["keys"]["args.fd"], row["keys"]["args.count"]): row["count"] for row in rows}
    (null,) = {fd for fd, size in counted if size == 5000}
    assert {size: count for (fd, size), count in counted.items() if fd == null} == Counter(SIZES)
    assert counted[99, 2] == 7
    assert last.endswith(" 0 lost")
    assert int(last.split()[0]) == sum(counted.values())


def test_a_condition_leaves_the_others_out():
    rows, _ = attach(WRITTEN, "--count-by", "comm", "--where", "ret == -EBADF")
    assert [row["count"] for row in rows] == [7]


def test_a_histogram_in_powers_of_two_is_the_one_that_the_sizes_make():
    rows, _ = attach(WRITE, "--hist", "args.count", "--where", "args.fd != 99 && args.fd > 2")
    edges = [0, 1, *(1 << power for power in range(1, 20))]
    expected = Counter(edges[bisect_right(edges, size) - 1] for size in SIZES)
    assert {row["low"]: row["count"] for row in rows} == expected


def test_a_linear_histogram_has_a_bucket_below_and_one_above():
    rows, _ = attach(WRITTEN, "--lhist", "ret:0:4K:1000")
    counted = {(row.get("low"), row.get("high")): row["count"] for row in rows}
    assert counted[None, 0] == 7
    assert counted[4096, None] == sum(size >= 4096 for size in SIZES)
    assert counted[4000, 4096] == sum(4000 <= size < 4096 for size in SIZES)


def test_sums_are_those_of_the_values():
    (row,), _ = attach(WRITTEN, "--sum", "ret", "--where", "ret >= 0")
    assert (row["count"], row["total"]) == (len(SIZES), sum(SIZES))
    assert (row["min"], row["max"]) == (min(SIZES), max(SIZES))


def test_several_probes_count_apart_and_pairs_know_how_long_it_took():
    rows, _ = attach(WRITE, "tracepoint:syscalls:sys_enter_close", "--count-by", "pid")
    assert {row["probe"] for row in rows} >= {WRITE}
    rows, _ = attach(WRITE, "--pair", "--sum", "duration_ns", "--where", "ret == 5000")
    assert rows[0]["count"] == 3
    assert 0 < rows[0]["min"] <= rows[0]["max"]


def test_bpftrace_counts_the_same(require, tmp_path):
    program = f"{WRITE} /pid == cpid/ {{ @[args.count] = count(); }}"
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    done = subprocess.run(
        ["bpftrace", "-f", "json", "-e", program, "-c", f"{sys.executable} -I -S {script}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode and "args.count" in done.stderr:
        program = program.replace("args.", "args->")
        done = subprocess.run(
            ["bpftrace", "-f", "json", "-e", program, "-c", f"{sys.executable} -I -S {script}"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    maps = [json.loads(line) for line in done.stdout.splitlines() if '"map"' in line]
    theirs = {int(size): count for size, count in maps[0]["data"]["@"].items()}
    rows, _ = attach(WRITE, "--count-by", "args.count", command=[sys.executable, "-I", "-S", str(script)])
    assert {row["keys"]["args.count"]: row["count"] for row in rows} == theirs


C_TEXT = """
#include <unistd.h>
__attribute__((noinline)) int innermost(void) { return write(99, "x", 1) + 1; }
__attribute__((noinline)) int middle(void) { return innermost() + 1; }
int main(void) { int sum = 0; for (int i = 0; i < 50; i++) sum += middle(); return sum == 1234567; }
"""


@pytest.fixture(scope="module")
def stacked(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("stacked")
    (folder / "stacked.c").write_text(C_TEXT)
    program = str(folder / "stacked")
    flags = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-static"]
    subprocess.run(["gcc", *flags, "-o", program, str(folder / "stacked.c")], check=True)
    return program


def test_stacks_name_the_functions_of_the_program_and_of_the_kernel(stacked):
    rows, _ = attach(WRITE, "--stack", "both", "--where", "args.fd == 99", command=[stacked])
    assert sum(row["count"] for row in rows) == 50
    user = [frame.partition("+")[0] for frame in rows[0]["keys"]["ustack"]]
    # The C library's write() has no frame of its own: the kernel misses who called it, and finds the rest.
    assert user[user.index("middle") :][:2] == ["middle", "main"]
    kernel = [frame.partition("+")[0] for frame in rows[0]["keys"]["kstack"]]
    assert any("syscall" in frame for frame in kernel)


def test_nothing_stays_loaded():
    attach(WRITE, "--count-by", "comm")
    shown = subprocess.run(["bpftool", "prog", "show", "-j"], capture_output=True, check=True, text=True).stdout
    mine = [row for row in json.loads(shown) if str(row.get("name", "")).startswith("ts_probe")]
    holders = [pid for row in mine for pid in row.get("pids", []) if pid.get("pid") == os.getpid()]
    assert holders == []
