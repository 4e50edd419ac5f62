"""The screen leaves its own process out of what it traces and counts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.targets.find import find_targets
from tracescope.host import LiveHost
from tracescope.ui.app import _open_session
from tracescope.ui.count import count_in_kernel

PROBE = "tracepoint:syscalls:sys_enter_getppid"
CHILD = "import os\nfor _ in range(5): os.getppid()"


def provoke() -> int:
    for _ in range(7):
        os.getppid()
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", CHILD])
    assert child.wait() == 0
    return child.pid


@pytest.mark.parametrize("where", ["", 'comm != "nobody"'])
def test_a_session_of_the_screen_has_no_event_of_the_screen(where: str):
    host = LiveHost()
    session = _open_session(host, find_targets(host, [PROBE]), AttachOptions(where=where), backend="auto")
    with session:
        session.wait_running(60)
        child = provoke()
    pids = [session.decode(record).pid for record in session.take()]
    assert pids.count(child) == 5
    assert os.getpid() not in pids


def test_what_the_screen_counts_has_no_event_of_the_screen():
    host = LiveHost()
    session = count_in_kernel(host, find_targets(host, [PROBE]), AttachOptions(count_by="pid"))
    with session:
        session.wait_running(60)
        child = provoke()
    counted = {row.keys[0]: row.count for row in session.summary()}
    assert counted[child] == 5
    assert os.getpid() not in counted
