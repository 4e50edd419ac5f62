"""Which words of a function's arguments a program loads itself, and which it has to read."""

from __future__ import annotations

import pytest

from tracescope.attach.targets.target import FunctionPlace, Shape, Target, word_fields, words_format
from tracescope.attach.targets.words import copy_text, field_value, word_value
from tracescope.model import ProbeKind


def target(kind: ProbeKind, type_: str, size: int = 8) -> Target:
    format_ = words_format("", "f", word_fields([("a", type_, size, False), ("b", "long", 8, True)]))
    return Target(kind, f"{kind}:vmlinux:f", format_, Shape.WORDS, FunctionPlace("f", btf_id=1))


@pytest.mark.parametrize(
    "type_", ["struct file *", "const struct path *", "void *", "long unsigned int", "u64", "size_t"]
)
def test_numbers_and_structures_are_loaded(type_):
    assert word_value(target(ProbeKind.FENTRY, type_), 0) == "ctx[0]"


@pytest.mark.parametrize(
    "type_", ["struct inode **", "const void *", "char *", "filldir_t", "enum kind *", "int (*)(void)"]
)
def test_pointers_that_the_verifier_may_have_no_type_for_are_read(type_):
    one = target(ProbeKind.FEXIT, type_)
    assert "bpf_probe_read_kernel(&word_, 8, ctx + 0)" in word_value(one, 0)
    assert word_value(one, 1) == "ctx[1]"
    assert "ctx[0]" not in copy_text(one, 16)
    assert "bpf_probe_read_kernel" in field_value(one, one.format.fields[0])


def test_a_raw_tracepoint_has_no_types():
    assert word_value(target(ProbeKind.RAWTRACEPOINT, "struct inode **"), 0) == "ctx[0]"


def test_what_is_shorter_than_a_pointer_is_loaded():
    assert word_value(target(ProbeKind.FENTRY, "some_t", 4), 0) == "ctx[0]"
