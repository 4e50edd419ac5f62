"""The process monitor without a kernel: its text, its records, and what it reads from /proc."""

from __future__ import annotations

import json
import mmap
import re

import pytest
from formats import EXEC_FORMATS, EXECVEAT, HELPERS, event_format
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.decode.events import Clock
from tracescope.attach.monitor.decode import decode_record
from tracescope.attach.monitor.plan import OFFSETS, MonitorPlan, monitor_plan, read_offsets
from tracescope.attach.monitor.program import ENDED, FAILED, HEAD, STARTED, Flag, Kind, monitor_text
from tracescope.attach.plan import NO_FILTERS, Cgroup, Filters
from tracescope.attach.program.exec_text import ExecFlag
from tracescope.attach.tracefs.running import parse_stat
from tracescope.cli.process_tree import tree_lines
from tracescope.errors import Missing, Refused
from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    ForkEvent,
    ProcessEvent,
    ProcessTable,
    event_from_json,
)

CLOCK = Clock(1_000_000_000)
FORMATS = {
    "syscalls:sys_enter_execve": EXEC_FORMATS[0],
    "syscalls:sys_enter_execveat": EXECVEAT,
    "syscalls:sys_exit_execve": event_format(
        "sys_exit_execve", "\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n", group="syscalls"
    ),
    "sched:sched_process_exit": HELPERS["sched:sched_process_exit"],
}
SAYS_DEAD = event_format(
    "sched_process_exit", "\tfield:bool group_dead;\toffset:32;\tsize:1;\tsigned:0;\n", group="sched"
)


class Types:
    """A kernel whose members all lie at 8, one after the other."""

    def __init__(self, without: str = "") -> None:
        self.without = without
        self.size = 16

    def member_offset(self, struct: str, member: str) -> int:
        if self.without == f"{struct}.{member}":
            raise Missing(f"{struct} has no member {member}")
        return 8

    def layout(self, name: str) -> Types:
        assert name == "upid"
        return self


OFFSETS_OF_8 = dict(zip(OFFSETS, read_offsets(Types()), strict=True))


def made(
    filters: Filters = NO_FILTERS, *, strict: bool = False, failed_only: bool = False, **formats: object
) -> MonitorPlan:
    return monitor_plan(OFFSETS_OF_8, FORMATS | formats, filters, strict=strict, failed_only=failed_only)  # type: ignore[arg-type]


def defines(plan: MonitorPlan) -> dict[str, str]:
    return dict(re.findall(r"^#define (\w+) (\S+)", monitor_text(plan), re.MULTILINE))


# The plan and the text


def test_a_kernel_without_a_member_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="mm_struct has no member arg_start"):
        read_offsets(Types("mm_struct.arg_start"))  # type: ignore[arg-type]


def test_without_tracepoints_of_system_calls_only_what_needs_them_is_refused() -> None:
    plan = monitor_plan(OFFSETS_OF_8, {}, strict=False, failed_only=False)  # type: ignore[arg-type]
    assert [note.partition(":")[0] for note in plan.notes] == ["failed execs are not seen"]
    assert "SYS_ENTER_EXECVE_ARGV" not in defines(plan)
    for modes in ({"strict": True, "failed_only": False}, {"strict": False, "failed_only": True}):
        with pytest.raises(Refused, match="failed execs"):
            monitor_plan(OFFSETS_OF_8, {}, **modes)  # type: ignore[arg-type]


def test_numbers_are_those_of_the_formats_and_of_the_types() -> None:
    found = defines(made())
    assert (found["SYS_ENTER_EXECVE_FILENAME"], found["SYS_ENTER_EXECVE_ARGV"]) == ("2", "3")
    assert (found["SYS_ENTER_EXECVEAT_FD"], found["SYS_ENTER_EXECVEAT_FLAGS"]) == ("2", "6")
    assert found["SYS_EXIT_EXECVE_RET"] == "2"
    assert (found["MM_STRUCT_ARG_START"], found["UPID_BYTES"]) == ("8", "16")
    assert found["SAYS_DEAD"] == "0"
    assert defines(made(**{"sched:sched_process_exit": SAYS_DEAD}))["SAYS_DEAD"] == "1"


@pytest.mark.parametrize(
    ("modes", "switches"),
    [
        ({}, {"STRICT": "0", "RECORDS_EXEC": "1", "RECORDS_LIFE": "1"}),
        ({"strict": True}, {"STRICT": "1", "RECORDS_EXEC": "1", "RECORDS_LIFE": "0"}),
        ({"failed_only": True}, {"STRICT": "0", "RECORDS_EXEC": "0", "RECORDS_LIFE": "0"}),
        ({"strict": True, "failed_only": True}, {"STRICT": "1", "RECORDS_EXEC": "0", "RECORDS_LIFE": "0"}),
    ],
)
def test_a_mode_switches_records_off(modes: dict[str, bool], switches: dict[str, str]) -> None:
    found = defines(made(**modes))  # type: ignore[arg-type]
    assert {name: found[name] for name in switches} == switches
    assert found["FOLLOWS"] == "0"
    assert defines(made(Filters(tree=(1,)), **modes))["FOLLOWS"] == "1"  # type: ignore[arg-type]


