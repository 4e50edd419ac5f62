"""Inside the guest: the checks. Each raises AssertionError or returns facts; Absent names what this kernel lacks."""

from __future__ import annotations

import os
import platform
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from traced import FILE, FOLDER, GUEST, HOST, NAME, READS, REFUSED, WRITES, around, bpftrace_rows, count, trace

from tracescope.attach.ask.keys import Counted, parse_keys
from tracescope.attach.ask.summary import KeyKind, Pow2
from tracescope.attach.expression.parse import parse
from tracescope.attach.hang import hang
from tracescope.attach.kernel import bpf, links, programs
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.targets.target import Target
from tracescope.errors import AttachError
from tracescope.model import Answer, ProbeKind, Reason
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent

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
        assert mine == known[prefix + function], known[prefix + function]
        total += len(mine)
    for function, shown, times in (
        ("vfs_open", "args.path->dentry->d_name.name", 2),
        ("vfs_unlink", "args.dentry->d_name.name", 1),
    ):
        events, _ = trace([prefix + function], show=[shown])
        mine = [event for event in events if event.args[shown] == NAME]
        assert len(mine) == len(known[prefix + function]) == times, [event.args for event in events]
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


# Verdicts against what the kernel says when it is asked.


def _tried(target: Target, kind: programs.ProgramType) -> str:
    """Why it cannot be attached; empty when it can."""
    program, log = programs.load_program(kind, _NOTHING, "ts_try")
    if program < 0:
        return f"load: {os.strerror(-program)} {log[-200:]}"
    try:
        with ExitStack() as attached:
            hang(target, program, attached)
        return ""
    except AttachError as error:
        return str(error)
    finally:
        os.close(program)


def _sample(kind: str, wanted: Answer, size: int) -> list[str]:
    names = sorted(GUEST.catalog.names)
    random.Random(5).shuffle(names)
    found: list[str] = []
    for name in names:
        row = GUEST.catalog.find(f"kprobe:{name}" if kind == "kprobe" else f"{kind}:vmlinux:{name}")
        if row is not None and row.kind == kind and GUEST.catalog.verdict(row.kind, row.entry).answer is wanted:
            found.append(name)
            if len(found) == size:
                break
    return found


def _kprobe(name: str) -> Target:
    from tracescope.attach.targets.btf import function_target

    return function_target(ProbeKind.KPROBE, name, "", GUEST.types)


@check
def kprobe_rows_with_verdict_yes_attach():
    names = _sample("kprobe", Answer.YES, 150)
    refused = {name: why for name in names if (why := _tried(_kprobe(name), programs.KPROBE))}
    assert len(names) == 150
    assert not refused, refused
    return {"tried": len(names)}


@check
def kprobe_rows_with_verdict_no_are_refused():
    names = _sample("kprobe", Answer.NO, 80)
    taken = []
    for name in names:
        if not _tried(_kprobe(name), programs.KPROBE):
            row = GUEST.catalog.find(f"kprobe:{name}")
            taken.append((name, [reason.value for reason in GUEST.catalog.verdict(row.kind, row.entry).reasons]))
    assert names
    assert not taken, taken
    return {"tried": len(names)}


@check
def fentry_rows_with_verdict_yes_attach():
    from tracescope.attach.targets.btf import function_target

    names = _sample("fentry", Answer.YES, 60)
    refused = {}
    for name in names:
        target = function_target(ProbeKind.FENTRY, name, "", GUEST.types)
        why = _tried(target, programs.fentry(GUEST.types, name))
        if why:
            refused[name] = why
    assert len(names) == 60
    assert not refused, refused
    return {"tried": len(names)}


@check
def fentry_verdicts_on_structures_by_value_are_the_kernels():
    """Large ones and returned ones are refused; small ones too where the verdict says so; unions are tried."""
    from tracescope.attach.targets.btf import function_target

    unusual, told = GUEST.types.prototypes(6).functions(), Counter()
    named = {name: found for name, found in unusual if found.structure or found.union or found.untraceable}
    wrong = {}
    for name in random.Random(7).sample(sorted(named), 120):
        row = GUEST.catalog.find(f"fentry:vmlinux:{name}")
        verdict = GUEST.catalog.verdict(row.kind, row.entry) if row is not None and row.kind == "fentry" else None
        if verdict is None or (verdict.answer is not Answer.YES and not _BY_VALUE.issuperset(verdict.reasons)):
            continue
        target = function_target(ProbeKind.FENTRY, name, "", GUEST.types)
        why = _tried(target, programs.fentry(GUEST.types, name))
        told[verdict.answer.value, "refused" if why else "taken"] += 1
        if verdict.answer is (Answer.YES if why else Answer.NO):
            wrong[name] = (verdict, why)
    assert not wrong, wrong
    assert sum(told.values()) > 30
    return {" ".join(key): times for key, times in told.items()}


