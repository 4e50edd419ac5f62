"""Probes, values and results in the language of bpftrace's versions, for the backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_targets import ENTRY, FENTRY, FEXIT, RAW, RETURN, USER, function

from tracescope.attach.borrowed.bpftrace_script import script
from tracescope.attach.borrowed.bpftrace_words import event, names_of
from tracescope.attach.plan import plan
from tracescope.attach.targets.target import Shape, UserPlace, UserSite
from tracescope.errors import Refused
from tracescope.model import ProbeKind


def line(target, version):
    text = script(plan([target]), version)
    return next(one for one in text.split("\n") if one.startswith(event(target, version)))


@pytest.mark.parametrize(
    ("target", "version", "words"),
    [
        (ENTRY, (0, 17), ("kprobe:vfs_read /", "(uint64)arg0, (uint64)arg1, comm")),
        (RETURN, (0, 17), ("kretprobe:vfs_read /", "(uint64)retval, comm")),
        (FENTRY, (0, 16), ("kfunc:vfs_read /", "(uint64)args->file, (uint64)args->mode")),
        (FENTRY, (0, 17), ("kfunc:vmlinux:vfs_read /", "(uint64)args->file")),
        (FEXIT, (0, 19), ("kretfunc:vmlinux:vfs_read /", "(uint64)args.mode, (uint64)retval")),
        (FEXIT, (0, 20), ("fexit:vmlinux:vfs_read /", "(uint64)retval")),
        (RAW, (0, 19), ("rawtracepoint:sched_switch /", "(uint64)arg0, (uint64)arg1")),
        (USER, (0, 17), ("uprobe:/bin/a:f /pid == 77 && pid != $1/", "(uint64)arg0")),
    ],
)
def test_each_kind_is_named_and_read_as_the_version_has_it(target, version, words):
    assert all(word in line(target, version) for word in words)


def test_the_result_of_a_pair_has_the_sign_of_its_type():
    text = script(plan([replace(ENTRY, end=RETURN)]), (0, 17))
    assert (
        'kretprobe:vfs_read /pid != $1/ { printf("P %d %d %d %llu %lld\\n", 0, tid, cpu, nsecs, (int32)retval); }'
        in text
    )


@pytest.mark.parametrize(
    ("target", "version", "why"),
    [
        (RAW, (0, 17), "from 0.19 on"),
        (function(ProbeKind.FENTRY, "ext4:ext4_read", shape=Shape.WORDS), (0, 16), "modules from 0.17 on"),
        (replace(USER, place=UserPlace("/bin/a", (UserSite(8, 16),)), kind=ProbeKind.USDT, probe="usdt:/bin/a:p:n"),
         (0, 27), "in one process only"),
        (function(ProbeKind.KPROBE, 'f"{exit()}'), (0, 27), "other characters"),
    ],
)  # fmt: skip
def test_what_a_version_cannot_do_is_refused_with_the_reason(target, version, why):
    with pytest.raises(Refused) as caught:
        event(target, version)
    assert why in caught.value.why


def test_an_old_kind_is_known_in_an_error_too():
    assert list(names_of(FENTRY)) == ["fentry:vmlinux:vfs_read", "kfunc:vmlinux:vfs_read", "kfunc:vfs_read"]
