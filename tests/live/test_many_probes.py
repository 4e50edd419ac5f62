"""24 probes at once: every call is counted and handed over once, and kill -9 leaves nothing in the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from attached import HOST, START_SECONDS, format_of, loaded_programs, programs_of, wait_until_gone
from started import Started

from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters

RATE, SECONDS = 25_000, 2
SOURCE = Path(__file__).parent / "programs" / "steady.c"

HOLDER = f"""
import sys
from tracescope.attach.open import open_session
from tracescope.attach.targets.find import find_targets
from tracescope.host import LiveHost
session = open_session(LiveHost(), find_targets(LiveHost(), sys.argv[1:]))
session.start()
session.wait_running({START_SECONDS})
print("running", flush=True)
while True:
    session.take()
"""


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    program = tmp_path_factory.mktemp("steady") / "steady"
    subprocess.run(["cc", "-O2", "-o", program, SOURCE], check=True)
    return program


def calls_of(steady):
    """The kinds of calls, without making many."""
    done = subprocess.run([steady, "1", "0"], input="\n", capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def events_of(steady):
    return [f"syscalls:sys_{end}_{call}" for call in calls_of(steady) for end in ("enter", "exit")]


def test_every_call_is_counted_and_handed_over_once(steady):
    events = events_of(steady)
    assert len(events) == 24
    command = [steady, str(RATE), str(SECONDS)]
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        formats = [format_of(event) for event in events]
        with open_session(HOST, formats, Filters(pid=(process.pid,)), buffer=10_000_000) as session:
            session.wait_running(START_SECONDS)
            output, _ = process.communicate("\n")
            session.stop()
            first = session.take(1000)
            arrays = session.take_arrays()
    made = {call: int(count) for call, count in map(str.split, output.splitlines())}
    assert sum(made.values()) >= RATE * SECONDS
    counts = session.counts()
    assert (counts.lost, counts.dropped) == (0, 0)
    taken = Counter(session.decode(record).probe for record in first)
    numbers = np.concatenate([array["probe"] for array in arrays])
    for probe, count in zip(session.plan.probes, counts.per_probe, strict=True):
        calls = made[probe.format.name.split("_", 2)[2]]
        assert count.events == calls
        assert taken[probe.name] + int((numbers == probe.index).sum()) == calls
    assert {int(pid) for array in arrays for pid in np.unique(array["pid"])} == {process.pid}
    assert {int(pid) for array in arrays for pid in np.unique(array["ppid"])} == {os.getpid()}
    times = np.concatenate([array["time_ns"] for array in arrays])
    assert len(times) == counts.events - len(first)
    assert len(set(zip(times.tolist(), numbers.tolist(), strict=True))) == len(times)


def test_kill_9_leaves_none_of_24_programs(steady):
    probes = [f"tracepoint:{event}" for event in events_of(steady)]
    with Started([sys.executable, "-c", HOLDER, *probes], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"running\n"
        programs = programs_of(process.pid)
        assert len(programs) == 24
        assert programs <= loaded_programs()
        process.kill()
    assert wait_until_gone(programs)


def test_arrays_hold_the_headers_of_records_that_vary_in_size():
    with open_session(HOST, [format_of("syscalls:sys_enter_openat")], Filters(pid=(os.getpid(),))) as session:
        session.wait_running(START_SECONDS)
        for number in range(10):
            Path(f"/no/such/file{'s' * number}").exists()
            os.close(os.open("/dev/null", os.O_RDONLY))
        session.stop()
        one = session.decode(session.take(1)[0])
        (array,) = session.take_arrays()
    assert len(array) == session.counts().events - 1 >= 9
    assert set(array["tid"]) == {one.tid}
    assert set(array["comm"]) == {one.comm.encode()}
