"""Which records wait for the return of their call, and what the program text has for it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from formats import OPENAT, OPENAT_EXIT, SWITCH, event_format

from tracescope.attach.plan import Plan, plan, return_of
from tracescope.attach.program import program_text
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.targets.target import Target, tracepoint

_NUMBER = "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
RETURNS = {"syscalls:sys_exit_openat": OPENAT_EXIT}


def call(name: str, *arguments: str) -> Target:
    fields = (
        f"\tfield:{argument};\toffset:{16 + 8 * at};\tsize:8;\tsigned:0;\n" for at, argument in enumerate(arguments)
    )
    return tracepoint(event_format(f"sys_enter_{name}", _NUMBER + "".join(fields), group="syscalls"))


def planned(*targets: Target, **more) -> Plan:
    return plan(targets, read=lambda target: (call_captures(target), None), **more)


WRITTEN = (
    call("poll", "struct pollfd * ufds", "unsigned int nfds", "int timeout_msecs"),
    call("select", "int n", "fd_set * inp", "struct __kernel_old_timeval * tvp"),
)
NOT_READ = (
    tracepoint(SWITCH),
    tracepoint(OPENAT_EXIT),
    call("execve", "const char * filename", "const char *const * argv", "const char *const * envp"),
    replace(tracepoint(OPENAT), end=tracepoint(OPENAT_EXIT)),
)


@pytest.mark.parametrize("target", [*WRITTEN, *NOT_READ], ids=lambda target: target.format.name)
def test_what_the_kernel_may_have_changed_or_nobody_reads_does_not_wait(target):
    made = planned(target)
    assert not any(probe.waits for probe in made.probes)
    assert (made.waiting_bytes, return_of(target)) == (0, "")
    assert "cold" not in program_text(made)


def functions(made: Plan) -> list[str]:
    return re.findall(r"^int (\w+)\(u64 \*ctx\)$", program_text(made), flags=re.MULTILINE)


def test_a_program_at_the_return_reads_again():
    made = planned(tracepoint(SWITCH), tracepoint(OPENAT), helpers=RETURNS)
    assert return_of(tracepoint(OPENAT)) in RETURNS
    assert [(helper.function, helper.format) for helper in made.returns] == [("again_1", OPENAT_EXIT)]
    assert functions(made) == ["probe_0", "probe_1", "again_1"]


def test_without_the_returns_of_all_of_them_one_program_is_at_the_return_of_every_call():
    other = call("unlink", "const char * pathname")
    made = planned(tracepoint(OPENAT), other, helpers=RETURNS)
    assert made.returns == ()
    assert functions(made) == ["probe_0", "probe_1", "raw_again_0", "raw_again_1", "raw_returned"]
    assert "BPF_PROG_ARRAY(returns, 2);" in program_text(made)


def test_the_records_that_wait_take_a_megabyte_at_most():
    small = planned(call("unlink", "const char * pathname"))
    many = planned(call("mount", *(f"char * {name}" for name in ("dev_name", "dir_name", "type"))))
    for made in (small, many):
        size, entries = re.search(
            r"bytes\[(\d+)\];\n};\nBPF_HASH\(cold, u64, struct cold, (\d+)\)", program_text(made)
        ).groups()
        assert int(size) == made.waiting_bytes
        assert 64 <= int(entries) <= 1024
        assert int(size) * int(entries) <= 1 << 20
