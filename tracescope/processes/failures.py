"""Failed execs: the walk along PATH (ENOENT after ENOENT for one name) is one row, not nine."""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass, field

from tracescope.processes.events import ExecEvent, ExecFailed

__all__ = ("FailedExec", "Walks")

_MAX_PLACES = 64
_MAX_OPEN = 4096
# PATH may name a folder twice; who tries the same place again on purpose waits longer.
_SAME_WALK_NS = 1_000_000


@dataclass(slots=True)
class FailedExec:
    """One attempt to start a program: one failed exec, or a walk along PATH."""

    first: ExecFailed
    name: str
    """The path, or for a walk the name looked for."""
    tried: int = 1
    places: list[str] = field(default_factory=list)
    """The paths tried, at most 64 of them."""
    last_ns: int = 0
    """The time of the latest try."""
    found: str | None = None
    """Where the walk ended with success."""

    @property
    def program(self) -> str:
        """What could not be started: the path, or the name when it was looked for in several places."""
        return self.name if self.tried > 1 or self.found or not self.places else self.places[0]

    @property
    def errno(self) -> str:
        """The error's name."""
        ret = self.first.ret
        return self.first.errno or (errno.errorcode.get(-ret, f"error {-ret}") if ret else "unknown error")

    def words(self) -> str:
        """What came of it: `tried 9 places, found /usr/bin/make`, `ENOENT, tried 9 places`, `EACCES`."""
        tried = f"tried {self.tried} places" if self.tried > 1 else "tried one other place" if self.found else ""
        return f"{tried}, found {self.found}" if self.found else ", ".join(filter(None, (self.errno, tried)))


class Walks:
    """Folds failed execs; `rows` keeps the latest, an open walk is in it already and grows."""

    def __init__(self, keep: int) -> None:
        self.rows: deque[FailedExec] = deque(maxlen=keep)
        self.open: dict[int, dict[int | None, FailedExec]] = {}
        """The walks that may go on, by process and task."""

    def fail(self, event: ExecFailed) -> list[FailedExec]:
        """Take a failed exec; returns the attempts that are thereby known to have failed for good."""
        path = event.filename or ""
        name = path.rpartition("/")[2] or path
        tasks = self.open.get(event.pid, {})
        walk = tasks.get(event.tid)
        failed = []
        if walk is not None and (walk.name != name or _begins_again(walk, event)):
            failed.append(tasks.pop(event.tid))
            walk = None
        if not (event.errno == "ENOENT" or event.ret == -errno.ENOENT) or not name:
            single = FailedExec(event, path)
            self.rows.append(single)
            return [*failed, single]
        if walk is None:
            self._begin(event, name, path)
        elif path != walk.places[-1]:
            walk.tried += 1
            if len(walk.places) < _MAX_PLACES:
                walk.places.append(path)
            walk.last_ns = event.time_ns
        if len(self.open) > _MAX_OPEN:
            failed += self.open.pop(next(iter(self.open))).values()
        return failed

    def _begin(self, event: ExecFailed, name: str, path: str) -> None:
        walk = FailedExec(event, name, places=[path], last_ns=event.time_ns)
        self.open.setdefault(event.pid, {})[event.tid] = walk
        self.rows.append(walk)

    def succeed(self, event: ExecEvent) -> list[FailedExec]:
        """A process that is in here runs a new program: its walk for that name is found, its others failed for good.

        The task that called exec is the process's only one from here on, whatever it was before.
        """
        walks = self.open.pop(event.pid)
        name = (event.filename or "").rpartition("/")[2]
        failed = []
        for walk in walks.values():
            if walk.name == name:
                walk.found = event.filename
            else:
                failed.append(walk)
        return failed

    def end(self, pid: int) -> list[FailedExec]:
        """A process that is in here has ended: what it did not find it never will."""
        return list(self.open.pop(pid).values())


def _begins_again(walk: FailedExec, event: ExecFailed) -> bool:
    """Whether this is the first place of the walk once more."""
    if event.filename != walk.places[0]:
        return False
    return len(walk.places) > 1 or event.time_ns - walk.last_ns > _SAME_WALK_NS
