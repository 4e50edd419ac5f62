"""From the key to attached and to the first event, cold and warm, by backend. Run as root: attach_time.py [ROUNDS].

Each number is the best of ROUNDS processes (default 7), imports not counted: others make this machine slower, never
faster; the last column is the median to the first event. Cold: an empty cache, so everything is
compiled. Warm: the program was compiled by an earlier process; bpftrace and tracefs keep nothing. `shipped` is the
object of the package.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tracescope.attach.backend import BccBackend
from tracescope.attach.backend_names import BACKENDS
from tracescope.attach.libbpf.backend import LibbpfBackend
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.plan import Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.find import find_targets
from tracescope.host import LiveHost

HOST = LiveHost()
OWN = {"bcc": BccBackend, "libbpf": LibbpfBackend}


def probe(name):
    """What opens a session of one tracepoint."""

    def opened(backend):
        targets = find_targets(HOST, [f"tracepoint:syscalls:{name}"])
        began = time.perf_counter()
        return began, start_session(HOST, targets, Filters(tree=(os.getpid(),)), backend=backend)

    return opened


def monitor(backend):
    began = time.perf_counter()
    plan = plan_monitor(HOST, Filters(tree=(os.getpid(),)))
    session = MonitorSession(plan, backend=None if backend == "shipped" else OWN[backend]())
    session.shipped = backend == "shipped"
    return began, session


NAMES = ("plan", "load", "attach", "attached", "first event", "detach")
# What is attached, what makes an event, and which backends can.
CASES = {
    "one tracepoint": (probe("sys_enter_getppid"), os.getppid, BACKENDS),
    "execve": (
        probe("sys_enter_execve"), lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0), BACKENDS,
    ),
    "process monitor": (
        monitor, lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0), (*OWN, "shipped"),
    ),
}  # fmt: skip


def once(case, backend):
    """Milliseconds in this process: each state, from the key to attached, and to the first event."""
    opened, happen, _ = CASES[case]
    began, session = opened(backend)
    planned = time.perf_counter()
    with session:
        session.wait_running(60)
        attached = time.perf_counter()
        happen()
        while not session.take(1):
            time.sleep(0.0005)
        first = time.perf_counter()
    spent = {"plan": planned - began, **{state.value: spent for state, spent in session.timings.items()}}
    spent |= {"attached": attached - began, "first event": first - began}
    return {name: 1000 * seconds for name, seconds in spent.items()}


def measured(case, backend, cache):
    command = [sys.executable, __file__, "--once", case, backend]
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def row(case, backend, state, rounds):
    with tempfile.TemporaryDirectory() as cache:
        found = []
        if state == "warm":
            measured(case, backend, cache)
        for _ in range(rounds):
            if state == "cold":
                for path in Path(cache).rglob("*-*"):
                    path.unlink()
            found.append(measured(case, backend, cache))
    numbers = [min(one.get(name, 0.0) for one in found) for name in NAMES]
    numbers.append(statistics.median(one["first event"] for one in found))
    print(f"{case:16} {backend:8} {state:5} " + " ".join(f"{number:11.1f}" for number in numbers))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    names = (*NAMES, "(median)")
    print(f"{'milliseconds':16} {'backend':8} {'':5} " + " ".join(f"{name:>11}" for name in names))
    for case, (_, _, backends) in CASES.items():
        for backend in backends:
            for state in ("cold", "warm"):
                row(case, backend, state, rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(once(*sys.argv[2:])))
    else:
        main()
