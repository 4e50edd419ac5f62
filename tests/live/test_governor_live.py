"""When nobody keeps up, a share of the events is let through: it is said, and what is left out is counted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attached import HOST, START_SECONDS, format_of
from started import Started

from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters

SOURCE = Path(__file__).parent / "programs" / "steady.c"
GETPPID = "syscalls:sys_enter_getppid"


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    program = tmp_path_factory.mktemp("steady") / "steady"
    subprocess.run(["cc", "-O2", "-o", program, SOURCE], check=True)
    return str(program)


def test_what_is_left_out_is_counted_and_the_share_grows_again(steady):
    # 125,000 of them, and room for 1,000 that nobody takes.
    command = [steady, "3000000", "0.5"]
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        filters = Filters(pid=(process.pid,))
        with open_session(HOST, [format_of(GETPPID)], filters, buffer=1000, governed=True) as session:
            session.wait_running(START_SECONDS)
            output, _ = process.communicate("\n")
            smallest = session.governor.share
            session.take()
            deadline = time.monotonic() + START_SECONDS
            while session.governor.share <= smallest and time.monotonic() < deadline:
                session.take()
                time.sleep(0.02)
            grown = session.governor.share
            session.stop()
    made = dict(map(str.split, output.splitlines()))
    counts = session.counts()
    assert smallest < 1.0
    assert grown > smallest
    assert counts.skipped > 0
    assert counts.events + counts.lost + counts.skipped == int(made["getppid"])


def attach(steady, *options):
    command = [sys.executable, "-m", "tracescope", "attach", f"tracepoint:{GETPPID}", *options, "--", steady]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    done = subprocess.run(
        [*command, "6000000", "1"], input="\n", capture_output=True, text=True, check=True, env=environment
    )
    printed, lost = map(int, re.fullmatch(r"(\d+) events, (\d+) lost", done.stderr.splitlines()[-1]).groups())
    made = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("getppid "))
    left_out = re.search(r"(\d+) events were left out", done.stderr)
    return printed, lost, int(left_out[1]) if left_out else 0, made, done.stderr


def test_the_command_line_says_that_it_leaves_out_and_how_many(steady):
    printed, lost, left_out, made, said = attach(steady)
    assert left_out > 0
    assert "events come faster than they can be printed: some are left out" in said
    assert printed + lost + left_out == made


@pytest.mark.parametrize("option", ["--every", "--json"])
def test_who_wants_every_event_gets_them_or_the_number_that_is_lost(steady, option):
    printed, lost, left_out, made, _ = attach(steady, option)
    assert left_out == 0
    assert printed + lost == made
