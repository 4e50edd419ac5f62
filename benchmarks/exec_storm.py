"""A storm of execs under tracers, side by side: what each costs the storm, and how many starts it shows.

Run as root: python benchmarks/exec_storm.py [STARTS [ROUNDS]]. Two loops start a program that ends at once, without and
with each tracer in turn. Time is the storm's own (wall), CPU is that of the storm and all that it started, without the
tracer's. On a machine that others use too, CPU is the steadier one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

PROGRAMS = Path(__file__).parent.parent / "tests" / "live" / "programs"
MARK = "tracer-is-ready"
LOOPS = 2
MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"
TOOLS: dict[str, list[str]] = {
    "tracescope exec": [sys.executable, "-c", MAIN, "exec", "--tree", str(os.getpid())],
    "tracescope exec --json": [sys.executable, "-c", MAIN, "exec", "--json", "--tree", str(os.getpid())],
    "bpftrace execsnoop.bt": ["bpftrace", "-B", "line", shutil.which("execsnoop.bt") or "execsnoop.bt"],
    "BCC execsnoop": [shutil.which("execsnoop-bpfcc") or "execsnoop-bpfcc"],
}


class Storm(NamedTuple):
    """One storm: seconds on the clock, seconds of CPU."""

    wall: float
    cpu: float


class Traced(NamedTuple):
    """A storm under a tracer, and how many of its starts the tracer showed."""

    storm: Storm
    seen: int


def build(folder: Path, name: str, *flags: str) -> str:
    """The path of a test program."""
    out = folder / name
    subprocess.run(["cc", "-O2", *flags, "-o", out, PROGRAMS / f"{name}.c"], check=True)
    return str(out)


def run_storm(storm: str, starts: int, program: str) -> Storm:
    """Run it; raises CalledProcessError."""
    before = os.times()
    done = subprocess.run([storm, str(LOOPS), str(starts // LOOPS), program], capture_output=True, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Storm(int(done.stdout) / 1e9, cpu)


def run_traced(tool: list[str], output: Path, storm: str, starts: int, program: str) -> Traced | str:
    """A storm under a tracer, or the last words of one that does not run here."""
    with output.open("wb") as out, subprocess.Popen(tool, stdout=out, stderr=subprocess.STDOUT) as tracer:
        end = time.monotonic() + 60
        while MARK.encode() not in output.read_bytes():
            if tracer.poll() is not None or time.monotonic() > end:
                tracer.kill()
                return (output.read_text(errors="replace").splitlines() or ["no answer"])[-1][:100]
            subprocess.run(["/bin/true", MARK], check=True)
            time.sleep(0.05)
        result = run_storm(storm, starts, program)
        time.sleep(1)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    lines = output.read_text(errors="replace").splitlines()
    # The marks were of /bin/true too; the storm's arguments are two numbers.
    started = re.compile(rf'{program}(?: |",")\d+(?: |",")\d+\b')
    return Traced(result, sum(started.search(line) is not None for line in lines))


def main() -> None:
    """Print one line a tool: medians, and ratios to the storm without a tracer in the same round."""
    given = [int(word) for word in sys.argv[1:3]]
    starts, rounds = [*given, *(8000, 5)[len(given) :]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storm, nothing = build(folder, "storm"), build(folder, "nothing", "-static", "-nostdlib")
        for program in (nothing, "/bin/true"):
            compare(folder / "output", storm, starts, rounds, program)


def compare(output: Path, storm: str, starts: int, rounds: int, program: str) -> None:
    """All tools with one program; a ratio is the median of those of the rounds."""
    alone: list[Storm] = []
    found: dict[str, list[tuple[Storm, Traced]]] = {tool: [] for tool in TOOLS}
    broken: dict[str, str] = {}
    for _ in range(rounds):
        for tool, command in TOOLS.items():
            if tool in broken:
                continue
            alone.append(run_storm(storm, starts, program))
            result = run_traced(command, output, storm, starts, program)
            if isinstance(result, Traced):
                found[tool].append((alone[-1], result))
            else:
                broken[tool] = result
    wall, cpu = median(one.wall for one in alone), median(one.cpu for one in alone)
    show(f"{Path(program).name}: {starts} starts, {starts / wall:,.0f} a second without a tracer; {rounds} rounds")
    show(f"{'':24}{'time':>9}{'ratio':>8}{'CPU':>9}{'ratio':>8}{'shown':>10}")
    show(f"{'no tracer':24}{wall:7.2f} s{1:8.2f}{cpu:7.2f} s{1:8.2f}")
    for tool, pairs in found.items():
        if tool in broken:
            show(f"{tool:24}does not run here: {broken[tool]}")
            continue
        show(
            f"{tool:24}{median(two.storm.wall for _, two in pairs):7.2f} s"
            f"{median(two.storm.wall / one.wall for one, two in pairs):8.2f}"
            f"{median(two.storm.cpu for _, two in pairs):7.2f} s"
            f"{median(two.storm.cpu / one.cpu for one, two in pairs):8.2f}{min(two.seen for _, two in pairs):10}"
        )


def show(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
