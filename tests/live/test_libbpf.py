"""The libbpf backend on this kernel: each kind of session shows what the test did, as it does through BCC."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest
from attached import EXEC, HOST, START_SECONDS, decoded, format_of, held_programs
from monitored import TRUE, taken, told

from tracescope.attach.ask.asked import Asked
from tracescope.attach.ask.keys import Counted, parse_keys
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.backend import BccBackend
from tracescope.attach.counting.session import SummarySession, open_summary_plan
from tracescope.attach.decode.events import Event
from tracescope.attach.expression.parse import parse
from tracescope.attach.kernel import bpf
from tracescope.attach.launch import launch
from tracescope.attach.libbpf.backend import LibbpfBackend, missing
from tracescope.attach.libbpf.compile import compile_text
from tracescope.attach.libbpf.library import link
from tracescope.attach.libbpf.translate import to_libbpf
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.open import open_plan
from tracescope.attach.plan import Filters
from tracescope.attach.session import Counts, Session
from tracescope.attach.targets.find import find_targets
from tracescope.errors import AttachError
from tracescope.processes import ExecEvent, ExecFailed, ProcessEvent

WRITER = """
import os
fd = os.open("/dev/null", os.O_WRONLY)
for size in (0, 1, 64, 4096, 4096):
    os.write(fd, b"x" * size)
for _ in range(7):
    try:
        os.write(99, b"no")
    except OSError:
        pass
"""
PYTHON = [sys.executable, "-I", "-S", "-c"]
WRITE = "tracepoint:syscalls:sys_enter_write"


@pytest.fixture(scope="module", autouse=True)
def backends(require) -> None:
    refused = missing()
    require(refused is None, str(refused))


def run(
    names: Sequence[str], command: Sequence[str], *, where: str = "", pair: bool = False
) -> tuple[list[Event], Counts, int]:
    """The events of a command and its descendants, the counts, and its process id."""
    child = launch(command)
    try:
        plan = open_plan(HOST, find_targets(HOST, names, pair=pair), Filters(tree=(child.pid,)), asked=Asked(where))
        with Session(plan, backend=LibbpfBackend(), buffer=1_000_000) as session:
            session.wait_running(START_SECONDS)
            child.release()
            child.wait()
            session.stop()
            assert session.failed == []
            return decoded(session), session.counts(), child.pid
    finally:
        child.abandon()


def test_an_exec_has_its_arguments_and_its_parent():
    source = f"import os; os.spawnv(os.P_WAIT, {TRUE!r}, [{TRUE!r}, '', 'a b', 'x' * 3000])"
    found, counts, pid = run([f"tracepoint:{EXEC}"], [*PYTHON, source])
    (event,) = (event for event in found if event.ppid == pid)
    assert event.args["filename"] == TRUE
    assert event.args["argv"] == [TRUE, "", "a b", "x" * 3000]
    assert counts.lost == 0


def test_conditions_are_decided_in_the_kernel():
    found, counts, _ = run([WRITE, "tracepoint:syscalls:sys_exit_write"], [*PYTHON, WRITER], where="pid > 0")
    assert Counter(event.args.get("count") for event in found)[4096] == 2
    assert [event.ret for event in found].count(-9) == 7
    found, _, _ = run([WRITE], [*PYTHON, WRITER], where='args.count >= 64 && comm =~ "py*"')
    assert [event.args["count"] for event in found] == [64, 4096, 4096]
    assert counts.lost == 0


def test_entry_and_return_are_one_event():
    found, _, _ = run([WRITE], [*PYTHON, WRITER], where="ret < 0", pair=True)
    assert [(event.args["fd"], event.ret) for event in found] == [(99, -9)] * 7
    assert all(event.duration_ns > 0 for event in found)


def test_a_raw_tracepoint_sees_every_start_of_a_program():
    source = f"import os\nfor _ in range(3): os.spawnv(os.P_WAIT, {TRUE!r}, ['true'])"
    found, _, _ = run(["rawtracepoint:sched_process_exec"], [*PYTHON, source])
    assert len(found) == 4
    assert [event.comm for event in found[1:]] == ["true"] * 3


def test_functions_and_sites_of_a_program(program, capfd):
    found, counts, _ = run([f"uprobe:{program}:twice", f"uretprobe:{program}:twice"], [program, "50"])
    assert [(event.args["arg0"], event.args["arg1"]) for event in found[::2]] == [(i, 100 + i) for i in range(50)]
    assert [event.ret for event in found[1::2]] == [2 * i + 100 + i for i in range(50)]
    assert counts.lost == 0
    found, _, _ = run([f"usdt:{program}:test:both"], [program, "20"])
    expected = [row for i in range(20) for row in ((-i, 1000 + i, 77), (-i, 2000 + i, 78))]
    assert [tuple(event.args.values()) for event in found] == expected


def counted(counted_: Counted, where: str = "") -> list[tuple[tuple[object, ...], int, int | None]]:
    child = launch([*PYTHON, WRITER])
    try:
        filters = Filters(tree=(child.pid,))
        plan = open_summary_plan(HOST, find_targets(HOST, [WRITE]), counted_, filters, asked=Asked(where))
        with SummarySession(plan, backend=LibbpfBackend()) as session:
            session.wait_running(START_SECONDS)
            child.release()
            child.wait()
            session.stop()
            return [(row.keys, row.count, row.total) for row in session.summary()]
    finally:
        child.abandon()


def test_counts_by_key_and_sums_are_exact():
    found = {keys: count for keys, count, _ in counted(Counted(parse_keys("args.fd,args.count")))}
    assert found[99, 2] == 7
    assert sum(count for (_, size), count in found.items() if size == 4096) == 2
    ((_, count, total),) = counted(Counted((), parse("args.count")), where="args.fd == 99")
    assert (count, total) == (7, 14)


def test_stacks_are_keys():
    rows = counted(Counted(parse_keys("args.fd", [KeyKind.KERNEL_STACK, KeyKind.USER_STACK])), where="args.fd == 99")
    assert sum(count for _, count, _ in rows) == 7
    for keys, _, _ in rows:
        assert all(stack.frames for stack in keys[1:])


LIFE = f"""
import os
for argv in (["true", ""], ["true", "a b"]):
    os.spawnv(os.P_WAIT, {TRUE!r}, argv)
