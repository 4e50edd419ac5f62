"""What runs, from /proc: the threads that are there when a session begins; a process's state and parent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from tracescope.attach.borrowed.tasks import Task
from tracescope.errors import TraceScopeError
from tracescope.host import Host

__all__ = ("parent_of", "running_tasks", "sleeps")

_KTHREADD = 2
_WORKER = re.compile(rb"kworker/u?\d+:\d+[A-Z]?(?=[-+])")


def running_tasks(host: Host) -> Iterator[tuple[int, Task]]:
    """Every thread by its number; one that ends meanwhile is left out."""
    for pid in host.names("/proc"):
        if not pid.isdecimal():
            continue
        with suppress(TraceScopeError, ValueError, IndexError):
            ppid = int(_status(host, pid)[1])
            for tid in host.names(f"/proc/{pid}/task"):
                with suppress(TraceScopeError):
                    comm = host.read(f"/proc/{pid}/task/{tid}/comm").removesuffix(b"\n")
                    # /proc adds to a kernel worker's name what it works on: `kworker/u8:2-events`.
                    worker = _WORKER.match(comm) if ppid == _KTHREADD else None
                    yield int(tid), Task(int(pid), ppid, worker[0] if worker else comm)


def parent_of(host: Host, pid: int) -> int:
    """The parent's number, 0 when that is not known."""
    try:
        return int(_status(host, pid)[1])
    except (TraceScopeError, ValueError, IndexError):
        return 0


def sleeps(host: Host, pid: int) -> bool:
    """Whether it waits for something; false too for one that is gone."""
    try:
        return _status(host, pid)[0] == b"S"
    except (TraceScopeError, IndexError):
        return False


def _status(host: Host, pid: int | str) -> list[bytes]:
    """State, parent and what follows; raises TraceScopeError."""
    return host.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
