"""The lines that define events of functions for tracefs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_targets import ENTRY, RETURN, USER

from tracescope.attach.borrowed.tracefs_functions import definition
from tracescope.attach.targets.target import FunctionPlace, UserPlace, UserSite
from tracescope.errors import Refused


def named(target):
    return replace(target, format=replace(target.format, group="tracescope_1_2", name="probe_0"))


@pytest.mark.parametrize(
    ("target", "machine", "line"),
    [
        (ENTRY, "x86_64", "p:tracescope_1_2/probe_0 vfs_read file=%di:u64 mode=%si:u64"),
        (ENTRY, "aarch64", "p:tracescope_1_2/probe_0 vfs_read file=%x0:u64 mode=%x1:u64"),
        (RETURN, "x86_64", "r:tracescope_1_2/probe_0 vfs_read ret=$retval:u64"),
        (replace(ENTRY, place=FunctionPlace("f", "ext4", 8)), "x86_64",
         "p:tracescope_1_2/probe_0 ext4:f+8 file=%di:u64 mode=%si:u64"),
        (USER, "x86_64", "p:tracescope_1_2/probe_0 /bin/a:0x8 file=%di:u64 mode=%si:u64"),
    ],
)  # fmt: skip
def test_each_word_is_fetched_from_its_register(target, machine, line):
    assert definition(named(target), machine) == line


@pytest.mark.parametrize("path", ["/tmp/a b", "/tmp/a\n-:x/y", "/tmp/a;b"])
def test_a_path_that_would_be_more_than_one_word_is_refused(path):
    with pytest.raises(Refused, match="cannot be written for tracefs"):
        definition(named(replace(USER, place=UserPlace(path, (UserSite(8),)))), "x86_64")


def test_registers_of_an_unknown_processor_are_refused():
    with pytest.raises(Refused, match="cannot be traced by tracefs"):
        definition(named(ENTRY), "riscv64")
