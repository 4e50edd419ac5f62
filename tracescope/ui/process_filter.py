"""The filter line of the Processes screen: words, `pid:` (with descendants), `uid:`, `cgroup:`, `failed:yes`, `life:`.

    stress uid:1000 life:<100ms
Pure. What is not understood is a word to look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tracescope.processes import ExitEvent, Process, ProcessTable, ProgramSummary, argv_words, program_of
from tracescope.ui.process_feed import Outcome

__all__ = ("NO_FILTER", "ProcessFilter", "parse_filter")

Resolve = Callable[[str, str], int | None]
"""The number for a name, for the key `uid` or `cgroup`; None if nothing has that name."""

_LIFE = re.compile(r"([<>])(\d+(?:\.\d+)?)(ns|us|µs|ms|s|min|h)")
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(frozen=True, slots=True)
class ProcessFilter:
    """What is shown: everything that agrees with all that is set."""

    words: tuple[str, ...] = ()
    """In lower case."""
    pid: int | None = None
    """This process and its descendants."""
    uid: int | None = None
    cgroup_id: int | None = None
    failed: bool | None = None
    """Whether the exec failed."""
    longer_ns: int | None = None
    shorter_ns: int | None = None

    def takes_outcome(self, outcome: Outcome, table: ProcessTable) -> bool:
        """Whether the outcome is shown."""
        if self.failed is not None and self.failed != (outcome.walk is not None):
            return False
        return (
            self._takes_life(outcome.life_ns)
            and self._takes_words(_outcome_words(outcome))
            and (outcome.process is None or self._takes_place(outcome.process, table))
        )

    def takes_process(self, process: Process, table: ProcessTable) -> bool:
        """Whether the process is shown; one of whose execs none failed is none of `failed:yes`."""
        return (
            not self.failed
            and self._takes_life(process.life_ns)
            and self._takes_words(_process_words(process))
            and self._takes_place(process, table)
        )

    def takes_program(self, row: ProgramSummary, placed: frozenset[str] | None) -> bool:
        """Whether the program is shown; `placed` is what `programs` gave."""
        if self.failed is not None and self.failed != (row.failures > 0):
            return False
        if placed is not None and row.program not in placed:
            return False
        parent = row.parents[0][0] if row.parents else None
        return self._takes_life(row.median_life_ns) and self._takes_words(
            f"{row.program} {parent.program if parent else ''}"
        )

    def programs(self, table: ProcessTable) -> frozenset[str] | None:
        """The programs that processes ran, or tried to, in the place that is asked for; None when none is."""
        if self.pid is None and self.uid is None and self.cgroup_id is None:
            return None
        found = set()
        for process in table:
            if self._takes_place(process, table):
                found.add(process.program)
                found.update(map(program_of, process.runs))
        for walk in table.failed:
            tried = table.find(walk.first.pid)
            if tried is not None and self._takes_place(tried, table):
                found.add(walk.program)
        return frozenset(found)

    def _takes_words(self, text: str) -> bool:
        return not self.words or all(word in text.lower() for word in self.words)

    def _takes_life(self, life_ns: int | None) -> bool:
        if self.longer_ns is None and self.shorter_ns is None:
            return True
        return (
            life_ns is not None
            and (self.longer_ns is None or life_ns > self.longer_ns)
            and (self.shorter_ns is None or life_ns < self.shorter_ns)
        )

    def _takes_place(self, process: Process, table: ProcessTable) -> bool:
        return (
            (self.uid is None or process.uid == self.uid)
            and (self.cgroup_id is None or process.cgroup_id == self.cgroup_id)
            and (self.pid is None or any(one.pid == self.pid for one in (process, *table.ancestors(process))))
        )


NO_FILTER = ProcessFilter()


def parse_filter(text: str, resolve: Resolve = lambda _key, _name: None) -> ProcessFilter:
    """The filter in a line; `resolve` knows the names of users and control groups."""
    words: list[str] = []
    values: dict[str, int | bool] = {}
    for term in text.split():
        key, _, value = term.partition(":")
        found = _value(key, value, resolve)
        if found is None:
            words.append(term.lower())
        else:
            values |= found
    return ProcessFilter(tuple(words), **values)  # type: ignore[arg-type]


def _value(key: str, value: str, resolve: Resolve) -> dict[str, int | bool] | None:
    number = int(value) if value.isdecimal() and len(value) <= 20 else None
    match key:
        case "pid" if number is not None:
            return {"pid": number}
        case "uid" | "cgroup":
            number = resolve(key, value) if number is None and value else number
            return None if number is None else {"uid" if key == "uid" else "cgroup_id": number}
        case "failed" if value in ("yes", "no"):
            return {"failed": value == "yes"}
        case "life" if found := _LIFE.fullmatch(value):
            sign, amount, unit = found.groups()
            return {"shorter_ns" if sign == "<" else "longer_ns": round(float(amount) * _NS[unit])}
    return None


def _outcome_words(outcome: Outcome) -> str:
    event = outcome.event
    if isinstance(event, ExitEvent):
        return _process_words(outcome.process) if outcome.process else event.comm or ""
    return f"{event.filename} {event.comm} {argv_words(event)}"


def _process_words(process: Process) -> str:
    arguments = argv_words(process.runs[-1]) if process.runs else ""
    return f"{process.program} {process.comm or ''} {arguments}"
