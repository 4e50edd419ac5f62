"""Loops of getppid() under tracers: the rate that they keep, the reader's CPU for an event, what is lost.

Run as root: [LOOPS=1] [BPFTRACE=bpftrace] python benchmarks/throughput.py [SECONDS [ROUNDS [NAME…]]]. With a loop for
each CPU the reader has none of its own. Each tracer in turn, after a run without one; the medians are printed. CPU is
that of the tracer's processes and threads while the loops run and until they have read the rest. `offered` are the
calls that the loops made; `seen` what arrived, `lost` the difference, whatever the tracer says.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

LOOP = Path(__file__).parent / "getppid.c"
EVENT = "tracepoint:syscalls:sys_enter_getppid"
READERS = Path(__file__).parent / "throughput_readers.py"
MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"
INSTANCE = Path("/sys/kernel/tracing/instances/ts_bench")
SETTLE, START = 1.5, 60.0
LOOPS = int(os.environ.get("LOOPS", "1"))
BPFTRACE = shlex.split(os.environ.get("BPFTRACE", "bpftrace"))


@dataclass
class Tracer:
    """How it is started, how one sees that it is ready, and how many events it showed."""

    command: list[str]
    ready: str
    """A pattern in what it writes to standard error or output."""
    seen: str = ""
    """A pattern with the number of events in what it writes; without one its lines are counted that have `line`."""
    line: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def reader(kind: str) -> Tracer:
    """One of the readers beside this file."""
    return Tracer([sys.executable, str(READERS), kind], r"^ready", r"^seen (\d+)")


TRACERS = {
    "tracescope session": reader("tracescope"),
    "tracescope attach": Tracer(
        [sys.executable, "-c", MAIN, "attach", EVENT], r"attached 1", line=":sys_enter_getppid"
    ),
    "bpftrace printf": Tracer(
        [*BPFTRACE, "-e", f'BEGIN {{ printf("ready\\n"); }} {EVENT} {{ printf("pid %d\\n", pid); }}'],
        r"^ready", line="pid ",
    ),
    "BCC perf buffer": reader("bcc-perf"),
    "BCC ring callback": reader("bcc-ring"),
    "perf trace": Tracer(["perf", "trace", "-a", "-e", "getppid", "--", "sleep", "3600"], "", line="getppid"),
    "trace-cmd record": Tracer(
        ["trace-cmd", "record", "-B", "ts_bench", "-e", "syscalls:sys_enter_getppid", "-o", "trace.dat"],
        r"Hit Ctrl", r"entries: (\d+)",
    ),
}  # fmt: skip


class Run(NamedTuple):
    """Calls a second, calls, events that arrived, the tracer's seconds of CPU."""

    rate: float
    calls: int
    seen: int = 0
    cpu: float = 0.0


def run_loop(loop: str, seconds: float) -> tuple[int, float]:
    """Calls, and calls a second, of all loops."""
    command = [loop, "0", str(seconds)]
    all_ = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(LOOPS)
    ]
    each = [tuple(map(int, one.communicate()[0].split())) for one in all_]
    return sum(calls for calls, _ in each), sum(calls / nanoseconds * 1e9 for calls, nanoseconds in each)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, its threads and its descendants up to now."""
    total = 0
    with suppress(OSError, ValueError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    total += int(cpu_of(int(child)) * 1e9)
    return total / 1e9


def run_traced(tracer: Tracer, folder: Path, loop: str, seconds: float) -> Run | str:
    """The loop under a tracer, or the last words of one that does not run here."""
    output = folder / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(tracer.command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        if not wait_ready(tracer, process, output):
            return (output.read_text(errors="replace").splitlines() or ["no answer"])[-1][:100]
        before = cpu_of(process.pid)
        calls, rate = run_loop(loop, seconds)
        cpu = settled(process.pid) - before
        process.send_signal(signal.SIGINT)
        process.wait(START)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        # trace-cmd leaves its instance.
        with suppress(OSError):
            INSTANCE.rmdir()
    return Run(rate, calls, count(tracer, output), cpu)


def wait_ready(tracer: Tracer, process: subprocess.Popen[bytes], output: Path) -> bool:
    """False when it ended instead."""
    end = time.monotonic() + START
    ready = re.compile(tracer.ready, re.MULTILINE)
    while process.poll() is None and time.monotonic() < end:
        if tracer.ready and ready.search(output.read_text(errors="replace")):
            time.sleep(SETTLE)
            return True
        if not tracer.ready:
            time.sleep(2 * SETTLE)
            return process.poll() is None
        time.sleep(0.05)
    return False


def settled(pid: int) -> float:
    """Its CPU when it has come to rest."""
    last, end = cpu_of(pid), time.monotonic() + START
    while time.monotonic() < end:
        time.sleep(0.5)
        now = cpu_of(pid)
        # Polling goes on for ever; reading does not.
        if now - last < 0.05:
            return now
        last = now
    return last


def count(tracer: Tracer, output: Path) -> int:
    """The events in what it wrote."""
    with output.open("rb") as file:
        if not tracer.seen:
            return sum(tracer.line.encode() in line for line in file)
        return sum(map(int, re.findall(tracer.seen, file.read().decode(errors="replace"), re.MULTILINE)))


def main() -> None:
    """Print one line a tracer."""
    given = sys.argv[1:]
    seconds, rounds = float(given[0]) if given else 2.0, int(given[1]) if len(given) > 1 else 3
    names = given[2:] or list(TRACERS)
    found: dict[str, list[Run | str]] = {name: [] for name in names}
    alone = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        subprocess.run(["cc", "-O2", "-o", folder / "loop", LOOP], check=True)
        for _ in range(rounds):
            for tracer in names:
                alone.append(run_loop(str(folder / "loop"), min(1.0, seconds))[1])
                found[tracer].append(run_traced(TRACERS[tracer], folder, str(folder / "loop"), seconds))
    titles = ("calls/s", 12), ("of alone", 10), ("CPU ns/event", 14), ("offered", 12), ("seen", 12), ("lost", 9)
    print(" " * 20 + "".join(f"{title:>{width}}" for title, width in (*titles, ("seen/s", 12))))
    print(f"{'no tracer':20}{median(alone):12,.0f}{1:10.3f}")
    for tracer, runs in found.items():
        show(tracer, runs, median(alone))


def show(tracer: str, runs: list[Run | str], alone: float) -> None:
    """One line: medians; of calls and events the sums."""
    good = [run for run in runs if isinstance(run, Run)]
    if not good:
        print(f"{tracer:20}does not run here: {runs[0]}")
        return
    rate = median(run.rate for run in good)
    cpu = median(run.cpu / max(1, run.seen) * 1e9 for run in good)
    calls, seen = sum(run.calls for run in good), sum(run.seen for run in good)
    lost = max(0, calls - seen) / calls
    counted = f"{calls:12,}{seen:12,}{lost:9.2%}{rate * seen / calls:12,.0f}"
    print(f"{tracer:20}{rate:12,.0f}{rate / alone:10.3f}{cpu:14,.0f}{counted}", flush=True)


if __name__ == "__main__":
    main()