def test_every_name_in_capitals_that_the_text_uses_is_defined() -> None:
    text = monitor_text(made(Filters(tree=(1,))))
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))
    of_bcc = {name for name in used if name.startswith("BPF_")} | {"PAGE_SIZE", "ULL"}
    unknown = used - of_bcc - defines(made(Filters(tree=(1,)))).keys()
    assert unknown <= {"SYS_EXIT_EXECVEAT_RET"}  # this host has no such tracepoint


def test_a_cgroup_is_compared_at_its_level() -> None:
    text = monitor_text(made(Filters(cgroup=(Cgroup(77, 2), Cgroup(5, 0)))))
    wanted = "if (bpf_get_current_ancestor_cgroup_id(2) != 77ULL && bpf_get_current_ancestor_cgroup_id(0) != 5ULL)"
    assert wanted in text


# The records


def head(kind: Kind, flags: int = 0, *, time_ns: int = 5000, start_ns: int = 1000, ns_pid: int = 0) -> bytes:
    return HEAD.pack(time_ns, start_ns, 500, 99, kind, flags, 42, 43, 41, 1000, ns_pid, 1, b"name".ljust(16, b"\0"))


def started(
    *, filename: bytes = b"/bin/x\0", interpreter: bytes = b"", argv: bytes = b"x\0", exe: bytes = b"x\0bin\0",
    size: int | None = None, flags: int = 0, entered: int = 4000, fd: int = 0,
) -> ExecEvent:  # fmt: skip
    sizes = [len(part) for part in (filename, interpreter, argv, exe)]
    fixed = STARTED.pack(entered, len(argv) if size is None else size, fd, 0x1000, *sizes, b"before".ljust(16, b"\0"))
    event = decode_record(head(Kind.EXEC, flags) + fixed + filename + interpreter + argv + exe, CLOCK)
    assert isinstance(event, ExecEvent)
    return event


def test_an_exec_that_is_done() -> None:
    event = started(interpreter=b"/bin/sh\0", argv=b"x\0\0a b\0\xff\0\0")
    assert event == ExecEvent(
        time_ns=1_000_005_000, pid=42, tid=43, ppid=41, uid=1000, comm="name", start_ns=1000, parent_start_ns=500,
        cgroup_id=99, filename="/bin/x", interpreter="/bin/sh", exe="/bin/x", argv=("x", "", "a b", "\udcff", ""),
        argv_size=10, ret=0, duration_ns=1000, comm_before="before",
    )  # fmt: skip
    assert event_from_json(json.loads(json.dumps(event.to_json()))).to_json() == event.to_json()


def test_what_is_not_known_is_absent_and_what_could_not_be_read_is_flagged() -> None:
    event = started(flags=Flag.NOT_ENTERED, entered=0)
    assert (event.duration_ns, event.comm_before, event.fd, event.at_flags) == (None, None, None, None)
    event = started(filename=b"", argv=b"", flags=ExecFlag.ARGV_UNREAD, size=33)
    assert (event.filename, event.filename_error, event.argv, event.argv_error) == (None, True, None, True)
    assert event.argv_size == 33
    event = started(argv=b"x\0cut he", size=5000, flags=ExecFlag.ARGV_CUT)
    assert (event.argv, event.argv_truncated, event.argv_size) == (("x", "cut he"), True, 5000)
    assert started(flags=Flag.EXE_CUT).exe is None
    assert started(flags=Flag.NAME_CUT).filename_error
    event = started(flags=Flag.AT, fd=-100)
    assert (event.fd, event.at_flags) == (-100, 0x1000)


def test_no_arguments_and_a_file_without_folders() -> None:
    event = started(argv=b"", exe=b"memfd:x\0")
    assert (event.argv, event.argv_error, event.exe) == ((), None, "/memfd:x")


@given(st.lists(st.binary(max_size=20).filter(lambda word: b"\0" not in word), min_size=1, max_size=30))
def test_any_arguments_come_back_byte_for_byte(words: list[bytes]) -> None:
    event = started(argv=b"".join(word + b"\0" for word in words))
    assert [(word or "").encode("utf-8", "surrogateescape") for word in event.argv or ()] == words


def failed(
    data: bytes, *, argc: int = 0, text: int = 0, unread: int = 0, flags: int = 0, ret: int = -2, fd: int = 0
) -> ExecFailed:
    low, high = unread & (1 << 64) - 1, unread >> 64
    fixed = FAILED.pack(4990, ret, fd, 0, text, argc, 0, len(data), low, high)
    event = decode_record(head(Kind.FAILED, flags) + fixed + data, CLOCK)
    assert isinstance(event, ExecFailed)
    return event


