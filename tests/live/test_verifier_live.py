"""Programs that this kernel's verifier refuses: what it says is understood, and the line of source is the right one."""

from __future__ import annotations

import os

import pytest

from tracescope.attach.backend import BccBackend

MAPS = """\
struct place { u64 number; char bytes[64]; };
BPF_HASH(by_number, u64, struct place, 16);
BPF_PERCPU_ARRAY(scratch, struct place, 1);
BPF_RINGBUF_OUTPUT(events, 4);
"""
TAKE = "int zero = 0; struct place *place = (void *)scratch.lookup(&zero); if (!place) return 0;\n"
# The line that is at fault ends in this.
HERE = "/* here */"
REFUSED = {
    "a number without a limit as a size": (
        TAKE + "bpf_probe_read_kernel(place->bytes, ctx[1], (void *)ctx[2]); /* here */",
        "argument 2 of bpf_probe_read_kernel (the size) has no limit",
    ),
    "a lookup that is not checked": (
        "u64 key = 1; struct place *place = by_number.lookup(&key);\nplace->number = 1; /* here */",
        "may be a NULL pointer",
    ),
    "an index without a limit": (
        TAKE + "place->bytes[ctx[1]] = 1; /* here */",
        "an index has no limit",
    ),
    "an argument as an address": (
        "u64 word;\n__builtin_memcpy(&word, (void *)ctx[1], 8); /* here */ return word;",
        "a helper only",
    ),
    "a record that is kept": (
        "u64 *record = events.ringbuf_reserve(8);\nif (!record) return 0;\n*record = 1;",
        "neither handed over nor given back",
    ),
    "a word that is not there": ("return *(u64 *)((char *)ctx + 12); /* here */", "8 bytes at offset 12 are none"),
    "a loop that may not end": (
        "u64 word = ctx[1];\nwhile (word != 1)\nword = bpf_ktime_get_ns();",
        "no end of a loop",
    ),
    "a helper for another kind": (
        "return bpf_override_return((void *)ctx, 0); /* here */",
        "bpf_override_return is not for",
    ),
}


@pytest.mark.parametrize(("body", "meaning"), REFUSED.values(), ids=REFUSED)
def test_what_the_verifier_refuses_is_explained_with_its_line(body, meaning):
    text = f"{MAPS}int probe_0(u64 *ctx)\n{{\n{body}\nreturn 0;\n}}\n"
    with BccBackend().load(text) as loaded:
        error = loaded.refused["probe_0"]
    assert meaning in error.why
    assert error.fix
    assert error.log.count("\n") > 2
    for line in body.splitlines():
        if line.endswith(HERE):
            assert HERE in error.why


def test_one_program_that_is_refused_does_not_stop_the_others():
    text = "int probe_0(u64 *ctx) { return *(u64 *)((char *)ctx + 12); }\nint probe_1(u64 *ctx) { return 0; }\n"
    with BccBackend().load(text) as loaded:
        assert set(loaded.refused) == {"probe_0"}
        os.fstat(loaded.programs["probe_1"])
