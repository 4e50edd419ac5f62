"""How long the TUI lets one wait: process start to first paint, to a searchable catalog, to every source; memory.

Starts the real program on a pseudo-terminal of 160x50, five times without its cache and five times with it, and prints
each run and the medians; it takes about a minute. Run: python benchmarks/first_paint.py [SNAPSHOT]
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path
from statistics import median

RUNS = 5
QUIET = 1.5
"""Seconds without a larger paint after which nothing more is expected (the cursor's blink is a small one)."""
LARGE = 400
LONGEST = 60
KEPT = 64
START = "import sys; from tracescope.cli.main import main; sys.exit(main())"
ESCAPE = re.compile(rb"\x1b\[[0-9;?<>=]*[A-Za-z]")
HITS = re.compile(rb"\d{3},\d{3} *$", re.MULTILINE)


def plain(seen):
    """What a terminal was sent, without its control sequences."""
    return ESCAPE.sub(b"\n", seen)


def spawn(arguments, cache):
    """The program's process id and its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        root = str(Path(__file__).parent.parent)
        environment = {**os.environ, "TERM": "xterm-256color", "XDG_CACHE_HOME": cache, "PYTHONPATH": root}
        os.execve(sys.executable, [sys.executable, "-c", START, *arguments], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    return pid, terminal


def measure(arguments, cache):
    """Seconds to the filter line, to the first hundred thousand rows, to the last large paint; MB."""
    start = time.monotonic()
    pid, terminal = spawn(arguments, cache)
    tail, painted, searchable, last = b"", 0.0, 0.0, start
    while time.monotonic() - last < QUIET:
        if time.monotonic() - start > LONGEST:
            raise SystemExit(f"not at rest after {LONGEST} s: the machine is busy, or this benchmark is out of date")
        if not select.select([terminal], [], [], 0.05)[0]:
            continue
        chunk, now = os.read(terminal, 1 << 16), time.monotonic()
        last = now if len(chunk) > LARGE else last
        # Only what is new is searched, and what a cut may have left of the chunk before.
        text, tail = plain(tail + chunk), (tail + chunk)[-KEPT:]
        if not painted and b"globs, kind" in text:
            painted = now - start
        if not searchable and HITS.search(text):
            searchable = now - start
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    os.write(terminal, b"\x11")  # ctrl+q
    while select.select([terminal], [], [], 5)[0]:
        try:
            os.read(terminal, 1 << 16)
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    if not (painted and searchable):
        raise SystemExit("no filter line, or no count of rows, was seen: this benchmark is out of date")
    return painted, searchable, last - start, resident


def line(name, row):
    paint, search, whole, memory = row
    print(f"{name:20}{paint:12.3f} s{search:12.3f} s{whole:12.3f} s{memory:9.0f} MB", flush=True)


def runs(name, caches):
    """Print each run as it ends (all of them take a minute), then the median."""
    rows = []
    for cache in caches:
        rows.append(measure(host(), cache))
        line("", rows[-1])
    line(name, [median(column) for column in zip(*rows, strict=True)])


def main():
    print(
        f"{'medians of ' + str(RUNS):20}{'first paint':>14}{'searchable':>14}{'all sources':>14}{'memory':>12}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        runs("without the cache", [f"{folder}/{number}" for number in range(RUNS)])
        measure(host(), f"{folder}/kept")
        runs("with the cache", [f"{folder}/kept"] * RUNS)


def host():
    return ["--host", sys.argv[1]] if len(sys.argv) > 1 else []


if __name__ == "__main__":
    main()
