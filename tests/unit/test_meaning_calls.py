"""The table of calls against the formats that kernels gave: every name is there, every argument is decided on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from meaning_formats import PLAIN, X86, Calls, calls_of, plain_arguments

from tracescope.attach.meaning import Choice, Phase, Wanted, copies_of, limited, meaning_of, result_meaning
from tracescope.attach.meaning.kinds import Address, Meaning, Text
from tracescope.attach.meaning.names import family_of, load_table, name_set
from tracescope.host import SnapshotHost
from tracescope.model import Field

TABLE = load_table("calls.toml")
# In the table for kernels newer than the recorded ones (6.18 has them; read from its formats).
NEWER_CALLS = """
cachestat fchmodat2 file_getattr file_setattr futex_requeue futex_wait futex_wake getxattrat listmount listxattrat
lsm_get_self_attr lsm_set_self_attr mseal open_tree_attr removexattrat setxattrat statmount
"""
NEWER = set(NEWER_CALLS.split())
CAP = 1 << 13


@pytest.fixture(scope="session")
def calls(debian12: SnapshotHost) -> Calls:
    """The system calls of Debian 12 with their arguments."""
    return calls_of(debian12)


def rows(section: str) -> Iterator[tuple[str, str, object]]:
    for call, arguments in TABLE[section].items():
        for argument, row in arguments.items():
            yield call, argument, row


def strings(row: object) -> Iterator[str]:
    """The words of a row and of all its cases."""
    if isinstance(row, str):
        yield row
    elif isinstance(row, dict):
        for below in (*row.get("cases", {}).values(), row.get("other", "")):
            yield from strings(below)


@pytest.mark.parametrize("section", ["enter", "exit"])
def test_every_call_and_argument_of_the_table_is_one_of_the_kernels(calls: Calls, section: str):
    known = {(call, field.name) for call, arguments in calls.items() for field in arguments}
    assert {(call, argument) for call, argument, _ in rows(section) if call not in NEWER} <= known
    assert {call for call in TABLE["result"] if call not in NEWER} <= set(calls)


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_integer_that_is_left_plain_was_decided_to_be(host: str, request: pytest.FixtureRequest):
    assert plain_arguments(calls_of(request.getfixturevalue(host))) <= PLAIN


def test_every_pointer_has_a_meaning_at_least_of_an_address(calls: Calls):
    for call, arguments in calls.items():
        for field in arguments:
            if "*" in field.type:
                assert meaning_of(call, field.name, field.type, machine=X86) is not None, (call, field.name)


def test_every_path_is_text(calls: Calls):
    names = re.compile(r"\w*(path|file)?name|path|special(file)?|new_root|put_old|\w*pathname")
    nothing_but_paths = {
        (call, field.name)
        for call, arguments in calls.items()
        for field in arguments
        if field.type == "const char *" and names.fullmatch(field.name) and not call.startswith("execve")
    }
    assert len(nothing_but_paths) > 70
    assert [
        one for one in nothing_but_paths if not isinstance(meaning_of(*one, "const char *", machine=X86), Text)
    ] == []


def test_the_pointers_of_execve_are_left_to_the_exec_tracer(calls: Calls):
    for call in ("execve", "execveat"):
        pointers = [field for field in calls[call] if "*" in field.type]
        assert {meaning_of(call, field.name, field.type) for field in pointers} == {Address()}
        assert not any(copies_of(meaning_of(call, field.name, field.type)) for field in pointers)
    assert meaning_of("execveat", "flags", "int", machine=X86) not in (None, Address())


def counts(meaning: Meaning | None) -> Iterator[Wanted]:
    yield from (wanted for wanted in copies_of(meaning) if wanted.copy.count)


@pytest.mark.parametrize("phase", [Phase.ENTER, Phase.EXIT])
def test_every_count_is_an_argument_of_the_call_with_that_width(calls: Calls, phase: Phase):
    seen = 0
    for call, arguments in calls.items():
        types = {field.name: field.type for field in arguments}
        for field in arguments:
            for wanted in counts(meaning_of(call, field.name, field.type, phase, machine=X86)):
                copy, seen = wanted.copy, seen + 1
                if copy.count == "ret":
                    assert phase is Phase.EXIT
                    continue
                c_type = types[copy.count]
                if copy.count_behind:
                    assert c_type == "int *", (call, field.name)
                else:
                    narrow = c_type in ("int", "unsigned int", "unsigned")
                    assert copy.count_bits == (32 if narrow else 64), (call, field.name, c_type)
    assert seen > 20


def test_every_choice_names_values_that_its_deciding_argument_has(calls: Calls):
    for section in ("enter", "exit", "result"):
        for call, arguments in TABLE[section].items():
            for row in [arguments] if section == "result" else arguments.values():
                if isinstance(row, dict) and call in calls:
                    check_choice(call, row, calls[call])


def check_choice(call: str, row: dict[str, object], arguments: tuple[Field, ...]):
    on = row["on"]
    assert on in {field.name for field in arguments}, call
    decides = name_set(row.get("names") or TABLE["enter"][call][on], X86)
    for name, below in row.get("cases", {}).items():
        assert name.isdigit() or (decides and name in decides.numbers), (call, name)
        if isinstance(below, dict):
            check_choice(call, below, arguments)


def test_every_word_of_the_table_has_a_meaning_on_every_known_machine():
    for section in ("enter", "exit"):
        phase = Phase(section)
        for call, argument, row in rows(section):
            for machine in ("x86_64", "aarch64", "riscv64"):
                found = meaning_of(call, argument, "unsigned long", phase, machine=machine)
                assert found is not None or row == "", (call, argument)
                if isinstance(row, dict):
                    assert isinstance(found, Choice)
                    assert sum(1 for text in strings(row) if text) == leaves(found) or machine != X86, (call, argument)


def leaves(meaning: Meaning | None) -> int:
    if isinstance(meaning, Choice):
        return sum(leaves(below) for below in meaning.choices)
    return meaning is not None


def test_every_result_of_the_table_has_a_meaning():
    for call, row in TABLE["result"].items():
        success = result_meaning(call, machine=X86).success
        assert success is not None, call
        if isinstance(row, dict):
            assert leaves(success) == len(row["cases"])


@pytest.mark.parametrize("machine", ["ppc64le", "i686", ""])
def test_on_an_unknown_machine_paths_and_modes_are_known_and_flags_are_not(machine: str):
    assert family_of(machine) is None
    assert meaning_of("openat", "flags", "int", machine=machine) is None
    assert isinstance(meaning_of("openat", "filename", "const char *", machine=machine), Text)
    assert meaning_of("chmod", "mode", "umode_t", machine=machine) is not None
    assert result_meaning("openat", machine=machine).errors == ()
    assert meaning_of("connect", "uservaddr", "struct sockaddr *", machine=machine) is not None


def test_a_call_that_nobody_knows_is_told_by_its_types():
    assert meaning_of("new_call", "dfd", "int") is not None
    assert isinstance(meaning_of("new_call", "filename", "const char *"), Text)
    assert meaning_of("new_call", "thing", "struct thing *") == Address()
    assert meaning_of("new_call", "thing", "unsigned int") is None
    assert meaning_of("new_call", "thing", "struct thing *", Phase.EXIT) is None


# ---- what a program has to copy


def test_one_copy_is_wanted_at_most_whatever_decides(calls: Calls):
    for phase in (Phase.ENTER, Phase.EXIT, Phase.FAILED):
        for call, arguments in calls.items():
            for field in arguments:
                for values in ({}, {"cmd": 6, "option": 15, "op": 9, "level": 1, "optname": 13, "flags": 0o100}):
                    meaning = meaning_of(call, field.name, field.type, phase, machine=X86)
                    wanted = [
                        one
                        for one in copies_of(meaning)
                        if all(condition.holds(values.get(condition.on, 0)) for condition in one.conditions)
                    ]
                    assert len(wanted) <= 1
                    assert all(0 < one.copy.cap <= CAP for one in wanted)


@pytest.mark.parametrize(
    ("call", "argument", "arguments"),
    [
        ("fcntl", "arg", {"cmd": 6}),
        ("fcntl", "arg", {"cmd": 4}),
        ("fcntl", "arg", {"cmd": 15}),
        ("ioctl", "arg", {"cmd": 0x5414}),
        ("setsockopt", "optval", {"level": 1, "optname": 13, "optlen": 8}),
        ("setsockopt", "optval", {"level": 41, "optname": 13, "optlen": 100}),
        ("prctl", "arg2", {"option": 15 | 7 << 32}),
        ("prctl", "arg2", {"option": 1}),
    ],
)
def test_what_the_conditions_let_through_is_what_the_choice_reads(call: str, argument: str, arguments: dict[str, int]):
    choice = meaning_of(call, argument, "unsigned long", machine=X86)
    assert isinstance(choice, Choice)
    chosen = choice.choose(arguments)
    reads = getattr(chosen, "copy", None)
    wanted = [
        one.copy
        for one in copies_of(choice)
        if all(condition.holds(arguments[condition.on]) for condition in one.conditions)
    ]
    assert bool(wanted) == bool(reads)
    for copy in wanted:
        assert copy.size(arguments) >= reads.size(arguments)


@pytest.mark.parametrize(
    ("call", "argument", "arguments", "size"),
    [
        ("write", "buf", {"count": 5}, 5),
        ("write", "buf", {"count": 1 << 30}, 128),
        ("write", "buf", {"count": (1 << 64) - 1}, 128),
        ("connect", "uservaddr", {"addrlen": 16 | 0xDEAD << 32}, 16),
        ("connect", "uservaddr", {"addrlen": 0xFFFFFFFF}, 128),
        ("poll", "ufds", {"nfds": 2}, 16),
        ("poll", "ufds", {"nfds": 1000}, 256),
        ("writev", "vec", {"vlen": 3}, 48),
        ("select", "inp", {"n": 1}, 8),
        ("select", "inp", {"n": 65}, 16),
        ("select", "inp", {"n": 0}, 0),
        ("openat2", "how", {"usize": 24}, 24),
        ("openat2", "how", {"usize": 8}, 8),
        ("openat2", "how", {"usize": 4096}, 24),
        ("nanosleep", "rqtp", {}, 16),
        ("utimensat", "utimes", {}, 32),
        ("rt_sigprocmask", "nset", {}, 8),
        ("setgroups", "grouplist", {"gidsetsize": 3}, 12),
    ],
)
def test_the_size_of_a_copy_comes_from_the_arguments(call: str, argument: str, arguments: dict[str, int], size: int):
    (wanted,) = copies_of(meaning_of(call, argument, "void *", machine=X86))
    assert wanted.conditions == ()
    assert wanted.copy.size(arguments) == size


def test_what_is_left_of_a_sleep_is_read_when_the_call_failed():
    (wanted,) = copies_of(meaning_of("nanosleep", "rmtp", "struct __kernel_timespec *", Phase.EXIT))
    assert wanted.copy.phase is Phase.FAILED
    (other,) = copies_of(meaning_of("pipe2", "fildes", "int *", Phase.EXIT))
    assert other.copy.phase is Phase.EXIT


def test_a_smaller_cap_can_be_asked_for():
    path = meaning_of("openat", "filename", "const char *")
    (wanted,) = copies_of(limited(path, 256))
    assert (wanted.copy.cap, wanted.copy.text) == (256, True)
    caps = {one.copy.cap for one in copies_of(limited(meaning_of("fcntl", "arg", "unsigned long", machine=X86), 10))}
    assert caps == {10, 8}
    assert limited(None, 10) is None
    assert limited(Address(), 10) == Address()
