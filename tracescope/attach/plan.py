"""What a session attaches: probes, the layout of each one's record, filters, silent helpers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.record.call_memory import call_captures, call_of
from tracescope.attach.record.layout import Capture, Code, PlannedProbe, lay_out
from tracescope.attach.record.offsets import ObjectOffsets, Offsets
from tracescope.attach.shared import share
from tracescope.attach.targets.target import Shape, Target, tracepoint
from tracescope.errors import Refused
from tracescope.model import EventFormat, ProbeKind

__all__ = ("HELPER_EVENTS", "NO_FILTERS", "Cgroup", "Filters", "Helper", "Namespace", "Plan", "plan", "return_of")

# Up to here it costs less to pad every record to one size than to walk records of several.
_MAX_PADDED = 256

_FORK, _EXEC, _EXIT = "sched:sched_process_fork", "sched:sched_process_exec", "sched:sched_process_exit"
_PREPARE = "sched:sched_prepare_exec"
_RETURNS = {
    "sys_enter_execve": "syscalls:sys_exit_execve",
    "sys_enter_execveat": "syscalls:sys_exit_execveat",
}
HELPER_EVENTS = (_FORK, _EXEC, _EXIT, _PREPARE, *_RETURNS.values())
"""The events, as `group:name`, that silent helpers may hang on; besides those of `return_of`."""


class Cgroup(NamedTuple):
    """A control group of the unified hierarchy: its id, and how far below the root it is."""

    id: int
    level: int


class Namespace(NamedTuple):
    """A pid namespace by its number, and the offsets that lead to it: `task`, then pointer by pointer."""

    number: int
    path: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the kernel hands over: events that match one value of every filter that has values."""

    pid: tuple[int, ...] = ()
    tree: tuple[int, ...] = ()
    """Processes that are followed together with all their descendants."""
    uid: tuple[int, ...] = ()
    comm: tuple[str, ...] = ()
    cgroup: tuple[Cgroup, ...] = ()
    """Control groups with all that is below them."""
    tid: tuple[int, ...] = ()
    namespace: tuple[Namespace, ...] = ()
    """Containers: the processes of a pid namespace."""
    but_not: tuple[int, ...] = ()
    """Processes that are left out: the tracer itself, whose output would be traced and shown, and traced again."""

    def __bool__(self) -> bool:
        return any((self.pid, self.tree, self.uid, self.comm, self.cgroup, self.tid, self.namespace))


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Helper:
    """A silent program: `function` in the text hangs on `format`."""

    function: str
    format: EventFormat


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the program text, the session and the decoding need to agree on."""

    probes: tuple[PlannedProbe, ...]
    filters: Filters
    offsets: Offsets | None
    before: tuple[Helper, ...]
    """Helpers that are attached before the probes, and so run before them on the same event."""
    after: tuple[Helper, ...]
    record_size: int | None
    """The size of every record in bytes, or None when it varies."""
    notes: tuple[str, ...]
    objects: ObjectOffsets | None = None
    transport: Transport = Transport.RING
    returns: tuple[Helper, ...] = ()
    """Where the calls return whose records may wait for it; without them one program is at the return of all calls."""

    @property
    def completes_exec(self) -> bool:
        """True when arguments that could not be read at entry are read again later."""
        return any(helper.function == "exec_again" for helper in self.before)

    @property
    def waiting_bytes(self) -> int:
        """The room of a record that waits for its call to return; 0 where none ever does."""
        return max((probe.fixed_size + probe.text_size for probe in self.probes if probe.waits), default=0)

    def again(self, probe: PlannedProbe) -> str:
        """The C function's name that reads again what was not in memory at a call's entry."""
        return f"again_{probe.index}" if self.returns else f"raw_again_{probe.index}"


def return_of(target: Target) -> str:
    """Where the system call returns at whose entry something may not be in memory, as `group:name`; or empty."""
    again = any(capture.again for capture in call_captures(target))
    return f"syscalls:sys_exit_{call_of(target)}" if again else ""


def plan(
    wanted: Sequence[EventFormat | Target],
    *,
    filters: Filters = NO_FILTERS,
    offsets: Offsets | None = None,
    helpers: Mapping[str, EventFormat] | None = None,
    objects: ObjectOffsets | None = None,
    read: Callable[[Target], tuple[tuple[Capture, ...], Code | None]] = lambda _: ((), None),
    many: Collection[ProbeKind] = (),
    transport: Transport = Transport.RING,
) -> Plan:
    """Lay out a session; a format stands for its tracepoint. Raises Refused.

    `helpers` are the formats of `HELPER_EVENTS` and of `return_of` the targets, as far as there are any; `read` gives
    what is read for a probe in addition to its words, and its condition; of the kinds `many` the kernel attaches one
    program to many probes.
    """
    if not wanted:
        raise Refused("nothing to attach", "no probe was given")
    targets = dict.fromkeys(tracepoint(one) if isinstance(one, EventFormat) else one for one in wanted)
    probes = tuple(lay_out(index, target, *read(target)) for index, target in enumerate(targets))
    probes = share(probes, many)
    have = helpers or {}
    notes = [] if offsets else ["no BTF: events carry no ppid"]
    follow, forget = _tree_helpers(filters, have)
    complete: list[Helper] = []
    calls = [probe.format.name for probe in probes if probe.shape is Shape.EXEC]
    if calls:
        complete = _exec_helpers(calls, have, with_offsets=offsets is not None)
        if not complete:
            notes.append("arguments of execve that are not in memory at entry are shown as unreadable")
    return Plan(
        probes, filters, offsets, (*follow, *complete), forget, _record_size(probes), tuple(notes), objects, transport,
        _returns(probes, have),
    )  # fmt: skip


def _returns(probes: Sequence[PlannedProbe], have: Mapping[str, EventFormat]) -> tuple[Helper, ...]:
    """All or none."""
    events = {probe.index: return_of(probe.target) for probe in probes if probe.waits}
    if not all(event in have for event in events.values()):
        return ()
    return tuple(Helper(f"again_{index}", have[event]) for index, event in events.items())


def _record_size(probes: Sequence[PlannedProbe]) -> int | None:
    if any(probe.varies for probe in probes):
        return None
    sizes = {probe.fixed_size for probe in probes}
    return max(sizes) if len(sizes) == 1 or max(sizes) <= _MAX_PADDED else None


def _tree_helpers(filters: Filters, have: Mapping[str, EventFormat]) -> tuple[list[Helper], tuple[Helper, ...]]:
    if not filters.tree:
        return [], ()
    missing = [name for name in (_FORK, _EXEC, _EXIT) if name not in have]
    if missing:
        raise Refused(
            "descendants cannot be followed", f"this host has no tracepoint {missing[0]}", "--pid or --cgroup"
        )
    # A process leaves the tree only after the probes have seen its exit.
    follow = [Helper("follow_fork", have[_FORK]), Helper("follow_exec", have[_EXEC])]
    return follow, (Helper("follow_exit", have[_EXIT]),)


def _exec_helpers(calls: Sequence[str], have: Mapping[str, EventFormat], *, with_offsets: bool) -> list[Helper]:
    # As few as possible: the kernel takes 60 ms to detach each.
    returns = [_RETURNS[call] for call in calls]
    if not all(name in have for name in returns):
        return []
    failed = [Helper("exec_again", have[name]) for name in returns]
    if _PREPARE in have:
        return [Helper("exec_again", have[_PREPARE]), *failed]
    return [Helper("exec_done", have[_EXEC]), *failed] if _EXEC in have and with_offsets else []
