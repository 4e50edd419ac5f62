"""What a session attaches: probes, the layout of each one's record, filters, silent helpers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tracescope.errors import Refused
from tracescope.model import EventFormat, Field
from tracescope.sources.btf import Btf

__all__ = (
    "HEADER",
    "HELPER_EVENTS",
    "NO_FILTERS",
    "Cgroup",
    "FieldLayout",
    "Filters",
    "Helper",
    "Offsets",
    "Plan",
    "PlannedProbe",
    "Shape",
    "plan",
)

HEADER = struct.Struct("=QIIIIII16s")
"""`struct record` in the program: time_ns, cpu, probe, pid, tid, ppid, flags, comm."""

# The kernel puts a pointer over the first 8 bytes of what a program on a tracepoint sees.
_HIDDEN = 8
_SHIFT = HEADER.size - _HIDDEN
# The verifier lets a program read no further (PERF_MAX_TRACE_SIZE of the older kernels).
_MAX_RAW = 2048
# All dynamic fields of one event together: a path fits, and so does the scratch space in a per-CPU map.
_MAX_DYNAMIC = 4096
# Up to here it costs less to pad every record to one size than to walk records of several.
_MAX_PADDED = 256

_FORK, _EXEC, _EXIT = "sched:sched_process_fork", "sched:sched_process_exec", "sched:sched_process_exit"
_PREPARE = "sched:sched_prepare_exec"
_RETURNS = {
    "sys_enter_execve": "syscalls:sys_exit_execve",
    "sys_enter_execveat": "syscalls:sys_exit_execveat",
}
HELPER_EVENTS = (_FORK, _EXEC, _EXIT, _PREPARE, *_RETURNS.values())
"""The events, as `group:name`, that silent helpers may hang on."""


class Shape(StrEnum):
    """How the program fills the record."""

    RECORD = "record"
    """The tracepoint's own record, with the bytes of its dynamic fields behind it."""
    SYSCALL = "syscall"
    """The number and the arguments, or the result, of a system call: all that the kernel hands to BPF."""
    EXEC = "exec"
    """The arguments of execve or execveat, and the text that they point to."""


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """Where a field's fixed part is in the record, in bytes."""

    field: Field
    offset: int

    @property
    def dynamic(self) -> bool:
        """True when the fixed part is a `__data_loc` or `__rel_loc` word and the bytes come behind the fixed parts."""
        return bool(self.field.location)


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One probe: `raw` bytes are copied from offset 8 on; each dynamic field adds up to `cap` bytes."""

    index: int
    format: EventFormat
    shape: Shape
    fields: tuple[FieldLayout, ...]
    raw: int
    cap: int = 0

    @property
    def name(self) -> str:
        """The full name, `tracepoint:group:name`."""
        return self.format.probe

    @property
    def function(self) -> str:
        """The C function's name."""
        return f"probe_{self.index}"

    @property
    def dynamic(self) -> tuple[FieldLayout, ...]:
        """The fields whose bytes come behind the fixed parts, in that order."""
        return tuple(layout for layout in self.fields if layout.dynamic)

    @property
    def fixed_size(self) -> int:
        """Header and fixed parts, in bytes, a multiple of 8."""
        return HEADER.size + -(-self.raw // 8) * 8

    @property
    def varies(self) -> bool:
        """True when two records of this probe may differ in size."""
        return self.shape is Shape.EXEC or bool(self.dynamic)


class Cgroup(NamedTuple):
    """A control group of the unified hierarchy: its id, and how far below the root it is."""

    id: int
    level: int


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

    def __bool__(self) -> bool:
        return any((self.pid, self.tree, self.uid, self.comm, self.cgroup))


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets in bytes in the running kernel's structures, from its BTF."""

    real_parent: int
    tgid: int
    mm: int
    arg_start: int
    arg_end: int

    @classmethod
    def from_btf(cls, btf: Btf) -> Offsets:
        """Read them; raises Missing."""
        task, memory = "task_struct", "mm_struct"
        return cls(
            btf.member_offset(task, "real_parent"),
            btf.member_offset(task, "tgid"),
            btf.member_offset(task, "mm"),
            btf.member_offset(memory, "arg_start"),
            btf.member_offset(memory, "arg_end"),
        )


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

    @property
    def completes_exec(self) -> bool:
        """True when arguments that could not be read at entry are read again later."""
        return any(helper.function == "exec_again" for helper in self.before)


def plan(
    formats: Sequence[EventFormat],
    *,
    filters: Filters = NO_FILTERS,
    offsets: Offsets | None = None,
    helpers: Mapping[str, EventFormat] | None = None,
) -> Plan:
    """Lay out a session; `helpers` are the formats of `HELPER_EVENTS` that this host has. Raises Refused."""
    if not formats:
        raise Refused("nothing to attach", "no probe was given")
    probes = tuple(_probe(index, format_) for index, format_ in enumerate(dict.fromkeys(formats)))
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
        probes, filters, offsets, (*follow, *complete), forget, _record_size(probes), tuple(notes),
    )  # fmt: skip


def _probe(index: int, format_: EventFormat) -> PlannedProbe:
    shape, chosen = _shape(format_)
    end = max((field.offset + field.size for field in chosen), default=_HIDDEN)
    if end > _MAX_RAW or any(field.offset < _HIDDEN for field in chosen):
        raise Refused(f"{format_.probe} cannot be attached", f"its record of {end} bytes is laid out in an unknown way")
    dynamic = sum(1 for field in chosen if field.location)
    cap = min(_MAX_DYNAMIC, 2 * _MAX_DYNAMIC // dynamic) if dynamic else 0
    layout = tuple(FieldLayout(field, field.offset + _SHIFT) for field in chosen)
    return PlannedProbe(index, format_, shape, layout, end - _HIDDEN, cap)


def _shape(format_: EventFormat) -> tuple[Shape, list[Field]]:
    if format_.group != "syscalls":
        return Shape.RECORD, list(format_.fields)
    # Fields like `__filename_val` are in ftrace's record only: to BPF the kernel hands number and arguments.
    chosen = [field for field in format_.fields if not field.location]
    names = " ".join(field.name for field in chosen)
    is_exec = format_.name in _RETURNS and "filename argv envp" in names
    return Shape.EXEC if is_exec else Shape.SYSCALL, chosen


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
        raise Refused("descendants cannot be followed", f"this host has no tracepoint {missing[0]}")
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
