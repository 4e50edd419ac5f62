"""A storm of execs under tracers, side by side: what each costs the storm, and how many starts it shows.

Run as root: python benchmarks/exec_storm.py [STARTS [ROUNDS]]. Two loops start a program that ends at once, in short
turns: without a tracer, with one, without, with the next. A ratio is a turn's to the mean of the two beside it, and its
median over the rounds. Time is the storm's own (wall). CPU is what the kernel accounts to the storm and all that it
started, programs on its events included, the tracer's own process not: on a machine that others use too, the steadier
one. The last column is one more turn with the kernel's run-time statistics on: nanoseconds in BPF programs a start.
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
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tracescope.attach.cost import RunStats, parse_cost

PROGRAMS = Path(__file__).parent.parent / "tests" / "live" / "programs"
MARK = "tracer-is-ready"
LOOPS = 2
MAIN = [sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())"]
TOOLS: dict[str, list[str]] = {
    "tracescope exec": [*MAIN, "exec", "--tree", str(os.getpid())],
    "tracescope exec --json": [*MAIN, "exec", "--json", "--tree", str(os.getpid())],
    "bpftrace execsnoop.bt": ["bpftrace", "-B", "line", shutil.which("execsnoop.bt") or "execsnoop.bt"],
    "BCC execsnoop": ["execsnoop-bpfcc"],
}
PACKAGES = {"execsnoop-bpfcc": "bpfcc-tools", "bpftrace": "bpftrace", "execsnoop.bt": "bpftrace"}
REASON = re.compile(r"error:|unable|cannot|no such|not permitted", re.IGNORECASE)


class Storm(NamedTuple):
    """One storm: seconds on the clock, seconds of CPU."""

    wall: float
    cpu: float


class Traced(NamedTuple):
    """A storm under a tracer, how many of its starts the tracer showed, nanoseconds in its programs."""

    storm: Storm
    seen: int
    bpf_ns: int


class Broken(Exception):
    """A tracer that does not run here."""


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


def check_installed(tool: list[str]) -> None:
    """Raises Broken with the package that has what is missing."""
    for word, package in PACKAGES.items():
        if any(Path(part).name == word for part in tool) and not shutil.which(word):
            raise Broken(f"{word} is not installed: apt-get install {package}")


def why_broken(output: str) -> str:
    """The first line that sounds like a reason, else the last one."""
    lines = output.splitlines() or ["no answer"]
    return next((line for line in lines if REASON.search(line)), lines[-1])[:100]


def run_traced(tool: list[str], output: Path, storm: str, starts: int, program: str, *, stats: bool = False) -> Traced:
    """A storm under a tracer; raises Broken."""
    check_installed(tool)
    with output.open("wb") as out, subprocess.Popen(tool, stdout=out, stderr=subprocess.STDOUT) as tracer:
        end = time.monotonic() + 60
        while MARK.encode() not in output.read_bytes():
            if tracer.poll() is not None or time.monotonic() > end:
                tracer.kill()
                raise Broken(why_broken(output.read_text(errors="replace")))
            subprocess.run(["/bin/true", MARK], check=True)
            time.sleep(0.05)
        bpf_ns = 0
        with ExitStack() as on:
            if stats:
                on.enter_context(RunStats())
            result = run_storm(storm, starts, program)
            if stats:
                bpf_ns = programs_ns(tracer.pid)
        time.sleep(0.3)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    lines = output.read_text(errors="replace").splitlines()
    # The marks were of /bin/true too; the storm's arguments are two numbers.
    started = re.compile(rf'{program}(?: |",")\d+(?: |",")\d+\b')
    return Traced(result, sum(started.search(line) is not None for line in lines), bpf_ns)


def programs_ns(pid: int) -> int:
    """Nanoseconds in the BPF programs that a process holds, while statistics were on."""
    total = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        text = file.read_text()
        number = re.search(r"^prog_id:\s*(\d+)", text, re.MULTILINE)
        if number and "run_time_ns" in text:
            total[number[1]] = parse_cost(text).run_time_ns
    return sum(total.values())


def main() -> None:
    """Print one line a tool."""
    given = [int(word) for word in sys.argv[1:3]]
    starts, rounds = [*given, *(4000, 9)[len(given) :]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storm, nothing = build(folder, "storm"), build(folder, "nothing", "-static", "-nostdlib")
        for program in ("/bin/true", nothing):
            compare(folder / "output", storm, starts, rounds, program)


def compare(output: Path, storm: str, starts: int, rounds: int, program: str) -> None:
    """All tools with one program, turn about."""
    alone = [run_storm(storm, starts, program)]
    found: dict[str, list[tuple[Traced, Storm]]] = {tool: [] for tool in TOOLS}
    broken: dict[str, str] = {}
    costs: dict[str, int] = {}
    for tool, command in TOOLS.items():
        try:
            costs[tool] = run_traced(command, output, storm, starts, program, stats=True).bpf_ns
        except Broken as error:
            broken[tool] = str(error)
    for _ in range(rounds):
        for tool, command in TOOLS.items():
            if tool in broken:
                continue
            traced, before = run_traced(command, output, storm, starts, program), alone[-1]
            alone.append(run_storm(storm, starts, program))
            beside = Storm((before.wall + alone[-1].wall) / 2, (before.cpu + alone[-1].cpu) / 2)
            found[tool].append((traced, beside))
    wall, cpu = median(one.wall for one in alone), median(one.cpu for one in alone)
    show(f"{Path(program).name}: {rounds} rounds of {starts} starts, {starts / wall:,.0f} a second without a tracer")
    show(f"{'':24}{'time':>9}{'ratio':>8}{'CPU a start':>13}{'ratio':>8}{'shown':>16}{'BPF a start':>13}")
    show(f"{'no tracer':24}{wall:7.2f} s{1:8.2f}{cpu / starts * 1e6:10.1f} us{1:8.2f}")
    for tool, pairs in found.items():
        if tool in broken:
            show(f"{tool:24}does not run here: {broken[tool]}")
            continue
        show(
            f"{tool:24}{median(one.storm.wall for one, _ in pairs):7.2f} s"
            f"{median(one.storm.wall / two.wall for one, two in pairs):8.2f}"
            f"{median(one.storm.cpu for one, _ in pairs) / starts * 1e6:10.1f} us"
            f"{median(one.storm.cpu / two.cpu for one, two in pairs):8.2f}"
            f"{sum(one.seen for one, _ in pairs):8} of{starts * rounds:6}{costs[tool] / starts / 1000:10.1f} us"
        )


def show(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
