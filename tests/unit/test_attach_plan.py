"""The plan: which bytes of which probe lie where in a record."""

from __future__ import annotations

import ctypes

import pytest
from formats import DATA_LOC, EXEC_FORMATS, EXECVEAT, HELPERS, OFFSETS, OPENAT_EXIT, REL_LOC, SWITCH, event_format

from tracescope.attach.plan import Filters, plan
from tracescope.attach.program import exec_calls
from tracescope.attach.record.layout import HEADER
from tracescope.attach.targets.target import Shape
from tracescope.errors import Refused


class Header(ctypes.Structure):
    """`struct record` as a C compiler lays it out."""

    _fields_ = [
        ("time_ns", ctypes.c_uint64),
        ("cpu", ctypes.c_uint32),
        ("probe", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("tid", ctypes.c_uint32),
        ("ppid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("comm", ctypes.c_char * 16),
    ]


class Text(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint32),
        ("argc", ctypes.c_uint32),
        ("envc", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("unread", ctypes.c_uint64 * 2),
    ]


class ExecRecord(ctypes.Structure):
    _fields_ = [
        ("head", Header),
        ("raw", ctypes.c_uint64 * 6),
        ("text", Text),
        ("bytes", ctypes.c_char * 16384),
        ("last", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
    ]


def test_the_structures_are_laid_out_as_c_lays_them_out():
    assert HEADER.size == ctypes.sizeof(Header)
    assert exec_calls.TEXT.size == ctypes.sizeof(Text)
    assert ExecRecord.text.offset == exec_calls.TEXT_OFFSET
    assert ctypes.sizeof(ExecRecord) == exec_calls.RECORD_BYTES


def test_a_field_lies_behind_the_header_as_far_as_it_did_behind_the_hidden_pointer():
    (probe,) = plan([SWITCH]).probes
    assert {layout.field.name: layout.offset - HEADER.size for layout in probe.fields} == {
        layout.field.name: layout.field.offset - 8 for layout in probe.fields
    }
    assert probe.raw == SWITCH.size - 8
    assert probe.fixed_size % 8 == 0
    assert probe.shape is Shape.RECORD


def test_probes_with_small_fixed_records_are_padded_to_one_size():
    made = plan([SWITCH, OPENAT_EXIT])
    assert made.record_size == max(probe.fixed_size for probe in made.probes)
    big = event_format("big", "\tfield:char blob[500];\toffset:8;\tsize:500;\tsigned:0;\n")
    assert plan([SWITCH, big]).record_size is None
    assert plan([big]).record_size == 48 + 504
    assert plan([SWITCH, DATA_LOC]).record_size is None


def test_dynamic_fields_share_the_room():
    (probe,) = plan([DATA_LOC]).probes
    assert [layout.field.name for layout in probe.dynamic] == ["name", "data"]
    assert probe.cap == 4096
    (probe,) = plan([REL_LOC]).probes
    assert [layout.field.name for layout in probe.dynamic] == ["name"]


@pytest.mark.parametrize("number", [0, 1])
def test_what_the_kernel_adds_for_ftrace_only_is_never_read_from_bpf(number):
    (probe,) = plan([EXEC_FORMATS[number]]).probes
    assert probe.shape is Shape.EXEC
    assert not probe.dynamic
    assert [layout.field.name for layout in probe.fields] == ["__syscall_nr", "filename", "argv", "envp"]
    assert probe.raw == 32


def helpers_of(made):
    return [(helper.function, helper.format.name) for helper in made.before]


def test_execve_is_completed_where_the_host_allows_it():
    calls = [EXEC_FORMATS[0], EXECVEAT]
    assert helpers_of(plan(calls, offsets=OFFSETS, helpers=HELPERS)) == [
        ("exec_again", "sched_prepare_exec"),
        ("exec_again", "sys_exit_execve"),
        ("exec_again", "sys_exit_execveat"),
    ]
    assert helpers_of(plan(calls[:1], helpers=HELPERS)) == [
        ("exec_again", "sched_prepare_exec"),
        ("exec_again", "sys_exit_execve"),
    ]
    old = {name: format_ for name, format_ in HELPERS.items() if "prepare" not in name}
    made = plan(calls[:1], offsets=OFFSETS, helpers=old)
    assert helpers_of(made) == [("exec_done", "sched_process_exec"), ("exec_again", "sys_exit_execve")]
    assert made.completes_exec


def test_where_execve_cannot_be_completed_the_plan_says_so():
    old = {name: format_ for name, format_ in HELPERS.items() if "prepare" not in name}
    without = plan(EXEC_FORMATS[:1], helpers=old)
    assert not without.completes_exec
    assert without.before == ()
    assert [note.split(":")[0][:6] for note in without.notes] == ["no BTF", "argume"]


def test_a_tree_needs_the_events_that_follow_it():
    filters = Filters(tree=(1,))
    made = plan([SWITCH], filters=filters, offsets=OFFSETS, helpers=HELPERS)
    assert [helper.function for helper in made.before] == ["follow_fork", "follow_exec"]
    assert [helper.function for helper in made.after] == ["follow_exit"]
    with pytest.raises(Refused, match="descendants cannot be followed"):
        plan([SWITCH], filters=filters, offsets=OFFSETS)


def test_a_probe_given_twice_is_attached_once():
    assert [probe.index for probe in plan([SWITCH, OPENAT_EXIT, SWITCH]).probes] == [0, 1]


def test_what_cannot_be_laid_out_is_refused():
    with pytest.raises(Refused, match="nothing to attach"):
        plan([])
    with pytest.raises(Refused, match="cannot be attached"):
        plan([event_format("early", "\tfield:int x;\toffset:4;\tsize:4;\tsigned:1;\n")])
    with pytest.raises(Refused, match="cannot be attached"):
        plan([event_format("huge", "\tfield:char x[9000];\toffset:8;\tsize:9000;\tsigned:0;\n")])


def test_an_event_without_fields_has_only_a_header():
    (probe,) = plan([event_format("nothing", "")]).probes
    assert (probe.raw, probe.fixed_size, probe.fields) == (0, 48, ())