@check
def our_programs_load_on_functions_of_every_prototype():
    """Pointers to pointers, to functions, to integers: the verifier of this kernel has no type for some of them."""
    from tracescope.attach.backend import BccBackend
    from tracescope.attach.hang import program_types
    from tracescope.attach.open import open_plan
    from tracescope.attach.program import program_text
    from tracescope.attach.targets.btf import function_target

    names = _sample("fentry", Answer.YES, 3000)
    chosen: dict[str, str] = {}
    for name in names:
        for field in function_target(ProbeKind.FEXIT, name, "", GUEST.types).format.fields:
            if field.size == 8:
                chosen.setdefault(field.type, name)
    some = sorted(set(chosen.values()))[:80]
    targets = [
        function_target(kind, name, "", GUEST.types) for name in some for kind in (ProbeKind.FENTRY, ProbeKind.FEXIT)
    ]
    plan = open_plan(HOST, targets, bare=True, types=GUEST.types)
    with BccBackend().load(program_text(plan), program_types(plan)) as loaded:
        why = {plan.probes[int(name[6:])].name: str(error)[:300] for name, error in loaded.refused.items()}
        assert len(loaded.programs) + len(why) == len(targets)
    assert not why, why
    return {"types": len(chosen), "programs": len(targets)}


@check
def the_perf_buffer_carries_the_same_events():
    seen = {}
    for probe in ("kprobe:vfs_write", "fentry:vmlinux:vfs_write"):
        ring, perf = (trace([probe], show=[NAME_OF_FILE], transport=one)[0] for one in Transport)
        told = [[(event.args["count"], event.args[NAME_OF_FILE]) for event in events] for events in (ring, perf)]
        assert told[0] == told[1] == [(size, NAME) for size in WRITES + REFUSED], told
        seen[probe] = len(perf)
    return seen


# Processes


@check
def the_process_monitor_tells_every_exec_failure_and_end():
    script = "/bin/busybox true a 'b c'; /no/such/program; /bin/busybox sh -c 'exit 7'; /bin/busybox true &\nwait"
    session = around(
        ["/bin/sh", "-c", script], lambda filters: MonitorSession(plan_monitor(HOST, filters), buffer=100_000)
    )
    events = [session.decode(record) for record in session.take()]
    execs = [event for event in events if isinstance(event, ExecEvent)]
    argvs = [list(event.argv or ()) for event in execs]
    assert argvs == [
        ["/bin/sh", "-c", script],
        ["/bin/busybox", "true", "a", "b c"],
        ["/bin/busybox", "sh", "-c", "exit 7"],
        ["/bin/busybox", "true"],
    ], argvs
    failed = [(event.filename, event.errno) for event in events if isinstance(event, ExecFailed)]
    assert failed == [("/no/such/program", "ENOENT")], failed
    ends = {event.pid: event for event in events if isinstance(event, ExitEvent)}
    assert all(event.pid in ends for event in execs)
    codes = [ends[event.pid].exit_code for event in execs]
    assert codes == [0, 0, 7, 0], codes
    assert all(ends[event.pid].lifetime_ns > 0 and ends[event.pid].cpu_ns > 0 for event in execs)
    assert session.counts().lost == 0
    return {"events": len(events), "names": Counter(event.name for event in events)}


@check
def a_process_in_a_pid_namespace_has_a_number_of_its_own_there():
    session = around(
        ["/usr/bin/unshare", "--pid", "--fork", "/bin/busybox", "true"],
        lambda filters: MonitorSession(plan_monitor(HOST, filters)),
    )
    execs = [event for event in map(session.decode, session.take()) if isinstance(event, ExecEvent)]
    assert [(event.argv[0], event.ns_pid) for event in execs] == [("/usr/bin/unshare", None), ("/bin/busybox", 1)]
    return {"pid": execs[1].pid, "ns_pid": execs[1].ns_pid}


@check
def an_execve_carries_its_arguments():
    command = ["/bin/sh", "-c", "/bin/busybox true 'x y' z; /bin/busybox false || true"]
    events, _ = trace(["tracepoint:syscalls:sys_enter_execve"], command=command, bare=False)
    argvs = [event.args["argv"] for event in events]
    assert argvs == [command, ["/bin/busybox", "true", "x y", "z"], ["/bin/busybox", "false"]], argvs
    return {"events": len(events)}


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


@check
def nothing_is_held_at_the_end():
    held = []
    for name in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    assert not [link for link in held if "bpf" in link or "perf_event" in link], held
    return {"cpus": bpf.possible_cpus(HOST)}
