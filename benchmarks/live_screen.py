"""A key's answer on the live screen at 100,000 events a second: milliseconds from the key to its words on the terminal.

Run as root: python benchmarks/live_screen.py [KEYS [EVENTS-A-SECOND]]. The real program runs on a pseudo-terminal of
160x50, attached to twelve system calls that another program makes. Every key is one whose answer says so in words that
were not on the screen before; the gaps between the keys are random. The program and this clock go before everything
else that the machine does: other work on it is not what is measured. The load is printed.
"""

from __future__ import annotations

import os
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import first_paint
from endurance import CALLS, SOURCE
from first_paint import plain, spawn

PROBES = [f"tracepoint:syscalls:sys_enter_{call}" for call in CALLS]
START = f"""
import os
os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
from tracescope.host import LiveHost
from tracescope.ui import app, messages
mount = app.TraceScope.on_mount
def mount_and_attach(self):
    mount(self)
    self.post_message(messages.AttachWanted({PROBES!r}))
app.TraceScope.on_mount = mount_and_attach
app.run(LiveHost())
"""
COLUMNS = ("cpu", "probe", "pid", "tid", "ppid", "comm", "arguments")
HELD, FOLLOWING = rb"held still", rb"following"
IN_TIME = rb"(following|goes on)\s+[\d,]+ of the last"
RATE = re.compile(rb"([\d,]+)/s")
LIMIT = 5.0
TAIL = 1000
"""Bytes: more than the words of an answer and the control sequences between them."""


class Press(NamedTuple):
    """A key, and what its answer looks like."""

    name: str
    key: bytes
    answer: bytes


def round_of_keys() -> Iterator[Press]:
    """They lead back to where they began."""
    yield Press("pause", b" ", HELD)
    yield Press("follow", b" ", FOLLOWING)
    yield Press("cursor up", b"\x1b[A", HELD)
    yield Press("follow", b" ", FOLLOWING)
    for column in COLUMNS:
        yield Press("sort", b"s", rb"by " + column.encode())
    yield Press("sort", b"s", IN_TIME)
    # The cursor stands on the first letter.
    yield Press("filter line", b"/", rb"ords, comm:make")
    yield Press("typed filter", b"q", rb"nothing matches|to look at")
    yield Press("filter gone", b"\x7f", FOLLOWING + rb"\s+[1-9][\d,]* of the last")
    # Terminals send this key as the beginning of others, too: the program waits to see whether one comes.
    yield Press("", b"\x1b", rb"")


def read_for(terminal: int, seconds: float) -> bytes:
    """What comes meanwhile."""
    seen, end = b"", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            seen += os.read(terminal, 1 << 16)
    return seen


def press(terminal: int, key: bytes, answer: bytes) -> float | None:
    """Milliseconds until the answer is there; None when it does not come."""
    wanted, tail = re.compile(answer), b""
    began = now = time.monotonic()
    os.write(terminal, key)
    while now - began < LIMIT:
        if select.select([terminal], [], [], 0.05)[0]:
            chunk = os.read(terminal, 1 << 16)
            now = time.monotonic()
            # To look through all of it again would be part of what is measured.
            if wanted.search(plain(tail + chunk)):
                return 1000 * (now - began)
            tail = (tail + chunk)[-TAIL:]
        else:
            now = time.monotonic()
    return None


def wait_for(terminal: int, text: bytes) -> None:
    """Raises TimeoutError."""
    seen, end = b"", time.monotonic() + 60
    while not re.search(text, plain(seen)):
        if time.monotonic() > end:
            raise TimeoutError(f"no {text!r} on the screen: {plain(seen)[-500:]!r}")
        seen += read_for(terminal, 0.1)


def measure(terminal: int, keys: int) -> dict[str, list[float | None]]:
    """Milliseconds by name of the key."""
    found: dict[str, list[float | None]] = {}
    pressed = 0
    while pressed < keys:
        for one in round_of_keys():
            read_for(terminal, random.uniform(0.05, 0.25))
            if not one.name:
                os.write(terminal, one.key)
                read_for(terminal, 0.5)
                continue
            found.setdefault(one.name, []).append(press(terminal, one.key, one.answer))
            pressed += 1
    return found


def show(name: str, times: list[float | None]) -> None:
    """One line: median, 99th percentile, maximum."""
    good = sorted(time for time in times if time is not None) or [0.0]
    missing = times.count(None)
    cut = quantiles(good, n=100, method="inclusive")[98] if len(good) > 1 else good[0]
    said = f"{name:14}{len(times):6}{median(good):9.1f} ms{cut:9.1f} ms{good[-1]:9.1f} ms"
    print(said + (f"  {missing} without an answer" if missing else ""))


def main() -> None:
    """Print a table."""
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    first_paint.START = START
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2))
    with tempfile.TemporaryDirectory() as folder:
        steady = f"{folder}/steady"
        subprocess.run(["cc", "-O2", "-o", steady, SOURCE], check=True)
        pid, terminal = spawn([], folder)
        with subprocess.Popen([steady, str(rate), "3600"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as load:
            try:
                wait_for(terminal, rb"run  12 probes")
                assert load.stdin is not None
                load.stdin.write(b"\n")
                load.stdin.flush()
                seen = read_for(terminal, 3.0)
                shown = RATE.findall(plain(seen))
                before, began = cpu_seconds(pid), time.monotonic()
                found = measure(terminal, keys)
                cpu = (cpu_seconds(pid) - before) / (time.monotonic() - began)
            finally:
                load.kill()
                os.kill(pid, signal.SIGTERM)
        drain_until_end(pid, terminal)
    print(f"{shown[-1].decode()} events a second on the screen; {cpu:.0%} of a CPU; load {os.getloadavg()[0]:.1f}")
    print(f"{'':14}{'keys':>6}{'median':>12}{'p99':>12}{'max':>12}")
    for name, times in found.items():
        show(name, times)
    show("all", [time for times in found.values() for time in times])


def cpu_seconds(pid: int) -> float:
    """Of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain_until_end(pid: int, terminal: int) -> None:
    """A terminal that nobody reads would hold the program up."""
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        try:
            read_for(terminal, 0.1)
        except OSError:
            os.waitpid(pid, 0)
            return


if __name__ == "__main__":
    main()
