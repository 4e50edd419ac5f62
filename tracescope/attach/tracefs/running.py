"""The processes that run already when a session begins, from /proc once: who they are, and who their parents are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import decode

__all__ = ("Running", "parse_stat", "running_processes")

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Behind the name in /proc/PID/stat: state, ppid, …
_PPID, _START = 1, 19


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was there before; `start_ns` is CLOCK_MONOTONIC in whole clock ticks."""

    pid: int
    ppid: int
    comm: str
    start_ns: int
    exe: str | None = None


def running_processes(host: Host) -> Iterator[Running]:
    """All processes of this machine; one that ends meanwhile is left out."""
    # The start is told since boot, with the time that the machine was suspended.
    suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    for name in host.names("/proc"):
        if name.isdecimal():
            with suppress(TraceScopeError, ValueError, IndexError):
                yield parse_stat(host.read(f"/proc/{name}/stat"), suspended_ns, _exe(name))


def parse_stat(data: bytes, suspended_ns: int = 0, exe: str | None = None) -> Running:
    """A process from its `stat`; raises ValueError or IndexError for what is none."""
    # The name, in parentheses, may hold anything: what counts is behind the last one.
    before, _, after = data.rpartition(b")")
    pid, _, comm = before.partition(b" (")
    words = after.split()
    start_ns = int(words[_START]) * _TICK_NS - suspended_ns
    return Running(int(pid), int(words[_PPID]), decode(comm), start_ns, exe)


def _exe(pid: str) -> str | None:
    """The file that it runs; a kernel thread has none."""
    try:
        return decode(os.readlink(os.fsencode(f"/proc/{pid}/exe")))
    except OSError:
        return None
