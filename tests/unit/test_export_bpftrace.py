"""What is written for bpftrace: the words of each version, nothing unquoted, and the refusals."""

import re
import shlex
from dataclasses import replace

import pytest

from tracescope.attach.plan import Filters
from tracescope.attach.targets.sample import sample_target
from tracescope.attach.targets.target import Shape, Target, TracepointPlace, tracepoint, word_fields, words_format
from tracescope.errors import Refused, UsageError
from tracescope.export.bpftrace.script import one_liner, script
from tracescope.export.tracer import Tracer
from tracescope.model import EventFormat, Field, ProbeKind

VERSIONS = [(0, minor) for minor in range(11, 28)]
NR = Field("__syscall_nr", "int", 8, 4, signed=True)


def call(name: str, *rows: tuple[str, str]) -> Target:
    fields = (NR, *(Field(word, type_, 16 + 8 * at, 8, signed=False) for at, (word, type_) in enumerate(rows)))
    return tracepoint(EventFormat("syscalls", name, 7, fields))


EXECVE = call(
    "sys_enter_execve",
    ("filename", "const char *"), ("argv", "const char *const *"), ("envp", "const char *const *"),
)  # fmt: skip
OPENAT = call("sys_enter_openat", ("dfd", "int"), ("filename", "const char *"), ("flags", "int"))
READ = call("sys_enter_read", ("fd", "unsigned int"), ("buf", "char *"), ("count", "size_t"))
READ_EXIT = tracepoint(EventFormat("syscalls", "sys_exit_read", 8, (NR, Field("ret", "long", 16, 8, signed=True))))
WORDS = word_fields([("preempt", "bool", 1, False), ("prev", "struct task_struct *", 8, False)])
RAW = Target(
    ProbeKind.RAWTRACEPOINT, "rawtracepoint:sched_switch", words_format("", "sched_switch", WORDS),
    Shape.WORDS, TracepointPlace("sched_switch"),
)  # fmt: skip
FENTRY = replace(RAW, kind=ProbeKind.FENTRY, probe="fentry:vmlinux:vfs_read")


def code(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("//"))


def made(*targets: Target, version: tuple[int, int] = (0, 23), **asked: object) -> str:
    return code(script(Tracer("made", targets, **asked), version))


@pytest.mark.parametrize("version", VERSIONS)
def test_arguments_are_spelled_as_the_version_does(version: tuple[int, int]):
    text = made(OPENAT, version=version)
    old, new = "str(args->filename)" in text, "str(args.filename)" in text
    assert (old, new) == (version < (0, 19), version >= (0, 19))
    assert ("strftime(" in text) == (version >= (0, 12))
    assert ("%f" in text) == (version >= (0, 14))
    assert ("real_parent" in text) == (version < (0, 25))


