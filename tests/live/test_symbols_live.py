"""Addresses of the kernel's functions are shown as symbols, the ones that /proc/kallsyms has there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def attach(probe: str, *more: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "tracescope", "attach", probe, "--json", *more],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [json.loads(line)["args"] for line in done.stdout.splitlines()]


def functions() -> set[str]:
    return {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}


def test_a_timers_function_is_a_symbol():
    events = attach("tracepoint:timer:hrtimer_start", "--", "timeout", "0.2", "sleep", "0.01")
    names = {event["function"] for event in events}
    assert "hrtimer_wakeup" in names
    assert names <= functions()


def test_a_call_site_is_a_symbol_with_its_offset():
    events = attach("tracepoint:kmem:kmalloc", "--count", "50", "--", "true")
    assert events
    known = functions()
    for event in events:
        name, _, rest = event["call_site"].partition("+")
        assert name in known
        assert int(rest.partition(" ")[0], 16) > 0


def test_the_place_of_a_sample_in_the_kernel_is_a_symbol():
    busy = "import os\nfor _ in range(200_000): os.stat('/')"
    events = attach("profile:hz:999", "--", sys.executable, "-I", "-S", "-c", busy)
    places = [event["ip"] for event in events]
    known = functions()
    inside = [place for place in places if not place.startswith("0x")]
    assert inside
    assert {place.partition("+")[0] for place in inside} <= known
    # An address of the process itself is no symbol of the kernel.
    assert all(int(place, 16) < 1 << 63 for place in places if place.startswith("0x"))
