"""A flood of events ends when it shall: what was not read in time is lost, and counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from attached import HOST, START_SECONDS

from tracescope.attach.plan import Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.find import find_targets

GENEROUS = 60
PROBES = "tracepoint:kmem:*"


@pytest.fixture
def flood():
    """Processes that allocate and free without end."""
    source = "import os\nwhile True:\n a, b = os.pipe()\n os.write(a + 1, b'x' * 4096)\n os.close(a)\n os.close(b)"
    processes = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", source]) for _ in range(min(4, os.cpu_count() or 1))
    ]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(params=["tracefs", "bpftrace"])
def backend(request, require):
    require(request.param != "bpftrace" or shutil.which("bpftrace") is not None, "no bpftrace")
    return request.param


def test_the_command_ends_and_counts_what_is_lost(backend, flood):
    command = [sys.executable, "-m", "tracescope", "attach", PROBES, "--backend", backend, "--yes", "--json"]
    done = subprocess.run([*command, "--duration", "1"], capture_output=True, text=True, check=False, timeout=GENEROUS)
    events = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{len(events)} events, ")
    # A bpftrace that is interrupted in the middle of a write cannot say how many it lost: that is said instead.
    assert int(done.stderr.split()[-2]) > 0 or "how many of its last events are missing is not known" in done.stderr
    assert len(events) > 1000


def test_what_its_buffers_still_hold_is_not_read_for_ever(backend, flood, monkeypatch):
    monkeypatch.setattr(f"tracescope.attach.borrowed.{backend}._LAST_EVENTS", 0.0)
    targets = find_targets(HOST, [PROBES], pair=False)
    session = start_session(HOST, targets, Filters(but_not=(os.getpid(),)), backend=backend, buffer=10_000_000)
    with session:
        session.wait_running(START_SECONDS)
        time.sleep(1)
        session.stop()
    counts = session.counts()
    assert len(session.take()) == counts.events > 0
    assert counts.lost > 0 or any("is not known" in remark for remark in session.remarks)
    assert session.error is None