for name in ("/no/such/program", "/etc/passwd"):
    if os.fork() == 0:
        try:
            os.execv(name, [name, "x"])
        except OSError:
            os._exit(3)
    os.wait()
"""


def monitored(backend: object) -> list[ProcessEvent]:
    child = launch([*PYTHON, LIFE])
    try:
        plan = plan_monitor(HOST, Filters(tree=(child.pid,)))
        session = MonitorSession(plan, backend=backend)
        # The text, and not what is shipped.
        session.shipped = False
        with session:
            session.wait_running(START_SECONDS)
            child.release()
            child.wait()
            session.stop()
            assert session.counts().lost == 0
            return taken(session)
    finally:
        child.abandon()


def test_the_process_monitor_sees_what_it_sees_through_bcc():
    found = monitored(LibbpfBackend())
    assert [event.ret for event in found if isinstance(event, ExecFailed)] == [-2, -13]
    assert [event.argv for event in found if isinstance(event, ExecEvent)][1:] == [("true", ""), ("true", "a b")]
    assert told(found) == told(monitored(BccBackend()))


@pytest.mark.parametrize("backend", [BccBackend, LibbpfBackend])
def test_who_is_left_out_hands_over_nothing(backend):
    for but_not, events in (((), 1), ((1, os.getpid(), 2), 0)):
        filters = Filters(tree=(os.getpid(),), but_not=but_not)
        plan = open_plan(HOST, find_targets(HOST, ["tracepoint:syscalls:sys_enter_getppid"]), filters)
        with Session(plan, backend=backend()) as session:
            session.wait_running(START_SECONDS)
            os.getppid()
            session.stop()
            assert sum(event.tid == os.getpid() for event in decoded(session)) == events


# Refusals, and what is left behind

REFUSED = "int probe_0(u64 *ctx)\n{\n    return *(u64 *)((char *)ctx + 12); /* here */\n}\n"


def test_one_program_that_is_refused_does_not_stop_the_others_and_its_line_is_shown(capfd):
    text = f"{REFUSED}int probe_1(u64 *ctx)\n{{\n    return 0;\n}}\n"
    with LibbpfBackend().load(text) as loaded:
        assert set(loaded.refused) == {"probe_0"}
        os.fstat(loaded.programs["probe_1"])
    assert "/* here */" in loaded.refused["probe_0"].why
    assert loaded.refused["probe_0"].log.count("\n") > 2
    assert capfd.readouterr() == ("", "")


def test_a_map_that_cannot_be_made_is_an_error_that_says_which(capfd):
    with pytest.raises(AttachError) as caught:
        LibbpfBackend().load("BPF_HASH(huge, u64, u64, 4294967295U);\nint probe_0(u64 *ctx)\n{\n    return 0;\n}\n")
    assert "ts_huge" in caught.value.log
    assert capfd.readouterr() == ("", "")


def test_what_is_no_object_is_an_error_with_the_reason_of_the_library(capfd):
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n", os.urandom(4096)):
        with pytest.raises(AttachError, match="could not be opened"), link(data, "damaged"):
            pass
    assert capfd.readouterr() == ("", "")


def test_damaged_objects_are_refused_and_leave_nothing_open():
    data = compile_text(to_libbpf("BPF_ARRAY(control, u32, 1);\nint probe_0(u64 *ctx)\n{\n    return 0;\n}\n"))
    before = held_programs()
    for size in range(100, len(data), len(data) // 50):
        with pytest.raises(AttachError), link(data[:size], "damaged"):
            pass
    assert held_programs() == before


def test_programs_and_maps_are_named_for_bpftool_and_gone_at_the_end():
    plan = open_plan(HOST, [format_of(EXEC)])
    with Session(plan, backend=LibbpfBackend()) as session:
        session.wait_running(START_SECONDS)
        held = held_programs()
        shown = json.loads(subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, check=True).stdout)
        assert {"ts_events", "ts_counts", "ts_control"} <= {row.get("name") for row in shown}
        assert session._loaded is not None
        assert bpf.recursion_misses(session._loaded.programs["probe_0"]) >= 0
    assert held
    assert held_programs() == []
