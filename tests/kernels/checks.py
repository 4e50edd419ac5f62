"""Inside the guest: the checks. Each raises AssertionError or returns facts; Absent names what this kernel lacks."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from traced import FILE, FOLDER, GUEST, HOST, NAME, READS, REFUSED, WRITES, bpftrace_knows, bpftrace_rows, count, trace

from tracescope.attach.ask.keys import Counted, parse_keys
from tracescope.attach.ask.summary import KeyKind, Pow2
from tracescope.attach.expression.parse import parse
from tracescope.attach.kernel import links
from tracescope.attach.kernel.transport import Transport
from tracescope.model import Reason

__all__ = ("CHECKS", "Absent", "prepare")

Check = Callable[[], object]
CHECKS: dict[str, Check] = {}
NAME_OF_FILE = "args.file->f_path.dentry->d_name.name"
_BY_VALUE = frozenset((Reason.BY_VALUE, Reason.LARGE_BY_VALUE))
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")


class Absent(Exception):
    """This kernel lacks what the check is about."""


def prepare(folder: Path) -> None:
    """Where the workload is; its file lies on a plain file system: overlayfs calls the vfs_* functions again."""
    subprocess.run(["mount", "-t", "tmpfs", "none", FOLDER], check=True)
    GUEST.folder = folder


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@check
def the_kernel():
    return {
        "release": platform.release(),
        "kprobe_multi": links.has_kprobe_multi(),
        "uprobe_multi": links.has_uprobe_multi(),
        "symbols": len(GUEST.catalog.names),
        "btf": GUEST.types is not None,
        "sources": {name: report.state.value for name, report in GUEST.catalog.knowledge.reports.items()},
    }


# Functions: each kind alone, against what the workload does and against bpftrace.

EXPECTED = {"vfs_write": WRITES + REFUSED, "vfs_read": READS}
RESULTS = {"vfs_write": WRITES + [-9] * 3, "vfs_read": READS, "vfs_unlink": [0]}


def _entries(kind: str) -> dict[str, int]:
    """File name and size of every read and write, at its entry; opens and unlinks by name."""
    prefix = "kprobe:" if kind == "kprobe" else f"{kind}:vmlinux:"
    events, _ = trace([f"{prefix}vfs_read", f"{prefix}vfs_write"], show=[NAME_OF_FILE])
    known, total = bpftrace_rows(), 0
    for function, sizes in EXPECTED.items():
        mine = [
            (event.args[NAME_OF_FILE], event.args["count"])
            for event in events
            if event.probe == prefix + function and event.args[NAME_OF_FILE] == NAME
        ]
        assert mine == [(NAME, size) for size in sizes], mine
        if bpftrace_knows(prefix + function):
            assert mine == known[prefix + function], known[prefix + function]
        total += len(mine)
    for function, shown, times in (
        ("vfs_open", "args.path->dentry->d_name.name", 2),
        ("vfs_unlink", "args.dentry->d_name.name", 1),
    ):
        events, _ = trace([prefix + function], show=[shown])
        mine = [event for event in events if event.args[shown] == NAME]
        assert len(mine) == times, [event.args for event in events]
        if bpftrace_knows(prefix + function):
            assert len(known[prefix + function]) == times
    return {"events": total + 3}


@check
def kprobe_arguments_and_struct_members_are_those_of_bpftrace():
    return _entries("kprobe")


@check
def fentry_arguments_and_struct_members_are_those_of_bpftrace():
    return _entries("fentry")


@check
def kretprobe_results_are_those_of_bpftrace():
    events, _ = trace([f"kretprobe:{function}" for function in RESULTS])
    known, seen = bpftrace_rows(), {}
    for function, results in RESULTS.items():
        probe = f"kretprobe:{function}"
        mine = [event.ret for event in events if event.probe == probe]
        assert mine == results, mine
        assert mine == [number for _, number in known[probe]], known[probe]
        seen[function] = len(mine)
    return seen


@check
def fexit_results_with_arguments_are_those_of_bpftrace():
    known, seen = bpftrace_rows(), {}
    for functions, shown in ((("vfs_read", "vfs_write"), NAME_OF_FILE), (("vfs_unlink",), "args.dentry->d_name.name")):
        events, _ = trace([f"fexit:vmlinux:{function}" for function in functions], show=[shown])
        for function in functions:
            probe = f"fexit:vmlinux:{function}"
            mine = [event for event in events if event.probe == probe and event.args[shown] == NAME]
            assert [event.ret for event in mine] == RESULTS[function]
            if bpftrace_knows(probe):
                assert [(NAME, event.ret) for event in mine] == known[probe]
            seen[function] = len(mine)
    return seen


@check
def conditions_on_arguments_and_members_hold_in_the_kernel():
    seen = {}
    for probe in ("kprobe:vfs_write", "fentry:vmlinux:vfs_write"):
        where = f'args.count > 200 && {NAME_OF_FILE} == "{NAME}"'
        events, _ = trace([probe], where=where)
        assert [event.args["count"] for event in events] == [size for size in WRITES if size > 200]
        seen[probe] = len(events)
    events, _ = trace(["fexit:vmlinux:vfs_write"], where="ret < 0")
    assert [(event.ret, event.args["count"]) for event in events] == [(-9, 7)] * 3
    return seen


@check
def entry_and_return_are_one_event_with_its_duration():
    seen = {}
    for probe in ("kprobe:vfs_write", "fentry:vmlinux:vfs_write"):
        events, _ = trace([probe], pair=True)
        assert [(event.args["count"], event.ret) for event in events] == [
            *zip(WRITES, WRITES, strict=True),
            *[(7, -9)] * 3,
        ]
        assert all(0 < event.duration_ns < 60_000_000_000 for event in events)
        seen[probe] = sorted(event.duration_ns for event in events)[len(events) // 2]
    return seen


@check
def paths_behind_arguments_load_and_are_read():
    seen = {}
    for probe in ("kprobe:vfs_read", "fentry:vmlinux:vfs_read", "fexit:vmlinux:vfs_read", "fentry:vmlinux:vfs_open"):
        events, _ = trace([probe], bare=False)
        paths = [value for event in events for value in event.args.values() if value == FILE]
        wanted = 2 if "open" in probe else len(READS)
        assert len(paths) == wanted, [event.args for event in events][:5]
        seen[probe] = len(paths)
    return seen


@check
def all_of_vfs_attach_and_are_counted():
    """kprobe.multi where the kernel has it, else one by one."""
    events, _ = trace(["kprobe:vfs_*"])
    seen = Counter(event.probe for event in events)
    assert seen["kprobe:vfs_write"] == len(WRITES + REFUSED), seen
    assert seen["kprobe:vfs_read"] == len(READS)
    assert seen["kprobe:vfs_unlink"] == 1
    sizes = [event.args["count"] for event in events if event.probe == "kprobe:vfs_write"]
    assert sizes == WRITES + REFUSED
    ends, _ = trace(["kretprobe:vfs_*"])
    results = [event.ret for event in ends if event.probe == "kretprobe:vfs_write"]
    assert results == RESULTS["vfs_write"]
    return {"multi": links.has_kprobe_multi(), "probes": len(GUEST.finder.targets(["kprobe:vfs_*"])), "seen": seen}


@check
def many_functions_go_through_one_link():
    if not links.has_kprobe_multi():
        raise Absent("this kernel has no kprobe.multi (CONFIG_FPROBE)")
    from tracescope.attach.open import open_plan

    names = ["kprobe:vfs_read", "kprobe:vfs_write", "kprobe:vfs_unlink"]
    plan = open_plan(HOST, GUEST.finder.targets(names), bare=True, types=GUEST.types)
    assert {probe.function for probe in plan.probes} == {"many_0"}
    events, _ = trace(names)
    assert [event.args["count"] for event in events if event.probe == names[1]] == WRITES + REFUSED
    return Counter(event.probe for event in events)


@check
def the_perf_buffer_carries_the_same_events():
    seen = {}
    for probe in ("kprobe:vfs_write", "fentry:vmlinux:vfs_write"):
        ring, perf = (trace([probe], show=[NAME_OF_FILE], transport=one)[0] for one in Transport)
        told = [[(event.args["count"], event.args[NAME_OF_FILE]) for event in events] for events in (ring, perf)]
        assert told[0] == told[1] == [(size, NAME) for size in WRITES + REFUSED], told
        seen[probe] = len(perf)
    return seen


# Counting


@check
def counts_and_histograms_are_exact():
    summary = count(["kprobe:vfs_write"], Counted(parse_keys(f"{NAME_OF_FILE}, comm")))
    rows = {row.keys: row.count for row in summary.summary()}
    assert rows[NAME, "workload"] == len(WRITES + REFUSED), rows
    summary = count(["fentry:vmlinux:vfs_write"], Counted((), parse("args.count"), Pow2()), where="args.count > 0")
    rows = {row.bucket: row.count for row in summary.summary()}
    expected = Counter(size.bit_length() for size in WRITES + REFUSED)
    assert sorted(rows.values()) == sorted(expected.values()), (rows, expected)
    assert sum(row.total for row in summary.summary()) == sum(WRITES + REFUSED)
    return {"buckets": len(rows)}


@check
def stacks_name_the_functions_that_led_there():
    seen = {}
    for probe in ("kprobe:vfs_write", "fentry:vmlinux:vfs_write"):
        summary = count([probe], Counted((KeyKind.KERNEL_STACK, KeyKind.USER_STACK)))
        rows = summary.summary()
        assert sum(row.count for row in rows) == len(WRITES + REFUSED)
        kernel = {frame.name for row in rows for frame in summary.symbols.frames(row.keys[0])}
        user = {frame.name for row in rows for frame in summary.symbols.frames(row.keys[1])}
        assert {"ksys_write", "do_syscall_64"} <= kernel, kernel
        assert "write_all" in user, user
        seen[probe] = len(rows)
    return seen
