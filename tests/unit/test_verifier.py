"""The verifier's words explained: logs that this kernel and older ones wrote, and anything else."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.kernel.verifier import explain, read_log, refusal
from tracescope.attach.source_lines import parse_listing
from tracescope.printable import printable

LOGS = Path(__file__).parent.parent / "fixtures" / "verifier"


def logs(name):
    parts = re.split(r"^===== (\S+) (\d+)\n", (LOGS / name).read_text(), flags=re.MULTILINE)[1:]
    return {parts[n]: (int(parts[n + 1]), parts[n + 2]) for n in range(0, len(parts), 3)}


HERE, OLDER = logs("6.18.txt"), logs("older.txt")
MEANINGS = {
    "unbounded": "argument 2 of bpf_probe_read_kernel (the size) has no limit",
    "min_negative": "argument 2 of bpf_probe_read_kernel (the size) has no limit",
    "arg_type": "argument 1 of bpf_map_lookup_elem (the map) is of the wrong kind: scalar, not map_ptr",
    "null_map_value": "register R0 may be a NULL pointer",
    "ring_null": "register R0 may be a NULL pointer",
    "ring_twice": "register R6 is a number, or a pointer that was given back",
    "scalar_access": "register R2 is a number",
    "ring_leak": "a record of the ring is neither handed over nor given back",
    "too_long": "too many branches open at once (8193)",
    "loop_unbounded": "no end of a loop",
    "misaligned": "8 bytes at offset 12 are none that the program may touch",
    "map_const_out": "outside of 72 bytes, at offset 108",
    "map_out_of_bounds": "an index has no limit",
    "uninitialized": "register R2 was never set",
    "stack_limit": "520 bytes of stack, and 512 is the limit",
    "unknown_helper": "no helper number 9999",
    "override_return": "bpf_override_return is not for this kind of program",
}
OLDER_MEANINGS = {
    "no_names": "no helper number 113",
    "lockdown_5.10": "locked down for confidentiality, or has no bpf_probe_read_kernel",
    "lockdown_6.18": "locked down for confidentiality, or has no bpf_probe_read",
    "null_4.4": "register R7 may be a NULL pointer",
    "inv": "register R1 is a number",
    "unbounded": "argument 2 of bpf_probe_read_user (the size) has no limit",
    "stack_4.19": "520 bytes of stack",
    "combined": "576 bytes of stack together",
    "loop_4.19": "takes no loops",
    "too_large": "gave up after 1000001 instructions",
    "uninitialized_stack": "stack that it has not written",
    "zero_sized": "argument 2 of bpf_probe_read_user (the size) may be 0",
    "rejected": "nobody hook __rcu_read_lock",
    "modified_context": "at a computed address",
}


@pytest.mark.parametrize(("name", "meaning"), MEANINGS.items())
def test_what_this_kernel_says_is_put_in_plain_words(name, meaning):
    code, log = HERE[name]
    assert meaning in refusal("p", code, log).why


@pytest.mark.parametrize(("name", "meaning"), OLDER_MEANINGS.items())
def test_what_older_kernels_say_is_put_in_plain_words(name, meaning):
    code, log = OLDER[name]
    assert meaning in refusal("p", code, log).why


@pytest.mark.parametrize(("code", "log"), [*HERE.values(), *OLDER.values()])
def test_every_recorded_refusal_has_a_reason_of_ours_and_a_fix_and_keeps_the_kernels_words_and_the_log(code, log):
    advice = explain(read_log(log), code)
    assert advice.why
    assert advice.fix
    error = refusal("probe_0", code, log)
    assert read_log(log).message in error.why
    assert read_log(log).message in log
    assert error.log == log


def test_a_kernel_that_lets_nobody_read_its_memory_is_not_called_an_old_one():
    error = refusal("p", *OLDER["lockdown_6.18"])
    assert "lockdown=integrity" in error.fix


def test_the_line_of_source_in_the_log_is_shown():
    assert "WRITE_ENTER(ctx, bio_st_v1_1_1); @ openssl.c:100" in refusal("p", *OLDER["lockdown_6.18"]).why
    assert "BPF_CORE_READ(mnt, mnt_mountpoint)" in refusal("p", *OLDER["inv"]).why


def test_the_line_of_source_from_the_compiler_is_the_one_that_the_instruction_comes_of():
    _, log = HERE["unbounded"]
    assert read_log(log).index == 13
    complaint = read_log(log, {0: "first", 11: "right", 14: "later"})
    assert complaint.source == "right"


@pytest.mark.parametrize("code", [errno.EPERM, errno.E2BIG, errno.ENOSPC, errno.EINVAL, errno.ENOMEM, 524])
def test_without_a_log_the_errno_is_explained(code):
    error = refusal("p", code, "")
    assert "did not load" in error.what
    assert error.why
    assert error.fix


def test_a_refusal_without_a_log_on_a_locked_down_kernel_says_so():
    assert "lockdown=integrity" in refusal("p", errno.EPERM, "", lockdown="confidentiality").fix


def test_a_message_that_is_not_known_is_given_in_the_kernels_own_words():
    error = refusal("p", 22, "0: (95) exit\nsomething quite new\nprocessed 1 insns (limit 1000000)\n")
    assert "something quite new" in error.why
    assert "instruction 0" in error.why


@given(
    st.text()
    | st.sampled_from([log for _, log in HERE.values()]).flatmap(
        lambda log: st.permutations(log.split("\n")[-12:]).map("\n".join)
    )
)
def test_whatever_the_log_holds_the_answer_is_one_line_without_control_characters(log):
    error = refusal("p", 22, log)
    assert printable(str(error)) == str(error)
    assert "\n" not in str(error)


LISTING = """\
Disassembly of function probe_0
; { // Line  20
   0:\tbf 16 00 00 00 00 00 00\tr6 = r1
   1:\tb7 01 00 00 00 00 00 00\tr1 = 0
; struct s*p=(void*)bpf_map_lookup_elem((void *)bpf_pseudo_fd(1, -1), &k); // Line  23
   3:\t18 11 00 00 ff ff ff ff 00 00 00 00 00 00 00 00\tld_pseudo\tr1, 1, 4294967295
Disassembly of section .bpf.fn.probe_1:
probe_1:
; return 0; // Line 9 // Line  30
  10:\tb7 00 00 00 00 00 00 00\tr0 = 0
"""


def test_a_listing_tells_the_line_of_each_instruction_by_function():
    assert parse_listing(LISTING) == {
        "probe_0": {0: "{", 3: "struct s*p=(void*)bpf_map_lookup_elem((void *)bpf_pseudo_fd(1, -1), &k);"},
        "probe_1": {10: "return 0; // Line 9"},
    }


@given(st.text())
def test_what_is_no_listing_has_no_lines(text):
    assert parse_listing(text.replace("Disassembly", "")) == {}
