"""A key's answer with the whole catalog of this host: milliseconds to its first byte and to its last one.

The real program runs on a pseudo-terminal of 160x50. The last byte of a keystroke holds the facets and the detail.

Run: python benchmarks/table.py [SNAPSHOT]
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from statistics import median, quantiles

from first_paint import HITS, QUIET, plain, spawn

WORDS = ("tcp_sendmsg", "execve", "sys_enter_*at", "kind:tracepoint sched", "vfs read", "ext4")
DOWN, PAGE_DOWN, TAB, SLASH, BACKSPACE = b"\x1b[B", b"\x1b[6~", b"\t", b"/", b"\x7f"
SETTLED = 0.25
"""Seconds without a byte after which a key is answered: longer than the facets wait."""


def read_until_quiet(terminal, seconds):
    """The bytes, and the moments of the first and of the last."""
    seen, first, last = b"", 0.0, time.monotonic()
    while time.monotonic() - last < seconds:
        if select.select([terminal], [], [], 0.01)[0]:
            seen += os.read(terminal, 1 << 16)
            last = time.monotonic()
            first = first or last
    return seen, first, last


def press(terminal, key):
    """Milliseconds to the first and to the last byte of the answer."""
    start = time.monotonic()
    os.write(terminal, key)
    _, first, last = read_until_quiet(terminal, SETTLED)
    return (first - start) * 1000, (last - start) * 1000


def show(name, pairs):
    for what, column in zip(("first byte", "last byte"), zip(*pairs, strict=True), strict=True):
        cuts = quantiles(column, n=100)
        print(f"{name:20}{what:12}{median(column):8.1f} ms{cuts[98]:8.1f} ms{max(column):8.1f} ms")


def main():
    with tempfile.TemporaryDirectory() as cache:
        pid, terminal = spawn(["--host", sys.argv[1]] if len(sys.argv) > 1 else [], cache)
        # Away from the filter line: its blinking cursor writes bytes of its own.
        seen = read_until_quiet(terminal, 0.4)[0]
        os.write(terminal, TAB)
        seen += read_until_quiet(terminal, QUIET)[0]
        rows = HITS.findall(plain(seen))[-1].decode().strip()
        print(f"{rows + ' rows':32}{'median':>11}{'p99':>11}{'max':>11}")
        show("page down", [press(terminal, PAGE_DOWN) for _ in range(50)])
        show("cursor down", [press(terminal, DOWN) for _ in range(50)])
        os.write(terminal, SLASH)
        read_until_quiet(terminal, SETTLED)
        keys = [key for word in WORDS for key in (*(bytes([c]) for c in word.encode()), *[BACKSPACE] * len(word))]
        show("keystroke", [press(terminal, key) for key in keys])
        os.write(terminal, b"\x11")  # ctrl+q
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