def test_an_exec_that_failed() -> None:
    event = failed(b"/x\0one\0\0", argc=2)
    assert (event.filename, event.argv, event.ret, event.errno, event.duration_ns) == (
        "/x",
        ("one", ""),
        -2,
        "ENOENT",
        10,
    )
    assert not event.argv_error
    event = failed(b"/x\0one\0", argc=66, unread=((1 << 66) - 1) & ~(1 << 65))
    assert (event.argv or ())[65] == "one"
    assert (event.argv or ())[:65] == (None,) * 65
    assert event.argv_error
    event = failed(b"", text=ExecFlag.FILENAME_UNREAD | ExecFlag.ARGV_UNREAD, flags=Flag.NOT_ENTERED)
    assert (event.filename, event.filename_error, event.argv, event.argv_error) == (None, True, (None,), True)


@pytest.mark.parametrize(
    ("name", "fd", "shown"),
    [("x", 7, "/dev/fd/7/x"), ("", 7, "/dev/fd/7"), ("/x", 7, "/x"), ("x", -100, "x")],
)
def test_a_path_below_a_descriptor_is_named_as_the_kernel_does(name: str, fd: int, shown: str) -> None:
    event = failed(name.encode() + b"\0", flags=Flag.AT, fd=fd)
    assert (event.filename, event.fd) == (shown, fd)


def ended(status: int, *, started_ns: int = 3000, ns_pid: int = 0) -> ExitEvent:
    record = head(Kind.EXIT, ns_pid=ns_pid) + ENDED.pack(started_ns, 10, 20, 31, 4, status, 0)
    event = decode_record(record, CLOCK)
    assert isinstance(event, ExitEvent)
    return event


@pytest.mark.parametrize(
    ("status", "code", "signal", "core"),
    [
        (0, 0, None, None),
        (3 << 8, 3, None, None),
        (255 << 8, 255, None, None),
        (9, None, 9, False),
        (0x8B, None, 11, True),
    ],
)
def test_a_status_is_read_as_wait_does(status: int, code: int | None, signal: int | None, core: bool | None) -> None:
    event = ended(status)
    assert (event.exit_code, event.signal, event.core) == (code, signal, core)


def test_an_end_has_the_life_of_the_program_and_of_the_process() -> None:
    event = ended(0, ns_pid=1)
    assert (event.lifetime_ns, event.age_ns, event.ns_pid) == (2000, 4000, 1)
    assert ended(0, started_ns=0).lifetime_ns == 4000
    assert (event.user_ns, event.system_ns, event.cpu_ns, event.max_rss) == (10, 20, 31, 4 * mmap.PAGESIZE)


def test_a_fork() -> None:
    event = decode_record(head(Kind.FORK), CLOCK)
    assert isinstance(event, ForkEvent)
    assert (event.pid, event.ppid, event.start_ns, event.parent_start_ns) == (42, 41, 1000, 500)


# What was there before, and the tree


@pytest.mark.parametrize("name", ["sh", "a b", ") (", "x) S 1 2 3"])
def test_a_name_may_hold_anything(name: str) -> None:
    found = parse_stat(f"12 ({name}) S 7 {' '.join(['0'] * 17)} 500 0 0\n".encode(), suspended_ns=1_000_000_000)
    assert (found.pid, found.ppid, found.comm, found.start_ns) == (12, 7, name, 4_000_000_000)


@pytest.mark.parametrize("data", [b"", b"12", b"12 (x) S", b"x (y) S 1 " + b"0 " * 30])
def test_what_is_no_stat_is_an_error_that_a_reader_knows(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_stat(data)


def at(kind: type[ProcessEvent], time_ns: int, pid: int, ppid: int, **more: object) -> ProcessEvent:
    return kind(time_ns=time_ns, pid=pid, ppid=ppid, start_ns=pid, parent_start_ns=ppid, **more)  # type: ignore[arg-type]


def test_the_tree_shows_who_forked_whom_and_hides_who_did_nothing() -> None:
    table = ProcessTable()
    for pid, name, ppid in ((1, "init", 0), (5, "app", 1), (6, "idle", 1)):
        table.known(pid, pid, name, None, ppid)
    for event in (
        at(ForkEvent, 100, 10, 5), at(ExecEvent, 101, 10, 5, argv=("sh", "a b"), filename="/bin/sh"),
        at(ForkEvent, 110, 11, 10), at(ForkEvent, 111, 12, 10), at(ForkEvent, 112, 13, 11),
        at(ExitEvent, 120, 13, 11, exit_code=1, lifetime_ns=5_000_000, cpu_ns=2_000_000),
    ):  # fmt: skip
        table.add(event)
    lines = list(tree_lines(table))
    assert [re.sub(r" \(.*", "", line) for line in lines] == [
        "5", "└─ 10 sh 'a b'", "   ├─ 11", "   │  └─ 13", "   └─ 12",
    ]  # fmt: skip
    assert "app, not traced from its start" in lines[0]
    assert lines[3].endswith("exit 1, 5 ms, cpu 2 ms")


def test_a_chain_deeper_than_the_interpreters_stack_is_shown() -> None:
    table = ProcessTable()
    for pid in range(2, 3000):
        table.add(at(ForkEvent, pid, pid, pid - 1))
    assert len(list(tree_lines(table))) in (2998, 2999)
