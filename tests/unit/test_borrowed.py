"""What other tracers hand over, made into records of our own: bpftrace's lines, the kernel's trace records, tasks."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.borrowed.bpftrace import types_for_bpftrace
from tracescope.attach.borrowed.bpftrace_lines import Lines, lost_in, marked, output_of, unescape
from tracescope.attach.borrowed.bpftrace_refused import merged, refusals_in
from tracescope.attach.borrowed.bpftrace_script import script
from tracescope.attach.borrowed.condition import condition_of, typed_condition
from tracescope.attach.borrowed.kernel_filter import kernel_filter
from tracescope.attach.borrowed.records import ExecText, Head, pack
from tracescope.attach.borrowed.tasks import Task, Tasks
from tracescope.attach.borrowed.tracefs_events import Events
from tracescope.attach.decode.decode import Decoder
from tracescope.attach.decode.events import Clock
from tracescope.attach.plan import NO_FILTERS, Filters, plan
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.targets.target import tracepoint
from tracescope.errors import Damaged, Refused
from tracescope.sources.tracefs import parse_format

_COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""


def made(event: str, number: int, *fields: tuple[str, int, int, int]):
    group, _, name = event.partition(":")
    lines = "".join(f"\tfield:{text};\toffset:{at};\tsize:{size};\tsigned:{sign};\n" for text, at, size, sign in fields)
    return parse_format(f'name: {name}\nID: {number}\nformat:\n{_COMMON}\n{lines}\nprint fmt: ""\n'.encode(), group)


NR = ("int __syscall_nr", 8, 4, 1)
OPENAT = made(
    "syscalls:sys_enter_openat", 7, NR, ("int dfd", 16, 8, 0), ("const char * filename", 24, 8, 0),
    ("int flags", 32, 8, 0), ("umode_t mode", 40, 8, 0),
)  # fmt: skip
NEWER_OPENAT = made(
    "syscalls:sys_enter_openat", 7, NR, ("int dfd", 16, 8, 0), ("const char * filename", 24, 8, 0),
    ("int flags", 32, 8, 0), ("umode_t mode", 40, 8, 0), ("__data_loc char[] __filename_val", 48, 4, 0),
)  # fmt: skip
EXECVE = made(
    "syscalls:sys_enter_execve", 8, NR, ("const char * filename", 16, 8, 0), ("const char *const * argv", 24, 8, 0),
    ("const char *const * envp", 32, 8, 0),
)  # fmt: skip
EXITED = made("syscalls:sys_exit_execve", 9, NR, ("long ret", 16, 8, 1))
EXEC = made(
    "sched:sched_process_exec", 10, ("__data_loc char[] filename", 8, 4, 0), ("pid_t pid", 12, 4, 1),
    ("pid_t old_pid", 16, 4, 1),
)  # fmt: skip
SWITCH = made(
    "sched:sched_switch", 11, ("char prev_comm[16]", 8, 16, 0), ("pid_t prev_pid", 24, 4, 1), ("int prio", 28, 4, 1),
    ("u64 runtime", 32, 8, 0),
)  # fmt: skip
NEWTASK = made(
    "task:task_newtask", 12, ("pid_t pid", 8, 4, 1), ("char comm[16]", 12, 16, 0), ("u64 clone_flags", 32, 8, 0)
)
HEAD = Head(1000, 1, 20, 21, 10, b"sh")


def planned(*formats):
    def texts(target):
        return tuple(one for one in call_captures(target) if one.kind == "text"), None

    return plan([tracepoint(one) for one in formats], read=texts)


def decoded(made_plan, records):
    decoder = Decoder(made_plan, Clock(0))
    return [decoder.decode(record) for record in records]


def lines_of(made_plan, *lines: bytes):
    lines_ = Lines(made_plan, 199)
    return lines_, decoded(made_plan, [record for line in lines for record in lines_.records(line + b"\n")])


# bpftrace's lines


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (rb"a\uffffffff\u0001\u001b\"\\\n", b'a\xff\x01\x1b"\\\n'),
        (rb"\\uffffffff", rb"\uffffffff"),
        (rb"\u00e9\t\/", b"\xe9\t/"),
        ("é".encode(), "é".encode()),
        (b"\\", b"\\"),
    ],
)
def test_a_text_is_what_bpftrace_was_given(written, meant):
    assert unescape(written) == meant


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_json_is_understood(text):
    assert output_of(json.dumps({"type": "printf", "data": text}).encode()) == ("printf", text.encode())


@given(st.binary(max_size=80))
def test_any_line_is_something_or_nothing(line):
    assert isinstance(output_of(line), tuple)
    assert lost_in(line) >= 0
    assert all(isinstance(record, bytes) for record in Lines(planned(OPENAT, EXECVE), 199).records(line))


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (b"Lost 5 events", 5),
        (b"WARNING: Lost 12 events", 12),
        (b'{"type": "lost_events", "data": {"events": 7}}', 7),
        (b'{"type": "missed_events", "data": {"events": 8}}', 8),
        (b'{"type": "printf", "data": "Lost 5 events"}', 0),
        (b"Attaching 3 probes...", 0),
    ],
)
def test_lost_events_are_read_in_every_form(line, count):
    assert lost_in(line) == count


def test_numbers_come_back_into_their_places():
    _, (event,) = lines_of(
        planned(SWITCH), b"R 0 21 1 20 -1 1000 42 18446744073709551615 7 a b", b"T 0 21 0 x y", b"E 0 21"
    )
    assert event.args == {"prev_comm": "x y", "prev_pid": 42, "prio": -1, "runtime": 7}
    assert (event.pid, event.tid, event.cpu, event.comm) == (20, 21, 1, "a b")


def test_a_text_that_looks_like_a_line_is_text():
    text = b"/x\nE 0 21\nR 0 1 1 1 1 1 1 1 1 1 1 root"
    _, events = lines_of(planned(OPENAT), b"R 0 21 1 20 1 9 257 4 5 6 7 sh", b"T 0 21 0 " + text, b"E 0 21")
    assert [event.args["filename"] for event in events] == [text.decode()]


def test_a_cut_text_says_so_and_an_empty_one_is_not_known():
    head = b"R 0 21 1 20 1 9 257 4 5 6 7 sh"
    _, (long,) = lines_of(planned(OPENAT), head, b"T 0 21 0 " + b"x" * 199, b"E 0 21")
    assert marked(long.args, {"filename"}, 199) == {**long.args, "filename": "x" * 199, "filename_truncated": True}
    assert list(marked(long.args, {"filename"}, 199))[1:3] == ["filename", "filename_truncated"]
    assert marked(long.args, {"filename"}, 200) == long.args
    _, (empty,) = lines_of(planned(OPENAT), head, b"T 0 21 0 ", b"E 0 21")
    assert empty.args["filename"] == {"address": "0x5"}


def test_the_arguments_of_an_execve():
    head = b"R 0 21 1 20 1 9 59 4 5 6 sh", b"T 0 21 0 /bin/x"
    _, (event,) = lines_of(planned(EXECVE), *head, b"A 0 21 0 x", b"A 0 21 1 ", b"A 0 21 2 z", b"M 0 21", b"E 0 21")
    assert event.args == {"filename": "/bin/x", "argv": ["x", None, "z"], "argv_truncated": True, "envp": None}


def test_an_event_of_which_a_part_was_lost_is_none():
    head = b"R 0 21 1 20 1 9 59 4 5 6 sh", b"T 0 21 0 /bin/x"
    lines, events = lines_of(planned(EXECVE), *head, b"A 0 21 0 x", b"A 0 21 2 z", b"E 0 21")
    assert events == []
    assert lines.broken == 2


def test_the_script_holds_nothing_of_a_users_but_plain_text():
    made_plan = replace(planned(OPENAT), filters=Filters(comm=('a";exit();//',), pid=(7,)))
    text = script(made_plan, (0, 17))
    assert "exit" not in text
    assert "pid == 7" in text
    hostile = replace(OPENAT, name="x/;exit()")
    with pytest.raises(Refused, match="cannot be written"):
        script(planned(hostile), (0, 17))


def place_of(text: str, part: str) -> str:
    number, line = next((at, line) for at, line in enumerate(text.split("\n"), 1) if part in line)
    return f"/tmp/s.bt:{number}:{line.index(part) + 1}-{line.index(part) + len(part)}"


def test_what_bpftrace_refuses_is_found_by_name_or_by_place():
    made_plan = planned(OPENAT, EXECVE, EXITED)
    text = script(made_plan, (0, 17))
    log = "\n".join([
        "ERROR: Unknown error -1: couldn't set RLIMIT_MEMLOCK for bpftrace.",
        f"{place_of(text, 'args->flags')}: ERROR: Cannot cast this",
        "/tmp/s.bt:4-5: ERROR: tracepoint not found: syscalls:sys_exit_execve",
        "tracepoint:syscalls:sys_enter_openat { ... }",
    ])  # fmt: skip

    assert refusals_in(log, text, made_plan) == {
        0: {"flags": "Cannot cast this"},
        2: {"": "tracepoint not found: syscalls:sys_exit_execve"},
    }
    quoted = f"{place_of(text, 'args->mode')}: ERROR: Struct/union of type 'x' does not contain a field named 'mode'"
    assert refusals_in(quoted, text, made_plan) == {0: {"mode": quoted.partition("ERROR: ")[2]}}
    assert refusals_in("ERROR: something else\nwarning: x", text, made_plan) == {}
    assert refusals_in("s.bt:99999:1-2: ERROR: far out", text, made_plan) == {}


def test_what_is_refused_is_no_part_of_the_next_script():
    made_plan = planned(OPENAT, EXECVE)
    text = script(made_plan, (0, 17), refused={0: {"flags": "no"}, 1: {"": "no"}})

    assert "args->mode" in text
    assert "args->flags" not in text
    assert "sys_enter_execve " not in text
    assert merged({0: {"flags": "first"}}, {0: {"flags": "second", "mode": ""}, 1: {"": "no"}}) == {
        0: {"flags": "first", "mode": ""}, 1: {"": "no"},
    }  # fmt: skip


def test_bpftrace_is_told_where_the_types_are_on_a_kernel_without_types_of_modules(debian11, debian12):
    assert types_for_bpftrace(debian11) == {"BPFTRACE_BTF": "/sys/kernel/btf/vmlinux"}
    assert types_for_bpftrace(debian12) == {}


def test_bpftraces_own_events_are_left_out():
    assert "/pid != $1/" in script(planned(OPENAT), (0, 17))


# tasks


def test_threads_and_children_have_their_process_and_parent():
    tasks = Tasks([(10, Task(10, 1, b"sh", followed=True))])
    tasks.born(10, 11, b"sh", 0x10000)
    tasks.born(11, 12, b"sh", 0)
    tasks.renamed(12, b"true")

    assert tasks.of(11, 0) == Task(10, 1, b"sh", followed=True)
    assert tasks.of(12, 0) == Task(12, 10, b"true", followed=True)


def test_a_parents_end_leaves_its_children_without_one():
    tasks = Tasks([(10, Task(10, 1, b"sh")), (12, Task(12, 10, b"x")), (13, Task(13, 10, b"y"))])
    tasks.died(10, whole=False)
    assert tasks.of(12, 0).ppid == 10
    tasks = Tasks([(10, Task(10, 1, b"sh")), (12, Task(12, 10, b"x"))])
    tasks.died(10, whole=True)
    assert tasks.of(12, 0).ppid is None
    assert tasks.of(10, 0) == Task(10, 1, b"sh")


def test_a_thread_that_executes_goes_on_as_its_process():
    tasks = Tasks([(10, Task(10, 1, b"leader")), (11, Task(10, 1, b"thread"))])
    tasks.executed(10, 11)
    assert tasks.of(10, 0).comm == b"thread"
    assert 11 not in tasks


def test_the_unknown_is_named_as_the_kernel_names_it_and_idle_by_its_cpu():
    tasks = Tasks()
    assert tasks.of(99, 3) == Task(99, None, b"<...>")
    assert tasks.of(0, 3) == Task(0, 0, b"swapper/3")


# the kernel's records


def record(format_, tid: int, body: bytes) -> bytes:
    return struct.pack("=HBBi", format_.id, 0, 0, tid) + body


def events_of(made_plan, formats, helpers, *records, tree: bool = False):
    known = Tasks([(21, Task(20, 10, b"sh"))])
    events = Events(
        made_plan.probes, {f"{one.group}:{one.name}": one for one in formats},
        {f"{one.group}:{one.name}": one for one in helpers}, known, tree=tree,
    )  # fmt: skip
    found = [made_one for one in records for made_one in events.records(*one)]
    return decoded(made_plan, [*found, *events.rest()])


def exec_record(tid: int, old: int, name: bytes) -> bytes:
    return record(EXEC, tid, struct.pack("=HHii", 20, len(name) + 1, tid, old) + name + b"\0")


CALL = record(EXECVE, 21, struct.pack("=iiQQQ", 59, 0, 4, 5, 6))


def test_an_execve_has_the_file_of_the_exec_that_it_became():
    made_plan = planned(EXECVE)
    (event,) = events_of(
        made_plan, [EXECVE], [EXEC, EXITED], (5, False, 1, CALL), (6, True, 1, exec_record(21, 21, b"/bin/x"))
    )
    assert event.args["filename"] == "/bin/x"
    assert (event.time_ns, event.pid, event.tid, event.comm) == (5, 20, 21, "sh")


def test_an_execve_that_failed_has_none():
    failed = record(EXITED, 21, struct.pack("=iiq", 59, 0, -2))
    later = (7, True, 1, exec_record(21, 21, b"/bin/other"))
    (event,) = events_of(planned(EXECVE), [EXECVE], [EXEC, EXITED], (5, False, 1, CALL), (6, True, 1, failed), later)
    assert event.args["filename"] is None


def test_the_text_that_newer_kernels_copy_is_shown():
    body = struct.pack("=iiQQQQHH", 257, 0, 4, 5, 6, 7, 52, 4) + b"/ab\0"
    (event,) = events_of(planned(NEWER_OPENAT), [NEWER_OPENAT], [], (5, False, 0, record(OPENAT, 21, body)))
    assert event.args["filename"] == "/ab"


def test_outside_the_tree_nothing_is_handed_over():
    switch = record(SWITCH, 21, b"sh".ljust(16, b"\0") + struct.pack("=iiQ", 21, 120, 3))
    assert events_of(planned(SWITCH), [SWITCH], [], (5, False, 0, switch), tree=True) == []
    assert len(events_of(planned(SWITCH), [SWITCH], [], (5, False, 0, switch))) == 1


@given(st.binary(max_size=120))
def test_random_records_are_events_or_damaged(data):
    formats = [SWITCH, EXEC, NEWER_OPENAT, EXECVE]
    with suppress(Damaged):
        events_of(planned(*formats), formats, [EXEC, NEWTASK], (5, False, 0, data), (6, True, 0, data))


@pytest.mark.parametrize("number", [8, 10, 11, 7, 12])
@given(body=st.binary(max_size=80))
def test_random_bodies_are_events_or_damaged(number, body):
    formats, data = [SWITCH, EXEC, NEWER_OPENAT, EXECVE], struct.pack("=HBBi", number, 0, 0, 21) + body
    with suppress(Damaged):
        events_of(planned(*formats), formats, [EXEC, NEWTASK], (5, False, 0, data), (6, True, 0, data))


# conditions


def switch_record(made_plan, prev_pid: int, runtime: int) -> bytes:
    return pack(made_plan.probes[0], HEAD, b"a b".ljust(16, b"\0") + struct.pack("=iiQ", prev_pid, -5, runtime))


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("args.prev_pid == 42", True),
        ("args.prio < 0", True),
        ("args.prio < -5", False),
        ('args.prev_comm == "a b" && args.runtime > 10', True),
        ('args.prev_comm =~ "b*"', False),
        ("pid == 20 && tid == 21 && cpu == 1", True),
        ('comm == "sh" || pid == 0', True),
        ("!(args.runtime >= 18446744073709551615)", True),
    ],
)
def test_a_condition_is_checked_on_the_record(text, met):
    made_plan = planned(SWITCH)
    probe = made_plan.probes[0]
    met_by = condition_of(typed_condition(text, probe, None), probe, "tracefs")
    assert met_by(switch_record(made_plan, 42, 11)) is met


def test_a_condition_on_what_is_not_in_the_record_is_refused():
    probe = planned(SWITCH).probes[0]
    with pytest.raises(Refused, match="tracefs cannot look at uid"):
        condition_of(typed_condition("uid == 0", probe, None), probe, "tracefs")


def test_a_text_is_looked_at_where_it_was_read():
    made_plan = planned(OPENAT)
    probe = made_plan.probes[0]
    met = condition_of(typed_condition('args.filename == "/ab"', probe, None), probe, "bpftrace")
    raw = struct.pack("=iiQQQQ", 257, 0, 4, 5, 6, 7)
    assert met(pack(probe, HEAD, raw, texts={"filename": b"/ab"}))
    assert not met(pack(probe, HEAD, raw, texts={"filename": b"/abc"}))
    assert not met(pack(probe, HEAD, raw))


def test_an_unknown_parent_is_not_zero():
    made_plan = planned(SWITCH)
    assert decoded(made_plan, [switch_record(made_plan, 1, 1)])[0].args["prev_pid"] == 1
    text = ExecText(b"/x", (b"a", None), cut=False)
    (event,) = decoded(planned(EXECVE), [pack(planned(EXECVE).probes[0], HEAD, bytes(32), exec_text=text)])
    assert event.args == {"filename": "/x", "argv": ["a", None], "envp": None}


# the kernel's own filter


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("args.prev_pid == 42", "prev_pid == 42"),
        ("42 < args.prev_pid", "prev_pid > 42"),
        ("args.prev_pid > 1 && pid == 7", "prev_pid > 1"),
        ("args.prev_pid > 1 || pid == 7", ""),
        ("args.prev_pid > 1 || args.runtime < 5", "(prev_pid > 1 || runtime < 5)"),
        ('args.prev_comm == "x" && args.prio != 0', "prio != 0"),
        ("!(args.prio == 1)", ""),
        ("args.prio + 1 == 2", ""),
        ("args.runtime == 18446744073709551615", ""),
    ],
)
def test_the_kernel_is_told_what_it_can_say(text, said):
    probe = planned(SWITCH).probes[0]
    assert kernel_filter(typed_condition(text, probe, None), probe, NO_FILTERS) == said


def test_names_go_to_the_kernel_only_where_quotes_are_safe():
    probe = planned(SWITCH).probes[0]
    assert kernel_filter(None, probe, Filters(comm=("sh", "a.b"))) == '(COMM == "sh" || COMM == "a.b")'
    assert kernel_filter(None, probe, Filters(comm=("sh", 'a"b'))) == ""
