"""Who the tasks are that a trace only names by their number: process, parent, command name. Pure.

/proc tells who is there at the beginning; after that the kernel's own events do (task_newtask, task_rename,
sched_process_exec and sched_process_exit), in their order, so that a task has at each moment the name that it had then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("Task", "Tasks")

# include/uapi/linux/sched.h
_CLONE_PARENT, _CLONE_THREAD = 0x00008000, 0x00010000
_MOST_GONE = 4096
_UNKNOWN = b"<...>"
"""As the kernel's own `trace` file shows a task that it does not know."""


@dataclass(slots=True)
class Task:
    """A thread: its process, the process's parent (None: not known), its command name."""

    pid: int
    ppid: int | None
    comm: bytes
    followed: bool = False
    """One of a tree of processes that is traced."""


class Tasks:
    """All threads by their number."""

    def __init__(self, known: Iterable[tuple[int, Task]] = ()) -> None:
        self._tasks: dict[int, Task] = {}
        self._children: dict[int, set[int]] = {}
        self._gone: dict[int, Task] = {}
        """Those that have ended: the kernel still traces what a task does after that."""
        for tid, task in known:
            self.add(tid, task)

    def __contains__(self, tid: int) -> bool:
        return tid in self._tasks

    def add(self, tid: int, task: Task) -> None:
        """A task that is there, if it is not known yet."""
        if tid not in self._tasks:
            self._put(tid, task)

    def _put(self, tid: int, task: Task) -> None:
        self._gone.pop(tid, None)
        self._tasks[tid] = task
        if task.ppid is not None:
            self._children.setdefault(task.ppid, set()).add(tid)

    def of(self, tid: int, cpu: int) -> Task:
        """The task with this number; on the CPU, for the idle task has one name on each."""
        if tid == 0:
            return Task(0, 0, b"swapper/%d" % cpu)
        return self._tasks.get(tid) or self._gone.get(tid) or Task(tid, None, _UNKNOWN)

    def born(self, parent: int, tid: int, comm: bytes, flags: int) -> None:
        """`parent` has started a thread or a process."""
        maker = self._tasks.get(parent)
        parents = maker.ppid if maker else None
        followed = maker is not None and maker.followed
        if flags & _CLONE_THREAD:
            self._put(tid, Task(maker.pid if maker else tid, parents, comm, followed))
        elif flags & _CLONE_PARENT:
            self._put(tid, Task(tid, parents, comm, followed))
        else:
            self._put(tid, Task(tid, maker.pid if maker else None, comm, followed))

    def renamed(self, tid: int, comm: bytes) -> None:
        """A task has another name."""
        task = self._tasks.get(tid)
        if task is not None:
            task.comm = comm

    def executed(self, tid: int, old: int) -> None:
        """A program was executed: a thread that did it goes on under the number of its process."""
        if old != tid and (task := self._tasks.pop(old, None)) is not None:
            self._tasks[tid] = task

    def died(self, tid: int, *, whole: bool) -> None:
        """A thread has ended; `whole`: its process with it, and who its children belong to is not known."""
        task = self._tasks.pop(tid, None)
        if task is None:
            return
        if task.ppid is not None:
            self._children.get(task.ppid, set()).discard(tid)
        self._gone[tid] = task
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        if whole:
            for child in self._children.pop(task.pid, ()):
                if (orphan := self._tasks.get(child)) is not None and orphan.ppid == task.pid:
                    orphan.ppid = None