@pytest.mark.parametrize("version", VERSIONS)
def test_functions_are_named_as_the_version_does(version: tuple[int, int]):
    kind = "fentry" if version >= (0, 20) else "kfunc"
    module = "vmlinux:" if version >= (0, 17) else ""
    assert f"\n{kind}:{module}vfs_read\n" in made(FENTRY, version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_join_is_never_given_to_a_map(version: tuple[int, int]):
    for text in (script(Tracer("made", (EXECVE,)), version), one_liner(Tracer("made", (EXECVE,)), version)):
        assert not re.search(r"=\s*join", code(text))
        assert re.search(r"[;{]\s*join\(args(->|\.)argv\);", code(text))


def test_the_exec_tracer_says_what_it_cannot():
    text = script(Tracer("made", (EXECVE,)))
    assert "`tracescope exec` does" in text.split("BEGIN")[0]


def test_a_buffer_is_an_address_and_a_path_is_a_text():
    assert "buf=%p" in made(READ)
    assert "filename=%s" in made(OPENAT)


def test_a_number_has_the_width_and_sign_of_its_declaration():
    assert "(int32)args.dfd" in made(OPENAT)
    assert "dfd=%d" in made(OPENAT)


def test_a_raw_tracepoint_is_read_by_word_from_0_19():
    text = made(RAW, where="args.preempt == 1")
    assert "/((uint8)arg0 == 1)/" in text
    with pytest.raises(Refused, match=r"0\.19"):
        made(RAW, version=(0, 17))


def test_a_pair_keeps_what_the_end_needs_and_forgets_it():
    text = made(replace(READ, end=READ_EXIT), hist="args.count", where="ret > 0 && duration_ns > 1000")
    enter, end = text.split("tracepoint:syscalls:sys_exit_read")
    assert set(re.findall(r"@(\w+)\[tid\] =", enter)) == {"count", "start"}
    assert "if ((args.ret > 0) && ((nsecs - @start[tid]) > 1000)) {" in end
    assert set(re.findall(r"delete\(@(\w+), tid\)", end)) == {"count", "start"}
    assert "delete(@start[tid])" in made(replace(READ, end=READ_EXIT), version=(0, 21))


def test_an_argument_named_as_a_map_of_ours_has_its_own():
    target = call("sys_enter_read", ("start", "unsigned long"), ("count", "size_t"))
    text = made(replace(target, end=READ_EXIT))
    assert "@start_[tid] = args.start;" in text
    assert "clear(@start_);" in text


@pytest.mark.parametrize("version", VERSIONS)
def test_a_text_of_no_fixed_size_is_found_by_hand_before_0_12(version: tuple[int, int]):
    field = Field("filename", "char", 8, 4, signed=False, array="", location="__data_loc")
    target = tracepoint(EventFormat("sched", "sched_process_exec", 9, (field,)))
    by_hand = "str(((uint64)args + (args->data_loc_filename & 65535)))"
    text = made(target, version=version, where='args.filename == "/bin/sh"')
    assert text.count(by_hand) == (2 if version < (0, 12) else 0)
    assert text.count("filename)") == (0 if version < (0, 12) else 2)


def test_a_relative_text_is_refused_before_0_12():
    field = Field("filename", "char", 8, 4, signed=False, array="", location="__rel_loc")
    with pytest.raises(Refused, match=r"0\.12"):
        made(tracepoint(EventFormat("sched", "some", 9, (field,))), version=(0, 11))


def test_what_a_function_returns_has_its_width_and_sign():
    format_ = words_format("", "vfs_read", word_fields([("ret", "int", 4, True)]))
    target = replace(RAW, kind=ProbeKind.KRETPROBE, probe="kretprobe:vfs_read", format=format_, shape=Shape.RESULT)
    text = made(target, where="ret < 0")
    assert "/((int32)retval < 0)/" in text
    assert "ret=%d" in text


def test_filters_are_any_of_one_and_all_of_several():
    text = made(READ, filters=Filters(pid=(1, 2), uid=(0,), comm=("sh",)), where="args.fd == 3")
    assert '/(pid == 1 || pid == 2) && (uid == 0) && (comm == "sh") && ((uint32)args.fd == 3)/' in text


def test_a_tree_is_followed_from_fork_to_exit():
    text = made(READ, filters=Filters(tree=(42,)))
    assert "@tree[42] = 1;" in text
    assert text.count("BEGIN") == 1
    assert "@tree[args.child_pid] = 1;" in text
    assert "delete(@tree, tid);" in text
    assert "/(@tree[pid])/" in text


@pytest.mark.parametrize("name", ['"', "\\", '"; system("id"); //', "%s%n", "*/", "'"])
def test_hostile_names_stay_inside_their_quotes(name: str):
    name = name[:15]
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    tracer = Tracer("made", (READ,), Filters(comm=(name,)))
    assert f'/(comm == "{escaped}")/' in script(tracer)
    words = shlex.split(one_liner(tracer))
    assert words[:2] == ["bpftrace", "-e"]
    assert len(words) == 3
    assert f'(comm == "{escaped}")' in words[2]


@pytest.mark.parametrize("name", ["\n", "\x1b[2J", "ä"])
def test_a_name_that_is_not_printable_ascii_is_refused(name: str):
    with pytest.raises(Refused):
        made(READ, filters=Filters(comm=(name,)))


@pytest.mark.parametrize(
    "probe", ["tracepoint:a:b { exit(); }", "tracepoint:a:b\n", 'tracepoint:a:"', "tracepoint:ä:b"]
)
def test_a_probe_with_a_hostile_name_is_refused(probe: str):
    with pytest.raises(Refused):
        made(replace(READ, probe=probe))


def test_a_line_break_in_a_value_does_not_leave_its_comment():
    text = script(Tracer("made", (READ,), show=("args.fd\n+\n1",)))
    assert [line.strip() for line in text.splitlines() if "show0 is" in line] == ["// show0 is args.fd + 1"]
    assert "show0=%llu" in text


@pytest.mark.parametrize(
    "where", ['args.filename =~ "*c"', "args.flags < time_ns", "-args.dfd / 2 == 1", f'comm == "{"x" * 64}"']
)
def test_what_bpftrace_cannot_say_is_refused_with_the_reason(where: str):
    with pytest.raises((Refused, UsageError)) as caught:
        made(OPENAT, where=where)
    assert caught.value.why or caught.value.fix


def test_texts_are_compared_whole_or_by_their_beginning():
    text = made(OPENAT, where='args.filename == "/etc/passwd" || args.filename =~ "/proc/*"')
    assert '((str(args.filename) == "/etc/passwd") || (strncmp(str(args.filename), "/proc/", 6) == 0))' in text


def test_a_cache_event_is_refused():
    with pytest.raises(Refused, match="no such kind"):
        made(replace(sample_target(ProbeKind.SOFTWARE, "page-faults:100"), probe="cache:LLC-loads"))


def test_counting_has_the_probe_among_the_keys_of_several():
    assert "@[probe, comm, kstack] = count();" in made(READ, OPENAT, count_by="comm, kstack")
    assert "@[comm] = count();" in made(READ, count_by="comm")


MANY = call("sys_enter_many", *((f"argument_{at}", "unsigned long") for at in range(12)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_format_has_64_bytes_at_most_before_0_12(version: tuple[int, int]):
    text = made(replace(MANY, end=READ_EXIT), version=version)
    formats = re.findall(r'printf\("((?:[^"\\]|\\.)*)"', text)
    assert all(len(one) < 64 for one in formats) == (version < (0, 12))
    shown = "".join(formats[1:])
    assert re.findall(r"(\w+)=%", shown) == [*(f"argument_{at}" for at in range(12)), "ret", "duration_ns"]
    assert shown.endswith("duration_ns=%llu\\n")
    assert len(formats) == 2 or version < (0, 12)
    for form, given in re.findall(r'printf\("((?:[^"\\]|\\.)*)"(.*)\);', text)[1:]:
        # The comma within strftime() parts no values.
        assert form.count("%") == given.replace('", nsecs)', '"').count(", "), form


@pytest.mark.parametrize("version", VERSIONS)
def test_the_kernels_headers_are_taken_where_there_is_no_btf(version: tuple[int, int]):
    guard = "#ifndef BPFTRACE_HAVE_BTF\n#include <linux/sched.h>\n#endif\n"
    assert (guard in script(Tracer("made", (READ,)), version)) == (version < (0, 25))
    assert guard not in script(Tracer("made", (READ,), count_by="comm"), version)
    (program,) = shlex.split(one_liner(Tracer("made", (READ,)), version))[2:]
    assert program.startswith(guard) == (version < (0, 25))


def test_a_timer_is_named_by_its_own_text_where_bpftrace_does_not_know_it():
    timer = sample_target(ProbeKind.INTERVAL, "s:1")
    assert ', "interval:s:1");' in made(timer, version=(0, 11))
    assert ", probe);" in made(timer, version=(0, 12))


def test_stacks_steps_and_sums_are_measured():
    assert "@ = lhist(args.count, 0, 4096, 256);" in made(READ, lhist="args.count:0:4K:256")
    assert "@[comm] = stats(args.count);" in made(READ, sum="args.count", count_by="comm")
    assert "@ = count();" in made(READ, count=True)
    pair = made(replace(READ, end=READ_EXIT), lhist="args.count:0:4K:256")
    assert "@count[tid] = args.count;" in pair


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (r'comm == "a\"b"', r'comm == "a\"b"'),
        (r'comm == "back\\slash"', r'comm == "back\\slash"'),
        ('comm == "$(id)`id`"', 'comm == "$(id)`id`"'),
        ("""comm == "it's" """, """comm == "it's\""""),
        ('comm == "%s%n*/"', 'comm == "%s%n*/"'),
    ],
)
def test_texts_of_conditions_stay_inside_their_quotes(where: str, said: str):
    tracer = Tracer("made", (READ,), where=where)
    assert said in code(script(tracer))
    words = shlex.split(one_liner(tracer))
    assert len(words) == 3
    assert said in words[2]


@pytest.mark.parametrize("where", [r'comm == "a\nb"', r'comm == "\xff"', r'comm == "\x1b[2J"'])
def test_a_text_that_bpftrace_cannot_hold_is_refused(where: str):
    with pytest.raises(Refused):
        made(READ, where=where)


EXECVE_EXIT = tracepoint(EventFormat("syscalls", "sys_exit_execve", 8, READ_EXIT.format.fields))
EXECVE_PAIR = replace(EXECVE, end=EXECVE_EXIT)


@pytest.mark.parametrize("version", VERSIONS)
def test_arguments_of_a_pair_are_kept_one_by_one_under_the_task(version: tuple[int, int]):
    text = made(EXECVE_PAIR, version=version, where="ret < 0")
    enter, end = text.split("tracepoint:syscalls:sys_exit_execve")
    third = "args.argv[2]" if version >= (0, 19) else "args->argv[2]"
    third = third if version >= (0, 17) else "*(uint64 *)((uint64)args->argv + 16)"
    assert f"if ($count == 2 && {third} != 0) {{ @argv[curtask, 2] = str({third}); $count = 3; }}" in enter
    assert 'if (@argc[curtask] > 2) { printf(" %s", @argv[curtask, 2]); }' in end
    gone = "delete(@argv, (curtask, 2));" if version >= (0, 22) else "delete(@argv[curtask, 2]);"
    assert f"if (@argc[curtask] > 2) {{ {gone} }}" in end
    assert "[tid]" not in text
    kept = set(re.findall(r"@(\w+)\[curtask", text))
    assert kept == set(re.findall(r"clear\(@(\w+)\)", text)) == {"filename", "argv", "argc", "start"}
    assert "join(" not in text


def test_the_list_of_arguments_is_no_value_at_the_return():
    with pytest.raises(Refused, match="at the return"):
        made(EXECVE_PAIR, where="args.argv != 0")


def test_a_pair_within_another_has_maps_of_its_own():
    inner = replace(READ, end=READ_EXIT)
    outer = replace(READ, probe="tracepoint:syscalls:sys_enter_write", end=replace(READ_EXIT, probe="tracepoint:a:b"))
    text = made(inner, RAW, outer)
    assert "/@start[tid]/" in text
    assert "/@start_1[tid]/" in text
    assert "@count_1[tid] = args.count;" in text
    assert set(re.findall(r"clear\(@(\w+)\)", text)) == set(re.findall(r"@(\w+)\[tid\] =", text))
