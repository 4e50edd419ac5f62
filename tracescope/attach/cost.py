"""What BPF programs cost: the kernel counts their runs and the time in them, only while somebody asks it to.

Source: bpf(2) BPF_ENABLE_STATS (Linux 5.8), `run_time_ns` and `run_cnt` in /proc/self/fdinfo of a program
(kernel/bpf/syscall.c bpf_prog_show_fdinfo). Counting itself costs two readings of the clock a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple, Self

from tracescope.attach.kernel import bpf
from tracescope.errors import Refused

__all__ = ("NO_COST", "Cost", "RunStats", "parse_cost", "read_cost", "total_cost")


class Cost(NamedTuple):
    """Nanoseconds spent in a program, and how often it ran, since its load and while statistics were on."""

    run_time_ns: int = 0
    runs: int = 0

    def since(self, before: Cost) -> Cost:
        """What came after `before`."""
        return Cost(self.run_time_ns - before.run_time_ns, self.runs - before.runs)


NO_COST = Cost()


class RunStats:
    """The kernel keeps run-time statistics until this is closed, or the process ends. Raises Refused."""

    def __init__(self) -> None:
        try:
            self._fd: int | None = bpf.enable_run_stats()
        except OSError as error:
            why = error.strerror or str(error)
            raise Refused("the cost of programs is not known", f"run-time statistics: {why}", "run as root") from None

    def close(self) -> None:
        """Stop counting; may be called again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse_cost(fdinfo: str) -> Cost:
    """The cost in the text of a program's fdinfo; a kernel before 5.8 tells nothing there."""
    numbers = {}
    for line in fdinfo.splitlines():
        name, _, value = line.partition(":")
        if name in ("run_time_ns", "run_cnt") and value.strip().isdecimal():
            numbers[name] = int(value)
    return Cost(numbers.get("run_time_ns", 0), numbers.get("run_cnt", 0))


def read_cost(program: int) -> Cost:
    """The cost of a program that this process holds open."""
    with open(f"/proc/self/fdinfo/{program}", encoding="ascii", errors="replace") as info:
        return parse_cost(info.read())


def total_cost(costs: Iterable[Cost]) -> Cost:
    """The sum."""
    time_ns = runs = 0
    for cost in costs:
        time_ns += cost.run_time_ns
        runs += cost.runs
    return Cost(time_ns, runs)
