"""24 probes at once at 50,000 events a second: memory, exactness, and what is left in the kernel after kill -9.

Run as root: python benchmarks/endurance.py [MINUTES [EVENTS-A-SECOND]]. A program makes twelve system calls in turn and
counts them; a session has both ends of each. A line every ten seconds; at the end each probe's count must be that of
the calls. Then the process with the session is killed, and the kernel is asked for its programs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tracescope.attach.kernel.held import held_programs
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.session import Session
from tracescope.host import LiveHost
from tracescope.sources.tracefs import parse_format

SOURCE = Path(__file__).parent.parent / "tests" / "live" / "programs" / "steady.c"
CALLS = (
    "getppid", "getuid", "geteuid", "getgid", "getegid", "getpgid", "getsid", "gettid", "getpriority", "getcpu",
    "sched_getscheduler", "sched_get_priority_max",
)  # fmt: skip
EVENTS = [f"sys_{end}_{call}" for call in CALLS for end in ("enter", "exit")]
EVERY = 10.0


def memory() -> float:
    """This process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def new_session(pid: int) -> Session:
    """24 probes on one process."""
    host = LiveHost()
    formats = [parse_format(host.read(f"{host.tracefs}/events/syscalls/{name}/format"), "syscalls") for name in EVENTS]
    return open_session(host, formats, Filters(pid=(pid,)))


def drain(session: Session, seen: Counter[int]) -> None:
    """Take everything, one record after the other, as a program that wants them does."""
    for record in session.take():
        seen[int.from_bytes(record[12:16], sys.byteorder)] += 1


def watch(session: Session, steady: subprocess.Popen[str]) -> Counter[int]:
    """Read until the program has ended; events by number of the probe."""
    seen: Counter[int] = Counter()
    began = shown = time.monotonic()
    before, used = 0, time.process_time()
    while steady.poll() is None:
        drain(session, seen)
        time.sleep(0.05)
        if time.monotonic() - shown >= EVERY:
            now, counts = time.monotonic(), session.counts()
            rate, cpu = (counts.events - before) / (now - shown), (time.process_time() - used) / (now - shown)
            said = f"{now - began:6.0f} s{rate:10,.0f} events/s{cpu:8.1%} of a CPU{memory():9.1f} MB"
            print(f"{said}  lost {counts.lost + counts.dropped}", flush=True)
            shown, before, used = now, counts.events, time.process_time()
    session.stop()
    drain(session, seen)
    return seen


def compare(session: Session, seen: Counter[int], output: str) -> bool:
    """Whether every probe has as many events as there were calls."""
    made = dict(line.rsplit(" ", 1) for line in output.splitlines())
    wrong = 0
    for probe, count in zip(session.plan.probes, session.counts().per_probe, strict=True):
        calls = int(made[probe.format.name.split("_", 2)[2]])
        if not calls == count.events == seen[probe.index]:
            wrong += 1
            print(f"{probe.name}: {calls} calls, {count.events} counted, {seen[probe.index]} taken, {count.lost} lost")
    total = session.counts()
    print(f"{len(EVENTS)} probes, {total.events:,} events, {total.lost + total.dropped} lost; {wrong} counts are wrong")
    return wrong == 0


def killed(steady: str) -> bool:
    """A process with the same session is killed with -9 while it runs: True when nothing is left."""
    command = [sys.executable, __file__, "--hold", steady]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = {one.id for one in held_programs() if any(holder.pid == process.pid for holder in one.holders)}
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while (left := {one.id for one in held_programs()} & held) and time.monotonic() < end:
        time.sleep(0.1)
    print(f"killed -9 with {len(held)} programs loaded: {len(left)} left")
    return bool(held) and not left


def hold(steady: str) -> None:
    """Run the session until somebody kills this process."""
    with subprocess.Popen([steady, "25000", "20"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        session = new_session(process.pid)
        session.start()
        session.wait_running(60)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        print("running", flush=True)
        while True:
            session.take()
            time.sleep(0.05)


def main() -> int:
    """0 when all is as it should be."""
    if sys.argv[1:2] == ["--hold"]:
        hold(sys.argv[2])
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        steady = f"{folder}/steady"
        subprocess.run(["cc", "-O2", "-o", steady, SOURCE], check=True)
        command = [steady, str(rate // 2), str(60 * minutes)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            with new_session(process.pid) as session:
                session.wait_running(60)
                process.stdin.write("\n")
                process.stdin.flush()
                seen = watch(session, process)
                exact = compare(session, seen, process.stdout.read())
        return 0 if killed(steady) & exact else 1


if __name__ == "__main__":
    sys.exit(main())
