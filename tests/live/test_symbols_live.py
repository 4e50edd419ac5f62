"""Addresses of the kernel's functions are shown as symbols, the ones that /proc/kallsyms has there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.targets.find import find_targets
from tracescope.host import LiveHost


def attach(probe: str, *more: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "tracescope", "attach", probe, "--json", *more],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [json.loads(line)["args"] for line in done.stdout.splitlines()]


def functions() -> set[str]:
    return {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}


def modules_loaded() -> set[str]:
    """None where the kernel was built without any."""
    file = Path("/proc/modules")
    return {line.split()[0] for line in file.read_text().splitlines()} if file.exists() else set()


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
    known, modules = functions(), modules_loaded()
    files = {place: place.partition("[")[2].partition("]")[0] for place in places}
    kernel = [place for place, file in files.items() if not place.startswith("0x") and (not file or file in modules)]
    assert any(place.startswith("vfs_") or "path" in place for place in kernel)
    assert {place.partition("+")[0] for place in kernel} <= known
    # What is the process's own is in a file of its own.
    assert any("python" in file for file in files.values())
    assert not [place for place in places if place.startswith("0x") and int(place, 16) >= 1 << 63]


@pytest.fixture(scope="module")
def busy(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("busy") / "busy"
    source = Path(__file__).parent / "programs" / "busy.c"
    subprocess.run(["cc", "-O0", "-g", "-o", str(path), str(source)], check=True)
    return str(path)


def size_of(program: str, function: str) -> int:
    """The bytes of a function, as nm says."""
    done = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True)
    return next(int(row[1], 16) for line in done.stdout.splitlines() if (row := line.split())[-1] == function)


@pytest.mark.parametrize("probe", ["software:cpu-clock:1000000", "profile:hz:999"])
def test_a_busy_function_is_named_by_its_own_samples(probe, busy):
    places = [event["ip"] for event in attach(probe, "--", busy)]
    assert len(places) > 20
    own = [place for place in places if place.endswith(" [busy]")]
    assert {place.partition("+")[0] for place in own} == {"spin_in_here"}
    assert len(own) > 0.6 * len(places)
    size = size_of(busy, "spin_in_here")
    assert all(0 < int(place.split()[0].partition("+")[2], 16) < size for place in own)


def test_a_process_that_is_gone_before_its_samples_are_read_is_named_too(busy):
    """Fork, exec and end between two looks at them: what it had mapped the kernel told."""
    targets = find_targets(LiveHost(), ["software:cpu-clock:1000000"])
    with subprocess.Popen(["sh", "-c", f"read go; {busy}; exit 3"], stdin=subprocess.PIPE) as shell:
        with open_session(LiveHost(), targets, Filters(tree=(shell.pid,))) as session:
            session.wait_running(60)
            shell.communicate(b"\n", timeout=30)
            assert shell.returncode == 3
        events = [session.decode(record) for record in session.take()]
    assert {event.pid for event in events if str(event.args["ip"]).startswith("spin_in_here+")} - {shell.pid}


def test_code_of_a_process_that_ran_before_is_named_in_the_lines():
    with subprocess.Popen([sys.executable, "-c", "import os, sys; input(); os.stat('/'); sum(range(30_000_000))"],
                          stdin=subprocess.PIPE) as running:  # fmt: skip
        done = subprocess.Popen(
            [sys.executable, "-m", "tracescope", "attach", "profile:hz:999", "--pid", str(running.pid), "--duration",
             "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert done.stderr is not None
        assert "attached 1 probe" in done.stderr.readline()
        running.communicate(b"\n", timeout=30)
        text, _ = done.communicate(timeout=60)
    assert re.search(r" ip=\w+\+0x[0-9a-f]+ \[(python|libpython)[^]]*\]", text)
