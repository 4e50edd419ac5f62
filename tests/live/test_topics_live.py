"""Topics and advice against this kernel, and against what bpftrace lists on it."""

from __future__ import annotations

import glob
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from known_probes import KnownProbes

from tracescope.catalog.advice import better
from tracescope.catalog.topics import choose, load_topics
from tracescope.host import LiveHost
from tracescope.model import ProbeKind

LIBRARIES = ("/lib", "/lib64", "/lib/*-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/lib/*-linux-gnu", "/bin", "/usr/bin")


@pytest.fixture(scope="module")
def kernel() -> KnownProbes:
    return KnownProbes.of(LiveHost())


@pytest.fixture(scope="module")
def bpftrace_tracepoints(require) -> set[str]:
    require(shutil.which("bpftrace") is not None, "no bpftrace")
    listed = subprocess.run(["bpftrace", "-l", "tracepoint:*"], capture_output=True, text=True, check=True).stdout
    return set(listed.split())


def test_bpftrace_lists_every_tracepoint_that_a_topic_offers_here(kernel, bpftrace_tracepoints):
    offered = {choice.probe for topic in load_topics() for choice in choose([topic.id], kernel)}
    tracepoints = {probe for probe in offered if probe.startswith("tracepoint:") and "*" not in probe}
    assert len(tracepoints) > 100
    assert tracepoints - bpftrace_tracepoints == set()


def test_every_topic_answers_on_this_kernel(kernel):
    for topic in load_topics():
        assert topic.id in {choice.topic for choice in choose([topic.id], kernel)}


def test_short_lived_processes_name_the_exec_and_exit_tracepoints_first(kernel):
    assert [choice.probe for choice in choose(["short-lived", "processes"], kernel)[:4]] == [
        "tracepoint:syscalls:sys_enter_execve",
        "tracepoint:syscalls:sys_exit_execve",
        "tracepoint:sched:sched_process_exec",
        "tracepoint:sched:sched_process_exit",
    ]


def test_every_syscall_of_this_kernel_has_its_function_led_to_its_tracepoint(kernel):
    syscalls = [event.removeprefix("syscalls:sys_enter_") for event in kernel.events if ":sys_enter_" in event]
    assert len(syscalls) > 200
    for syscall in syscalls:
        found = dict(better(ProbeKind.KPROBE, f"__x64_sys_{syscall}", kernel, kernel.groups))
        assert f"tracepoint:syscalls:sys_enter_{syscall}" in found


def test_the_user_symbols_that_topics_name_are_in_the_libraries_of_this_host():
    found = 0
    for name in {name for topic in load_topics() for entry in topic.probes for name in entry.names}:
        kind, _, rest = name.partition(":")
        if kind not in ("uprobe", "uretprobe"):
            continue
        file, _, symbol = rest.removeprefix("*/").partition(":")
        for path in {match for folder in LIBRARIES for match in glob.glob(f"{folder}/{file}")}:
            with open(path, "rb") as binary:
                assert ELFFile(binary).get_section_by_name(".dynsym").get_symbol_by_name(symbol), name
            found += 1
    assert found > 5
