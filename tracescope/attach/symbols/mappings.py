"""What is mapped where in processes, alive or gone: for each code address its file, and the place in it. Pure.

Source: /proc/PID/maps (proc(5)), `start-end perms offset major:minor inode path`; what is new comes from `map_events`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from tracescope.printable import decode

__all__ = ("Mapping", "Mappings", "parse_maps")

_LINE = re.compile(rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ..(.). ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ (\d{1,20}) *(.*)")
_ESCAPED = re.compile(rb"\\012")
_DELETED = b" (deleted)"
_MAX_GENERATIONS = 64
_MAX_PROCESSES = 16_384
_MAX_MAPPINGS = 4096


@dataclass(frozen=True, slots=True)
class Mapping:
    """Code at `start` up to `end`, from `offset` bytes of a file on; `path` is empty where there is none."""

    start: int
    end: int
    offset: int
    inode: int
    path: str

    def in_file(self, address: int) -> int:
        """The byte of the file that is at an address."""
        return address - self.start + self.offset


def parse_maps(data: bytes) -> list[Mapping]:
    """The executable mappings of a process; lines that are none are left out."""
    found = []
    for line in data.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match and match[3] == b"x":
            start, end, offset = (int(match[at], 16) for at in (1, 2, 4))
            path = _ESCAPED.sub(b"\n", match[6].removesuffix(_DELETED))
            found.append(Mapping(start, end, offset, int(match[5]), decode(path)))
    return found


@dataclass(slots=True)
class _Process:
    """What one process id has had mapped, the newest last."""

    mappings: list[Mapping] = field(default_factory=list)
    parent: int | None = None


class Mappings:
    """By process id; processes that are gone stay known until many others came. Safe to use from any thread."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._lock = threading.Lock()

    def add(self, pid: int, mappings: Iterable[Mapping]) -> None:
        """The process has these from now on."""
        with self._lock:
            process = self._process(pid)
            process.mappings += mappings
            if len(process.mappings) > _MAX_MAPPINGS:
                process.mappings = list(dict.fromkeys(reversed(process.mappings)))[: _MAX_MAPPINGS // 2][::-1]

    def forked(self, pid: int, parent: int) -> None:
        """The process began with a copy of all that its parent had."""
        with self._lock:
            self._process(pid).parent = parent

    def find(self, pid: int, address: int) -> Mapping | None:
        """The newest mapping that holds the address, of the process, or of those that it was forked from.

        What was there before an exec stays known: stacks from that time are named by it.
        """
        with self._lock:
            at: int | None = pid
            for _ in range(_MAX_GENERATIONS):
                process = self._processes.get(at) if at is not None else None
                if process is None:
                    return None
                for mapping in reversed(process.mappings):
                    if mapping.start <= address < mapping.end:
                        return mapping
                at = process.parent
        return None

    def _process(self, pid: int) -> _Process:
        process = self._processes.pop(pid, None) or _Process()
        if len(self._processes) >= _MAX_PROCESSES:
            del self._processes[next(iter(self._processes))]
        # The one that was told of last goes last.
        self._processes[pid] = process
        return process
