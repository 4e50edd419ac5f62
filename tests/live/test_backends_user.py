"""Functions and USDT probes under the backends that are not ours: the same events as under BCC."""

from __future__ import annotations

import os
import shutil

import pytest
from attached import HOST, START_SECONDS
from borrowed import killed

from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.borrowed.tracefs_functions import left_events
from tracescope.attach.launch import launch
from tracescope.attach.plan import Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.find import find_targets
from tracescope.errors import Refused

TIMES = 50


@pytest.fixture(autouse=True)
def bpftrace(request, require):
    if "bpftrace" in request.node.name:
        require(shutil.which("bpftrace") is not None, "no bpftrace")


@pytest.fixture(autouse=True)
def quiet(capfd):
    """The program prints a sum."""


def run(backend, names, program, *, pair=False, asked=NOTHING):
    """What can be compared of each event: probe, arguments, result; and the counts."""
    child = launch([program, str(TIMES)])
    try:
        targets = find_targets(HOST, names, pair=pair)
        session = start_session(HOST, targets, Filters(tree=(child.pid,)), asked=asked, backend=backend)
        with session:
            session.wait_running(START_SECONDS)
            child.release()
            child.wait()
            session.stop()
            assert session.failed == []
            events = sorted((session.decode(record) for record in session.take()), key=lambda event: event.time_ns)
        assert {event.pid for event in events} <= {child.pid}
        assert not pair or all(event.duration_ns for event in events)
        return [(event.probe, event.comm, said(event.args), event.ret) for event in events], session.counts()
    finally:
        child.abandon()


def said(args):
    """Registers that carry no argument hold whatever they held."""
    return {name: value for name, value in args.items() if name in ("arg0", "arg1")}


def same(backend, names, program, **how):
    expected, _ = run("bcc", names, program, **how)
    found, counts = run(backend, names, program, **how)
    assert found == expected != []
    assert (counts.events, counts.lost) == (len(expected), 0)


@pytest.mark.parametrize("backend", ["bpftrace", "tracefs"])
def test_a_function_and_its_return(backend, program):
    same(backend, [f"uprobe:{program}:twice", f"uretprobe:{program}:twice"], program)


@pytest.mark.parametrize("backend", ["bpftrace", "tracefs"])
def test_both_ends_are_one_event(backend, program):
    same(backend, [f"uprobe:{program}:twice"], program, pair=True)


@pytest.mark.parametrize("backend", ["bpftrace", "tracefs"])
def test_a_condition_on_an_argument(backend, program):
    same(backend, [f"uprobe:{program}:twice"], program, asked=Asked(where="args.arg0 % 7 == 3 && args.arg1 < 130"))


@pytest.mark.parametrize("backend", ["bpftrace", "tracefs"])
def test_a_condition_on_the_result(backend, program):
    same(backend, [f"uretprobe:{program}:twice"], program, asked=Asked(where="ret > 200"))


def test_bpftrace_reads_each_site_of_a_usdt_probe(program):
    same("bpftrace", [f"usdt:{program}:test:both"], program)


def test_bpftrace_refuses_a_semaphore_with_the_reason(program):
    with pytest.raises(Refused, match="cannot be attached by bpftrace") as caught:
        run("bpftrace", [f"usdt:{program}:test:counted"], program)
    assert caught.value.why == "it raises a semaphore in one process only"
    assert caught.value.fix == "--backend bcc"


def test_events_that_a_killed_session_defined_are_said_and_removed_by_the_next(program):
    source = (
        "from attached import HOST\nfrom tracescope.attach.start import start_session\n"
        "from tracescope.attach.targets.find import find_targets\n"
        f"session = start_session(HOST, find_targets(HOST, ['uprobe:{program}:twice']), backend='tracefs')"
    )
    pid, said = killed(source, lambda: left_events(HOST))
    assert f"tracescope_{pid}_" in said

    run("tracefs", [f"uprobe:{program}:twice"], program)
    assert pid not in {left.pid for left in left_events(HOST)}
    assert f"tracescope_{os.getpid()}_".encode() not in HOST.read(f"{HOST.tracefs}/uprobe_events")
