"""What the whole inventory of a host costs: cold, from the cache, its memory, and a keystroke.

Run: python benchmarks/catalog.py [SNAPSHOT…]; without arguments, this host and the recorded ones. Each reading is a
process of its own, as a user starts it; times are medians of 5 and include Python's start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from tracescope.catalog.cache import OFF
from tracescope.catalog.read import ALL_SOURCES, read_all, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import open_host

RUNS = 5
HOSTS = Path(__file__).parents[1] / "tests" / "fixtures" / "hosts"
READ = "import sys; from benchmarks.catalog import read; read(*sys.argv[1:])"

TYPED = (
    "tcp_set_state",
    "sys_enter_execve",
    "vfs read",
    "kprobe:vfs_read*",
    "fentry:vmlinux:tcp_v4",
    "tracepoint:sched:*switch",
    "*execve*",
    "kind:tracepoint group:sched",
    "module:ext4 read",
    "verdict:yes tcp",
    "type:T open",
    "arg:sock tcp",
    "-pfx do_sys",
)
"""Queries that are typed letter by letter; each letter is one view, narrowed from the one before."""


def read(*where: str) -> None:
    """One reading of everything, in a process of its own: prints its seconds of a processor and its peak in MB."""
    read_sources(open_host(*where), ALL_SOURCES)
    # ru_maxrss would begin with what the parent process had.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(time.process_time(), int(peak.split()[1]) / 1024)


def timed_process(where: list[str], cache: str) -> tuple[float, ...]:
    """Seconds from the start of Python to its end, seconds of a processor, and peak MB."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(Path(__file__).parents[1])}
    # An installed program has compiled modules.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.pop(OFF, None)
    environment["PYTHONPYCACHEPREFIX"] = f"{tempfile.gettempdir()}/tracescope-compiled"
    command = [sys.executable, "-c", READ, *where]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, *map(float, done.stdout.split())


def readings(where: list[str]) -> None:
    """Cold (an empty cache each time) and from the cache."""
    with tempfile.TemporaryDirectory() as kept:
        timed_process(where, kept)  # compiles the modules, fills the cache
        warm = [timed_process(where, kept) for _ in range(RUNS)]
    cold = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as empty:
            cold.append(timed_process(where, empty))
    for name, runs in (("cold", cold), ("from the cache", warm)):
        passed, used, megabytes = map(median, zip(*runs, strict=True))
        print(f"  {name:18}{passed:6.2f} s, {used:.2f} s of a processor, {megabytes:.0f} MB")


def stages(where: list[str]) -> Catalog:
    """When the TUI's worker, without a cache, hands over each stage; the process is warm."""
    os.environ[OFF] = "off"
    start = time.perf_counter()
    times: list[float] = []
    catalog = read_all(open_host(*where), lambda _: None, lambda _: times.append(time.perf_counter() - start))
    print(f"  {'catalogs after':18}{', '.join(f'{seconds:.2f}' for seconds in times)} s")
    return catalog


def keystrokes(catalog: Catalog) -> None:
    """Milliseconds a view and its facets take, over every letter of TYPED."""
    views, facets = [], []
    for query in TYPED:
        view = None
        for end in range(1, len(query) + 1):
            start = time.perf_counter()
            view = catalog.view(query[:end], view)
            between = time.perf_counter()
            view.facets()
            views.append((between - start) * 1000)
            facets.append((time.perf_counter() - between) * 1000)
    print(f"  {len(catalog):,} names, {len(views)} keystrokes")
    for name, times in (("view", views), ("facets", facets)):
        cuts = quantiles(times, n=100)
        shown = {"p50": median(times), "p90": cuts[89], "p99": cuts[98], "max": max(times)}
        print(f"  {name:18}{'  '.join(f'{cut} {milliseconds:6.2f}' for cut, milliseconds in shown.items())} ms")


def main() -> None:
    """Measure each host."""
    snapshots = sys.argv[1:] or ["", *map(str, sorted(HOSTS.glob("*.zip")))]
    for snapshot in snapshots:
        where = [snapshot] if snapshot else []
        print(Path(snapshot).name or "this host")
        readings(where)
        keystrokes(stages(where))


if __name__ == "__main__":
    main()
