"""What BTF costs: parsing, the first answers, the indexes, memory. Run: python benchmarks/btf.py [SNAPSHOT]."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median

from tracescope.host import open_host
from tracescope.sources.btf import Btf

RUNS = 7


def milliseconds(step: Callable[[Btf], object], data: bytes) -> float:
    """The median time of one step, each on a newly parsed table."""
    times = []
    for _ in range(RUNS):
        table = Btf.parse(data)
        start = time.perf_counter()
        step(table)
        times.append(time.perf_counter() - start)
    return median(times) * 1000


STEPS: dict[str, Callable[[Btf], object]] = {
    "first member offset": lambda table: table.member_offset("task_struct", "real_parent"),
    "names of all functions": lambda table: len(table.functions()),
    "signatures of all functions": lambda table: [table.function(name) for name in table.functions()],
    "layout of task_struct": lambda table: table.layout("struct task_struct"),
    "task_struct as C": lambda table: table.c_text("struct task_struct", comments=True),
    "index: functions by type": lambda table: table.functions_with("sock"),
    "index: structs by field": lambda table: table.structs_with_field("real_parent"),
}


def main() -> None:
    """Print one line a measurement."""
    data = open_host(*sys.argv[1:2]).read("/sys/kernel/btf/vmlinux")
    table = Btf.parse(data)
    sys.stdout.write(f"{len(table):,} types, {len(table.functions()):,} functions, {len(data):,} bytes\n")
    sys.stdout.write(f"{'parse':30}{milliseconds(lambda _: Btf.parse(data), data):9.2f} ms\n")
    for name, step in STEPS.items():
        sys.stdout.write(f"{name:30}{milliseconds(step, data):9.2f} ms\n")
    tracemalloc.start()
    table = Btf.parse(data)
    parsed, _ = tracemalloc.get_traced_memory()
    for step in STEPS.values():
        step(table)
    indexed, _ = tracemalloc.get_traced_memory()
    sys.stdout.write(f"{'memory: the bytes':30}{len(data) / 1e6:9.2f} MB\n")
    sys.stdout.write(f"{'memory: parsed':30}{parsed / 1e6:9.2f} MB more\n")
    sys.stdout.write(f"{'memory: all indexes':30}{indexed / 1e6:9.2f} MB more\n")


if __name__ == "__main__":
    main()
