"""The C text: nothing of the user's or the kernel's gets into it, and it holds what the plan asks for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from formats import DATA_LOC, EXEC_FORMATS, EXECVEAT, HELPERS, KINDS, OFFSETS, OPENAT, OPENAT_EXIT, REL_LOC, SWITCH
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.plan import Filters, plan
from tracescope.attach.program import program_text

ALL = (SWITCH, DATA_LOC, REL_LOC, KINDS, OPENAT, OPENAT_EXIT, EXEC_FORMATS[0], EXECVEAT)

filters = st.builds(
    Filters,
    pid=st.lists(st.integers(0, 2**31 - 1), max_size=3).map(tuple),
    tree=st.lists(st.integers(1, 2**22), max_size=2).map(tuple),
    uid=st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
    comm=st.lists(st.text(max_size=20), max_size=3).map(tuple),
)


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=8), filters, st.booleans())
def test_the_text_is_balanced_ascii_with_one_function_a_probe(formats, chosen, with_btf):
    made = plan(formats, filters=chosen, offsets=OFFSETS if with_btf else None, helpers=HELPERS)
    text = program_text(made)
    assert text.isascii()
    assert "%" not in without_comments(text)
    code = without_comments(text)
    assert all(code.count(left) == code.count(right) for left, right in ("{}", "()", "[]"))
    functions = re.findall(r"^int (\w+)\(u64 \*ctx\)$", code, flags=re.MULTILINE)
    helpers = {helper.function for helper in (*made.before, *made.after)}
    steps = re.findall(r"^BPF_PROG_ARRAY\(to_(\w+), 1\);$", code, flags=re.MULTILINE)
    assert sorted(functions) == sorted([probe.function for probe in made.probes] + list(helpers) + steps)


@pytest.mark.parametrize("hostile", ["*/ int evil; /*", 'a"b', "a\nb", "größe", "%s", "a\\"])
def test_names_of_events_cannot_leave_their_comment(hostile):
    text = program_text(plan([replace(SWITCH, name=hostile, group=hostile)]))
    assert hostile not in text
    assert "evil; /*" not in text
    assert text.isascii()
    assert without_comments(text) == without_comments(program_text(plan([SWITCH])))


@given(st.text(max_size=30))
def test_a_command_name_becomes_two_numbers(name):
    text = program_text(plan([SWITCH], filters=Filters(comm=(name,))))
    condition = re.search(r"comm\[0\] == (0x[0-9a-f]+)ULL && comm\[1\] == (0x[0-9a-f]+)ULL", text)
    data = b"".join(int(word, 16).to_bytes(8, "little") for word in condition.groups())
    assert data.rstrip(b"\0") == name.encode("utf-8", "surrogateescape")[:15].rstrip(b"\0")


def test_filters_are_numbers_and_each_has_its_own_condition():
    text = program_text(plan([SWITCH], filters=Filters(pid=(12, 13), uid=(0,)), offsets=OFFSETS))
    assert "if (pid != 12U && pid != 13U)" in text
    assert "if (uid != 0U)" in text
    assert "tree" not in text


@pytest.mark.parametrize("format_", ALL, ids=lambda format_: format_.name)
def test_a_program_reads_no_byte_behind_the_record(format_):
    (probe,) = plan([format_]).probes
    text = program_text(plan([format_]))
    end = probe.raw + 8
    for width, offset in re.findall(r"\*\((u\d+) \*\)\(\(char \*\)ctx \+ (\d+)\)", text):
        assert int(offset) + int(width[1:]) // 8 <= end
    for word in re.findall(r"= ctx\[(\d+)\]", text):
        assert 8 * int(word) + 8 <= end
        assert int(word) > 0


def test_offsets_come_from_the_plan_and_without_them_there_is_no_parent():
    assert "#define TASK_REAL_PARENT 1280\n" in program_text(plan([SWITCH], offsets=OFFSETS))
    assert "TASK_REAL_PARENT" not in program_text(plan([SWITCH]))


def test_the_task_is_read_through_its_pointer_where_programs_may():
    typed = program_text(plan([SWITCH], offsets=OFFSETS))
    called = program_text(plan([SWITCH], offsets=replace(OFFSETS, typed=0)))
    assert "bpf_get_current_comm" not in typed
    assert "bpf_probe_read_kernel(&task" not in typed
    assert "bpf_get_current_comm" in called
    assert "bpf_probe_read_kernel(&task" in called
    assert "current_task()" not in called.replace("bpf_get_current_task()", "")


def test_whoever_is_left_out_is_no_part_of_the_text():
    texts = {program_text(plan([SWITCH], filters=Filters(but_not=numbers))) for numbers in ((1, 2), (3, 4))}
    assert len(texts) == 1
    assert program_text(plan([SWITCH], filters=Filters(but_not=(1,)))) not in texts
