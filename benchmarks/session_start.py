"""The start of a session whose program was compiled before: milliseconds a stage, from the first word to events.

Run as root: python benchmarks/session_start.py [ROUNDS]. `find` looks the probes up, `plan` is open_session(), load,
attach and detach are the session's own states; `ready` is all from open_session() on until events flow. It is measured
in one process, and in a new one that has only just imported tracescope.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import NamedTuple

from tracescope.attach.ask.asked import Asked
from tracescope.attach.open import open_session
from tracescope.attach.session import SessionState
from tracescope.attach.targets.find import find_targets
from tracescope.host import open_host

EXEC = [f"tracepoint:syscalls:sys_{end}_{call}" for end in ("enter", "exit") for call in ("execve", "execveat")]


class Case(NamedTuple):
    """What is attached."""

    name: str
    probes: list[str]
    pair: bool = False
    where: str = ""


CASES = (
    Case("one tracepoint", ["tracepoint:syscalls:sys_enter_getppid"]),
    Case("the four of execve", EXEC),
    Case("openat, paired, --where", ["tracepoint:syscalls:sys_enter_openat"], pair=True, where="args.ret < 0"),
    Case("24 tracepoints", ["tracepoint:syscalls:sys_enter_g*"]),
)
STAGES = ("find", "plan", "load", "attach", "ready", "detach")


def start(case: Case) -> dict[str, float]:
    """One session, begun and ended: milliseconds by stage."""
    host = open_host(None)
    began = time.perf_counter()
    targets = find_targets(host, case.probes, pair=case.pair)[:24]
    found = time.perf_counter()
    session = open_session(host, targets, asked=Asked(case.where))
    planned = time.perf_counter()
    session.start()
    session.wait_running(60)
    running = time.perf_counter()
    session.stop()
    times = {stage: session.timings[SessionState(stage)] for stage in ("load", "attach", "detach")}
    times |= {"find": found - began, "plan": planned - found, "ready": running - found}
    return {stage: 1000 * seconds for stage, seconds in times.items()}


def start_anew(number: int) -> float:
    """`ready` in a process of its own."""
    command = [sys.executable, __file__, "--one", str(number)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    """Print a table: medians."""
    if sys.argv[1:2] == ["--one"]:
        print(start(CASES[int(sys.argv[2])])["ready"])
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{'median of ' + str(rounds) + ', ms':26}{''.join(f'{stage:>9}' for stage in STAGES)}{'new process':>13}")
    for number, case in enumerate(CASES):
        # Compiled, and the kernel's types kept.
        start(case)
        runs = [start(case) for _ in range(rounds)]
        row = "".join(f"{median(run[stage] for run in runs):9.1f}" for stage in STAGES)
        anew = median(start_anew(number) for _ in range(max(3, rounds // 4)))
        print(f"{case.name:26}{row}{anew:13.1f}", flush=True)


if __name__ == "__main__":
    main()
