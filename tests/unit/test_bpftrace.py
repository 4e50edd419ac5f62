from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged
from tracescope.model import Parameter
from tracescope.sources.bpftrace import parse_listing, read

NEWER = Path(__file__).parent.parent / "fixtures" / "bpftrace" / "lv-0.25.txt"
WORDS = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)


def _args(listing, probe):
    return [(p.type, p.name) for p in listing.probes[probe]]


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_every_line_of_a_recorded_listing_is_a_probe_a_repeat_or_an_echo(name, request):
    host = request.getfixturevalue(name)
    lines = host.run("bpftrace", "-l").decode().splitlines()
    found = read(host)
    assert found.skipped == 0
    assert len(found.probes) + found.repeated + found.echoed == len(lines)
    for line in lines:
        kind, _, rest = line.partition(":")
        if kind in ("kprobe", "tracepoint"):
            assert line in found.probes
        elif kind == "kfunc":
            assert f"fentry:{rest if ':' in rest else 'vmlinux:' + rest}" in found.probes


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_the_verbose_listing_has_the_same_probes_and_every_argument(name, request):
    host = request.getfixturevalue(name)
    verbose = read(host, verbose=True)
    lines = host.run("bpftrace", "-lv").decode().splitlines()
    assert list(verbose.probes) == list(read(host).probes)
    assert verbose.skipped == 0
    assert sum(map(len, verbose.probes.values())) == sum(line.startswith("    ") for line in lines)


def test_echoed_searches_are_not_probes(debian12):
    found = read(debian12)
    assert found.echoed == 2
    assert not any("*" in probe for probe in found.probes)


def test_an_empty_period_is_not_part_of_the_name(debian11):
    found = read(debian11)
    assert "software:cpu-clock" in found.probes
    assert "hardware:cpu-cycles" in found.probes


def test_arguments_of_old_versions_end_with_semicolons_and_read_alike(debian11, debian12):
    for host in (debian11, debian12):
        found = read(host, verbose=True)
        assert _args(found, "tracepoint:sched:sched_process_exec") == [
            ("__data_loc char[]", "filename"),
            ("pid_t", "pid"),
            ("pid_t", "old_pid"),
        ]
        assert _args(found, "fentry:vmlinux:vfs_read") == [
            ("struct file *", "file"),
            ("char *", "buf"),
            ("size_t", "count"),
            ("loff_t *", "pos"),
            ("ssize_t", "retval"),
        ]
        assert ("char[16]", "prev_comm") in _args(found, "tracepoint:sched:sched_switch")


def test_the_rest_of_a_variadic_function_has_no_name(debian12):
    found = read(debian12, verbose=True)
    assert Parameter("", "void") in found.probes["fentry:9pnet:p9_client_rpc"]


def test_newer_spellings_are_read():
    found = parse_listing(NEWER.read_bytes())
    assert _args(found, "fentry:vmlinux:vfs_read")[-1] == ("loff_t *", "pos")
    assert _args(found, "fexit:vmlinux:vfs_read")[-1] == ("ssize_t", "retval")
    assert _args(found, "fentry:kvm:kvm_set_memslot") == [("struct kvm *", "kvm")]
    assert _args(found, "kprobe:vfs_read")[:2] == [("struct file *", "arg0"), ("char *", "arg1")]
    assert _args(found, "kretprobe:vfs_read") == [("ssize_t", "retval")]
    assert _args(found, "kretprobe:vfs_fsync_done") == [("void", "")]
    assert _args(found, "rawtracepoint:sched_switch")[0] == ("bool", "preempt")
    assert "rawtracepoint:ext4_sync_file_enter" in found.probes
    assert _args(found, "tracepoint:sched:sched_switch") == [
        ("char[16]", "prev_comm"),
        ("pid_t", "prev_pid"),
        ("long[6]", "args"),
        ("__data_loc char[]", "name"),
    ]
    assert 'uprobe:/usr/lib/libx.so:cpp:"ns::call(char*, int)"' in found.probes
    assert len(found.probes) == 12
    # The warning and the four lines of the struct.
    assert found.skipped == 5


def test_old_raw_tracepoints_have_no_module():
    assert list(parse_listing(b"rawtracepoint:sched_switch\n").probes) == ["rawtracepoint:sched_switch"]


def test_kretfunc_is_fexit():
    assert list(parse_listing(b"kretfunc:vmlinux:f\nkretfunc:g\n").probes) == ["fexit:vmlinux:f", "fexit:vmlinux:g"]


def test_a_function_pointer_keeps_its_type():
    found = parse_listing(b"fentry:vmlinux:f\n    bool (*)(const struct dev *, int) test\n")
    assert _args(found, "fentry:vmlinux:f") == [("bool (*)(const struct dev *, int)", "test")]


def test_text_without_a_probe_is_damaged_and_nothing_is_empty():
    with pytest.raises(Damaged):
        parse_listing(b"ERROR: bpftrace currently only supports running as the root user.\n")
    assert parse_listing(b"").probes == {}


@given(
    st.dictionaries(
        WORDS, st.lists(st.tuples(st.sampled_from(["int", "struct task_struct *", "u64"]), WORDS), max_size=4)
    ),
    st.sampled_from(["", ";"]),
)
def test_a_written_listing_reads_back(functions, end):
    text = "".join(
        f"kfunc:vmlinux:{name}\n" + "".join(f"    {kind} {arg}{end}\n" for kind, arg in args)
        for name, args in functions.items()
    )
    found = parse_listing(text.encode())
    assert {name: _args(found, name) for name in found.probes} == {
        f"fentry:vmlinux:{name}": args for name, args in functions.items()
    }


@given(st.one_of(st.binary(max_size=300), st.text(" \n:*;[]()abkprobefentry", max_size=300).map(str.encode)))
def test_garbage_raises_nothing_but_damaged(data):
    with contextlib.suppress(Damaged):
        parse_listing(data)
