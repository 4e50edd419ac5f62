"""What an event costs by backend: the traced loop, the reader, and what is lost. Run as root: backends.py [ROUNDS].

A loop of getppid() as fast as it can, and one of RATE calls a second, each traced through every backend in turn, after
a run without a tracer; medians. `loop` is what a call takes longer, `reader` the CPU time of TraceScope and of its
children by call.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tracescope.attach.backend_names import BACKENDS
from tracescope.attach.plan import Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.find import find_targets
from tracescope.host import LiveHost

RATE, SECONDS = 20_000, 2
LOOP = Path(__file__).parent / "getppid.c"


def run(binary, rate, backend):
    """Nanoseconds a call, CPU nanoseconds of the reader a call, calls, events taken."""
    loop = subprocess.Popen([binary, str(rate), str(SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    host = LiveHost()
    taken, used = 0, 0.0
    if backend is None:
        out, _ = loop.communicate("\n")
    else:
        targets = find_targets(host, ["tracepoint:syscalls:sys_enter_getppid"])
        with start_session(host, targets, Filters(pid=(loop.pid,)), backend=backend, buffer=4_000_000) as session:
            session.wait_running(60)
            before = time.process_time()
            loop.stdin.write("\n")
            loop.stdin.flush()
            while loop.poll() is None:
                taken += len(session.take())
                time.sleep(0.02)
            out = loop.stdout.read()
            time.sleep(0.2)
            taken += len(session.take())
            used = time.process_time() - before + children_of_us()
        taken += len(session.take())
    calls, busy = map(int, out.split())
    return busy / calls, 1e9 * used / calls, calls, taken


def children_of_us():
    """CPU seconds of the living children: bpftrace."""
    ticks = 0
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        binary = str(Path(folder) / "loop")
        subprocess.run(["cc", "-O2", "-o", binary, LOOP], check=True)
        for rate in (RATE, 0):
            print(f"{rate or 'as many as it can'} calls a second")
            bare = median(run(binary, rate, None)[0] for _ in range(rounds))
            print(f"  {'no tracer':10} {bare:7.0f} ns a call")
            for backend in BACKENDS:
                rows = [run(binary, rate, backend) for _ in range(rounds)]
                loop, reader = median(row[0] for row in rows) - bare, median(row[1] for row in rows)
                calls, taken = sum(row[2] for row in rows), sum(row[3] for row in rows)
                print(
                    f"  {backend:10} {loop:7.0f} ns a call more, reader {reader:7.0f} ns a call,"
                    f" {calls / rounds / SECONDS:11,.0f} calls a second, {100 * (1 - taken / calls):5.1f} % not seen"
                )


if __name__ == "__main__":
    main()
