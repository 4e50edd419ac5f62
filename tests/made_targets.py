"""Targets of each kind for the tests of what is written for them: two arguments, a result, a place."""

from __future__ import annotations

from tracescope.attach.targets.target import (
    FunctionPlace,
    Shape,
    Target,
    TracepointPlace,
    UserPlace,
    UserSite,
    word_fields,
    words_format,
)
from tracescope.model import ProbeKind

RETURNED = word_fields([("ret", "int", 4, True)])
GIVEN = word_fields([("file", "struct file *", 8, False), ("mode", "int", 4, True)])


def function(kind, name="vfs_read", fields=GIVEN, shape=Shape.REGISTERS, end=None):
    full = f"{kind}:{name}"
    return Target(kind, full, words_format("", name, fields), shape, FunctionPlace("vfs_read"), end=end)


RETURN = function(ProbeKind.KRETPROBE, fields=RETURNED, shape=Shape.RESULT)
ENTRY = function(ProbeKind.KPROBE)
FENTRY = function(ProbeKind.FENTRY, "vmlinux:vfs_read", shape=Shape.WORDS)
FEXIT = function(ProbeKind.FEXIT, "vmlinux:vfs_read", (*GIVEN, *RETURNED), Shape.WORDS)
RAW = Target(ProbeKind.RAWTRACEPOINT, "rawtracepoint:sched_switch", words_format("", "sched_switch", GIVEN),
             Shape.WORDS, TracepointPlace("sched_switch"))  # fmt: skip
USER = Target(ProbeKind.UPROBE, "uprobe:/bin/a:f", words_format("", "f", GIVEN), Shape.REGISTERS,
              UserPlace("/bin/a", (UserSite(8),), 77))  # fmt: skip
