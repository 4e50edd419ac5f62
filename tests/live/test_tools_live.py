"""The sources that are tools, files of this kernel or programs of this machine, against a second reading of each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tracescope.errors import Forbidden, Missing
from tracescope.sources import bpftrace, ftrace, perf
from tracescope.sources.elf import build_id
from tracescope.sources.elf_symbols import symbols
from tracescope.sources.perf_events import PerfEvent, config_of

PARTS = ("hw", "sw", "cache", "tracepoint", "pmu", "sdt", "metric", "metricgroup")


def _available_events(host):
    return host.read(f"{host.tracefs}/available_events").decode().split()


@pytest.fixture
def perf_host(live_host, require):
    require(shutil.which("perf") is not None, "perf is not installed")
    return live_host


@pytest.fixture
def bpftrace_host(live_host, require):
    require(shutil.which("bpftrace") is not None, "bpftrace is not installed")
    return live_host


def test_perf_lists_every_tracepoint_of_this_kernel(perf_host):
    listing = perf.read(perf_host)
    tracepoints = {event.name for event in listing.events if event.kind == "tracepoint"}
    # The ftrace group is ftrace's own: perf shows two of it, available_events none.
    others = {event for event in tracepoints if not event.startswith("ftrace:")}
    assert others == {event for event in _available_events(perf_host) if not event.startswith("ftrace:")}


@pytest.mark.parametrize("part", [(), *((part,) for part in PARTS)])
def test_every_line_perf_prints_here_is_accounted_for(perf_host, part):
    data = subprocess.run(["perf", "list", *part], capture_output=True, check=True, env={**os.environ, "PAGER": "cat"})
    counts = perf.parse_perf_list(data.stdout).counts
    assert counts["other"] == 0
    assert counts.total() == sum(bool(line.strip()) for line in data.stdout.split(b"\n"))


def _opened_as(name):
    """The (type, config) that perf itself asks the kernel for, whether the machine has the counter or not."""
    done = subprocess.run(["perf", "stat", "-vv", "-e", name, "--", "true"], capture_output=True, text=True)
    match = re.search(r"perf_event_attr:\n(?:  type +(\d+).*\n)?(?:  size.*\n)?(?:  config +(\S+))?", done.stderr)
    assert match, done.stderr
    # perf prints no line for a zero.
    return int(match[1] or "0"), int(match[2] or "0", 0)


def test_every_software_event_of_this_perf_has_the_number_perf_opens(perf_host):
    events = [event for event in perf.read(perf_host).events if event.kind == "software"]
    assert len(events) > 8
    assert {event.name: config_of(event) for event in events} == {
        event.name: _opened_as(event.name) for event in events
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("hardware", "cycles instructions branches cache-misses idle-cycles-backend ref-cycles bus-cycles"),
        ("cache", "L1-dcache-loads L1-icache-load-misses LLC-stores dTLB-store-misses branch-loads node-prefetches"),
    ],
)
def test_events_of_the_processor_have_the_numbers_perf_opens(perf_host, kind, names):
    for name in names.split():
        assert config_of(PerfEvent(name, kind)) == _opened_as(name), name


def test_bpftrace_lists_this_kernels_tracepoints(bpftrace_host):
    listing = bpftrace.read(bpftrace_host)
    tracepoints = {probe for probe in listing.probes if probe.startswith("tracepoint:")}
    assert tracepoints == {f"tracepoint:{event}" for event in _available_events(bpftrace_host)}


def test_bpftrace_arguments_are_the_fields_of_the_format_files(bpftrace_host):
    listing = bpftrace.read(bpftrace_host, verbose=True)
    for event in ("sched/sched_switch", "syscalls/sys_enter_openat", "sched/sched_process_exec"):
        text = bpftrace_host.read(f"{bpftrace_host.tracefs}/events/{event}/format").decode()
        fields = re.findall(r"field:.*?(\w+)(?:\[[^\]]*\])?;", text.partition("\n\n")[2])
        names = [argument.name for argument in listing.probes[f"tracepoint:{event.replace('/', ':')}"]]
        assert names == fields


@pytest.mark.parametrize("read", [ftrace.read_functions, ftrace.read_blacklist])
def test_this_kernels_lists_are_read_whole_or_refused_with_a_reason(live_host, read):
    try:
        found = read(live_host)
    except (Forbidden, Missing) as error:
        refusal = error.why
    else:
        refusal = ""
        assert len(found) > 100
        assert found.skipped == 0
    path = f"{live_host.tracefs}/available_filter_functions" if read is ftrace.read_functions else ftrace.BLACKLIST
    readable = subprocess.run(["cat", path], capture_output=True).returncode == 0
    assert readable is not bool(refusal)


def test_the_c_library_of_this_machine_reads_as_nm_reads_it(require):
    maps = Path("/proc/self/maps").read_text()
    match = re.search(r"(/\S+/libc\.so\.6)$", maps, re.MULTILINE)
    require(match is not None, "Python does not use libc.so.6")
    require(shutil.which("nm") is not None, "nm is not installed")
    printed = subprocess.run(
        ["nm", "-D", "--defined-only", match[1]], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in printed.splitlines()]
    expected = {(row[2].partition("@")[0], int(row[0], 16)) for row in rows if row[1] not in "Aa"}
    assert len(expected) > 2000
    found = {(symbol.name, symbol.value): symbol for symbol in symbols(match[1])}
    assert expected <= set(found)
    code = {(row[2].partition("@")[0], int(row[0], 16)) for row in rows if row[1] in "TtiW"}
    assert all(found[row].offset is not None for row in code)
    assert re.fullmatch(r"[0-9a-f]{40}", build_id(match[1]))
