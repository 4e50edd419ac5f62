"""`tracescope list -v` beside `bpftrace -lv`, in turn, on this host. Run as root: python benchmarks/list.py [PATTERN].

Each is started anew; the first pair is not counted (it fills the cache and compiles the modules). Prints medians and
their ratio, of the time that passed and of the processor's time, which other jobs on the machine disturb less.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RUNS = 15
MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds that passed, and of user and system time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return passed * 1000, used * 1000


def main() -> None:
    """Measure both in turn."""
    pattern = sys.argv[1] if len(sys.argv) > 1 else "tracepoint:*"
    commands = {
        "tracescope": [sys.executable, "-c", MAIN, "list", "-v", pattern],
        "bpftrace": ["bpftrace", "-lv", pattern],
    }
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as kept:
        environment = {**os.environ, "XDG_CACHE_HOME": kept, "PYTHONPATH": str(Path(__file__).parents[1])}
        # An installed program has compiled modules.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = kept
        for _ in range(RUNS + 1):
            for name, command in commands.items():
                runs[name].append(run(command, environment))
    medians = {name: tuple(map(median, zip(*times[1:], strict=True))) for name, times in runs.items()}
    for name, (passed, used) in medians.items():
        print(f"{name:12}{passed:7.0f} ms passed{used:7.0f} ms of a processor")
    ratios = (ours / theirs for ours, theirs in zip(*medians.values(), strict=True))
    print(f"{'ratio':12}" + "".join(f"{ratio:7.2f}          " for ratio in ratios))


if __name__ == "__main__":
    main()
