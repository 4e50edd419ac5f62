"""Which backend runs a session, and what is said of the others."""

from __future__ import annotations

import pytest

from tracescope.attach.ask.asked import Asked
from tracescope.attach.choice import Backend, Needs, choose, needs_of
from tracescope.attach.plan import Cgroup, Filters, Namespace
from tracescope.errors import Refused

HAVE = {
    "bcc": Backend("bcc", why="Python module missing", fix="apt-get install python3-bpfcc"),
    "libbpf": Backend("libbpf", why="clang is not installed", fix="apt-get install clang"),
    "bpftrace": Backend("bpftrace", found="0.23 found"),
    "tracefs": Backend("tracefs", found="instances in /t"),
}


def look(**other: Backend):
    return {**HAVE, **other}.__getitem__


def test_the_first_that_is_there_is_taken_and_the_reasons_are_said():
    choice = choose(look(), Needs())
    assert choice.backend == "bpftrace"
    assert choice.words == (
        "bcc: Python module missing; libbpf: clang is not installed; bpftrace: 0.23 found; chosen: bpftrace"
    )


def test_nothing_is_looked_at_behind_the_one_that_is_taken():
    looked = []

    def seen(name: str) -> Backend:
        looked.append(name)
        return Backend(name, found="there")

    assert choose(seen, Needs()).backend == "bcc"
    assert looked == ["bcc"]


def test_one_that_cannot_do_it_is_passed_over_with_the_reason():
    with pytest.raises(Refused) as caught:
        choose(look(), Needs(frozenset({"counting"})))
    assert "tracefs: the trace buffers hold single events" in caught.value.why
    assert caught.value.fix == "apt-get install python3-bpfcc"


def test_a_user_filter_is_one_that_bpftrace_knows_and_tracefs_does_not():
    gone = Backend("bpftrace", why="not installed")
    assert choose(look(), needs_of((), Filters(uid=(1,)))).backend == "bpftrace"
    with pytest.raises(Refused, match="do not name the user"):
        choose(look(bpftrace=gone), needs_of((), Filters(uid=(1,))))


def test_the_one_asked_for_is_taken_or_refused():
    assert choose(look(), Needs(), "tracefs").words == "tracefs: instances in /t; chosen: tracefs"
    with pytest.raises(Refused, match="bcc cannot be used here") as caught:
        choose(look(), Needs(), "bcc")
    assert (caught.value.why, caught.value.fix) == ("Python module missing", "apt-get install python3-bpfcc")
    with pytest.raises(Refused, match="tracefs cannot do this") as caught:
        choose(look(), Needs(others=("usdt:libc:libc:setjmp",)), "tracefs")
    assert "it is not used for usdt: usdt:libc:libc:setjmp" in caught.value.why
    assert caught.value.fix == "backend bcc or libbpf (--backend, or the setting)"


def test_needs_are_those_of_filters_and_values():
    filters = Filters(uid=(1,), cgroup=(Cgroup(1, 1),), namespace=(Namespace(1, ()),), pid=(1,), tree=(2,), comm=("x",))
    needs = needs_of((), filters, Asked(where="pid > 1", show=("pid",)), features=("stacks",))
    assert needs.features == {"uid", "cgroup", "container", "show", "stacks"}
