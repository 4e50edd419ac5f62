"""The threads of running processes and of all their descendants, put into the kernel's map; and who is left out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress

from tracescope.attach.kernel import bpf
from tracescope.errors import TraceScopeError
from tracescope.host import Host, LiveHost

__all__ = ("leave_out", "seed", "threads_below")


def leave_out(map_fd: int, processes: Sequence[int]) -> None:
    """Fill the kernel's array of processes that are left out."""
    for place, process in enumerate(processes):
        bpf.map_update(map_fd, struct.pack("=I", place), struct.pack("=I", process))


def seed(map_fd: int, roots: Iterable[int]) -> None:
    """Add every thread below `roots`; the fork helper, attached before, adds what is started meanwhile."""
    host = LiveHost()
    roots = tuple(roots)
    known: set[int] = set()
    # A child started before its parent was in the map is found by the next round.
    while new := threads_below(host, roots) - known:
        for thread in new:
            bpf.map_update(map_fd, struct.pack("=I", thread), b"\1")
        known |= new
    for thread in known:
        if not host.exists(f"/proc/{thread}"):
            with suppress(FileNotFoundError):
                bpf.map_delete(map_fd, struct.pack("=I", thread))


def threads_below(host: Host, roots: Iterable[int]) -> set[int]:
    """The thread ids of the processes `roots` and of all their descendants, from /proc as it is now."""
    children: dict[int, list[int]] = {}
    for name in host.names("/proc"):
        if name.isdecimal():
            children.setdefault(_parent(host, int(name)), []).append(int(name))
    waiting, found = list(roots), set[int]()
    while waiting:
        process = waiting.pop()
        if process not in found:
            found.add(process)
            waiting += children.get(process, ())
    return {thread for process in found for thread in _threads(host, process)}


def _parent(host: Host, process: int) -> int:
    try:
        # The name, in parentheses, may hold anything: what counts is behind the last one.
        return int(host.read(f"/proc/{process}/stat").rpartition(b")")[2].split()[1])
    except (TraceScopeError, IndexError, ValueError):
        return 0


def _threads(host: Host, process: int) -> list[int]:
    try:
        return [int(name) for name in host.names(f"/proc/{process}/task")]
    except TraceScopeError:
        return []
