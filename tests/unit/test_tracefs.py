"""Event formats: every field as the kernel wrote it and as bpftrace prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged, TraceScopeError
from tracescope.host import SnapshotHost
from tracescope.model import Field
from tracescope.sources.tracefs import (
    pair_of,
    parse_available_events,
    parse_format,
    read_available_events,
    read_formats,
)

FIXTURES = Path(__file__).parent.parent / "fixtures" / "formats"


def load(name: str, group: str = "syscalls"):
    return parse_format((FIXTURES / f"{name}.txt").read_bytes(), group)


def field(declaration: str) -> Field:
    text = f'name: x\nID: 1\nformat:\n\tfield:{declaration};\toffset:8;\tsize:4;\tsigned:0;\n\nprint fmt: ""\n'
    (found,) = parse_format(text.encode(), "g").fields
    return found


def without_spaces(text: str) -> str:
    return "".join(text.split())


def bpftrace_fields(output: bytes) -> dict[str, list[str]]:
    """Tracepoint → its field lines in `bpftrace -lv`, spaces and semicolons aside."""
    fields: dict[str, list[str]] = {}
    probe = ""
    for line in output.decode().splitlines():
        if not line.startswith(" "):
            probe = line
        elif probe.startswith("tracepoint:"):
            fields.setdefault(probe, []).append(without_spaces(line).rstrip(";"))
    return fields


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_event_of_a_recorded_host_has_the_fields_that_bpftrace_prints(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    found = read_formats(snapshot)
    ours = {event.probe: [without_spaces(f.declaration) for f in event.fields] for event in found.formats}
    theirs = bpftrace_fields(snapshot.run("bpftrace", "-lv"))
    assert len(theirs) > 1300
    assert found.skipped == []
    assert {probe: ours.get(probe) for probe in theirs} == theirs


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_the_events_of_a_recorded_host_are_its_available_events(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    formats = {f"{event.group}:{event.name}" for event in read_formats(snapshot).formats}
    available = set(read_available_events(snapshot))
    assert available <= formats
    assert all(event.startswith("ftrace:") for event in formats - available)


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_ids_are_those_of_the_id_files(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    events = [event for event in read_formats(snapshot).formats if event.group in ("sched", "syscalls")]
    assert len(events) > 600
    for event in events:
        assert event.id == int(snapshot.read(f"{snapshot.tracefs}/events/{event.group}/{event.name}/id"))


def test_execve_of_7_2_has_the_file_name_as_dynamic_data():
    event = load("sys_enter_execve-7.2")
    assert (event.probe, event.id) == ("tracepoint:syscalls:sys_enter_execve", 862)
    assert [f.name for f in event.common] == ["common_type", "common_flags", "common_preempt_count", "common_pid"]
    assert [f.full_type for f in event.fields] == [
        "int",
        "const char *",
        "const char *const *",
        "const char *const *",
        "__data_loc char[]",
    ]
    assert event.fields[-1] == Field("__filename_val", "char", 40, 4, False, "", "__data_loc")
    assert event.print_fmt.startswith('"filename: 0x%08lx \\"%s\\", argv')
    assert event.print_fmt.endswith("((unsigned long)(REC->envp))")
    assert event.size == 44


def test_a_fifth_common_field_stays_apart():
    event = load("sys_enter_sendmsg-rhel")
    assert event.common[-1].name == "common_preempt_lazy_count"
    assert [f.offset for f in event.fields] == [12, 16, 24, 32]


def test_a_format_without_signed_is_read():
    event = load("sched_switch-2.6.31", "sched")
    assert event.fields[0].declaration == "char prev_comm[TASK_COMM_LEN]"
    assert not any(f.signed for f in event.fields)
    assert len(event.common) == 5


def test_an_event_of_the_ftrace_group_is_read_like_the_others():
    event = load("funcgraph_entry-6.18", "ftrace")
    assert [f.declaration for f in event.fields] == ["unsigned long func", "unsigned int depth", "unsigned long args[]"]
    assert event.size == 24


@pytest.mark.parametrize(
    ("declaration", "type_", "array", "location", "name"),
    [
        ("unsigned short common", "unsigned short", None, "", "common"),
        ("char comm[16]", "char", "16", "", "comm"),
        ("char file[20+1]", "char", "20+1", "", "file"),
        ("u8 addr[sizeof(struct in6_addr)]", "u8", "sizeof(struct in6_addr)", "", "addr"),
        ("__u8 buf[32 + 2]", "__u8", "32 + 2", "", "buf"),
        ("unsigned long args[6]", "unsigned long", "6", "", "args"),
        ("int grid[2][3]", "int", "2][3", "", "grid"),
        ("const char *const * argv", "const char *const *", None, "", "argv"),
        ("char *name", "char *", None, "", "name"),
        ("__data_loc char[] filename", "char", "", "__data_loc", "filename"),
        ("__data_loc __be32[] x", "__be32", "", "__data_loc", "x"),
        ("__rel_loc char[] x", "char", "", "__rel_loc", "x"),
        ("__data_loc cpumask_t cpumask", "cpumask_t", None, "__data_loc", "cpumask"),
        ("__data_loc cpumask_t *[] cpus", "cpumask_t *", "", "__data_loc", "cpus"),
        ("struct __kernel_timespec * rqtp", "struct __kernel_timespec *", None, "", "rqtp"),
        ("void (*fn)(struct work_struct *)", "void (*)(struct work_struct *)", None, "", "fn"),
    ],
)
def test_a_declaration_splits_into_type_array_and_name(declaration, type_, array, location, name):
    found = field(declaration)
    assert (found.type, found.array, found.location, found.name) == (type_, array, location, name)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"name: x\n", b"ID: 3\n", b"name:\nID: 3\n", b"name: x\nID: y\n"])
def test_a_format_without_name_or_id_is_damaged(data: bytes):
    with pytest.raises(Damaged, match="not an event format"):
        parse_format(data, "g")


def test_100_mb_are_no_format():
    with pytest.raises(Damaged, match="100000015 bytes"):
        parse_format(b"name: x\nID: 1\n\n".ljust(100_000_015, b"\xff"), "g")


@pytest.mark.parametrize(
    "piece", [b"\xff\0\n", b"field:" + b"x " * 99, b"name: ", b"\nfield:x" + b" " * 499, b"[] " * 150]
)
def test_a_megabyte_of_garbage_after_the_head_gives_no_field(piece: bytes):
    assert parse_format(b"name: x\nID: 1\n" + piece * (1_000_000 // len(piece)), "g").fields == ()


def test_a_cut_format_keeps_the_whole_fields():
    data = (FIXTURES / "sys_enter_execve-7.2.txt").read_bytes()
    for end in range(data.index(b"format:"), len(data)):
        event = parse_format(data[:end], "syscalls")
        assert all(f.name and f.size for f in event.fields)


@given(st.binary(max_size=300), st.integers(0, 800), st.integers(0, 60))
def test_any_bytes_in_a_format_give_fields_or_a_clear_refusal(noise: bytes, at: int, cut: int):
    data = (FIXTURES / "sys_enter_execve-7.2.txt").read_bytes()
    try:
        event = parse_format(data[:at] + noise + data[at + cut :], "syscalls")
    except TraceScopeError:
        return
    assert event.name


identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("common_")
)
fields = st.builds(
    Field,
    name=identifiers,
    type=st.sampled_from(["int", "unsigned long", "const char *", "struct sock *", "u8", "enum x"]),
    offset=st.integers(0, 9999),
    size=st.integers(0, 9999),
    signed=st.booleans(),
    array=st.sampled_from([None, "16", "sizeof(struct in6_addr)", "32 + 2"]),
) | st.builds(
    Field,
    name=identifiers,
    type=st.sampled_from(["char", "__be32"]),
    offset=st.integers(0, 9999),
    size=st.just(4),
    signed=st.booleans(),
    array=st.just(""),
    location=st.sampled_from(["__data_loc", "__rel_loc"]),
)


@given(st.lists(fields, max_size=8), identifiers, st.integers(0, 65535), st.text(max_size=60))
def test_a_format_written_and_read_is_the_same(wanted: list[Field], name: str, number: int, print_fmt: str):
    lines = [f"\tfield:{f.declaration};\toffset:{f.offset};\tsize:{f.size};\tsigned:{f.signed:d};\n" for f in wanted]
    text = f"name: {name}\nID: {number}\nformat:\n{''.join(lines)}\nprint fmt: {print_fmt}\n"
    event = parse_format(text.encode("utf-8", "surrogatepass"), "g")
    assert (event.name, event.id, event.fields) == (name, number, tuple(wanted))
    assert event.print_fmt.encode("utf-8", "surrogateescape") == print_fmt.encode("utf-8", "surrogatepass")


def test_what_cannot_be_read_is_skipped_with_a_reason(tmp_path: Path):
    events = tmp_path / "sys/kernel/tracing/events"
    for path, text in {
        "enable": "0\n",
        "header_page": "",
        "sched/enable": "0\n",
        "sched/filter": "none\n",
        "sched/good/format": 'name: good\nID: 7\nformat:\n\nprint fmt: ""\n',
        "sched/bad/format": "\0\0",
        "sched/none/id": "9\n",
    }.items():
        (events / path).parent.mkdir(parents=True, exist_ok=True)
        (events / path).write_text(text)
    steps: list[tuple[int, int]] = []
    found = read_formats(SnapshotHost(tmp_path), lambda done, total: steps.append((done, total)))
    assert [event.probe for event in found.formats] == ["tracepoint:sched:good"]
    assert [event for event, _ in found.skipped] == ["sched:bad", "sched:none"]
    assert "not an event format" in found.skipped[0][1]
    assert "is not there" in found.skipped[1][1]
    assert steps[-1] == (3, 3)


def test_available_events_keep_their_order():
    assert parse_available_events(b"sched:b\nsched:a\n\n\xff\n") == ["sched:b", "sched:a"]


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("sys_enter_execve", "sys_exit_execve"),
        ("irq_handler_entry", "irq_handler_exit"),
        ("mm_compaction_begin", "mm_compaction_end"),
        ("block_io_start", "block_io_done"),
        ("workqueue_execute_start", "workqueue_execute_end"),
        ("sys_enter", "sys_exit"),
    ],
)
def test_pairs_find_each_other(name: str, twin: str):
    assert pair_of(name, {name, twin, "other"}) == twin
    assert pair_of(twin, {name, twin, "other"}) == name
    assert pair_of(name, {name}) is None


def test_an_event_that_marks_no_side_has_no_pair():
    assert pair_of("sched_switch", {"sched_switch", "sched_wakeup"}) is None
    assert pair_of("sched_process_exit", {"sched_process_exec", "sched_process_exit"}) is None
