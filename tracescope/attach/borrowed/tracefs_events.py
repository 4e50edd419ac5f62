"""From the kernel's trace records to records of our own: helpers tell who is who, two ends become one event. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tracescope.attach.borrowed.records import NO_PARENT, ExecText, Head, pack
from tracescope.attach.borrowed.tasks import Task, Tasks
from tracescope.attach.borrowed.tracefs_record import Common, dynamic_bytes, number, text
from tracescope.attach.decode.exec_calls import without_descriptor
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.targets.target import Shape, Target
from tracescope.errors import Damaged
from tracescope.model import EventFormat, Field
from tracescope.printable import decode, encode

__all__ = ("Events", "Traced", "event_of")

_FIRST = 8
_MOST_WAITING = 16384
_RENAME = "task:task_rename"


def event_of(target: Target) -> str:
    """The event's name in tracefs, `group:name`."""
    return f"{target.format.group}:{target.format.name}"


@dataclass(frozen=True, slots=True)
class Traced:
    """One event that belongs to a probe; `ends` when it is the end of a pair."""

    probe: PlannedProbe
    event: str
    format: EventFormat
    ends: bool = False
    plain: bool = False
    """Its words are all that there is, so that a record is made at once."""
    start: int = 8
    """Where in a record its own fields begin: before those of a function's event stands where it was."""


@dataclass(frozen=True, slots=True)
class _Begun:
    probe: PlannedProbe
    head: Head
    data: bytes


class Events:
    """Knows every event of the session by its number, and what waits for its end."""

    def __init__(
        self, probes: Sequence[PlannedProbe], formats: Mapping[str, EventFormat], helpers: Mapping[str, EventFormat],
        tasks: Tasks, *, tree: bool = False, starts: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.traced = tuple(_traced(probes, formats, starts or {}))
        self._by_id: dict[int, list[Traced]] = {}
        for traced in self.traced:
            self._by_id.setdefault(traced.format.id, []).append(traced)
        self._helpers = {
            format_.id: (name, {field.name: field for field in format_.fields}) for name, format_ in helpers.items()
        }
        self._common = Common.of(next(iter(formats.values())))
        self._tasks = tasks
        self._tree = tree
        self._execs: dict[int, _Begun] = {}
        self._pairs: dict[tuple[int, int], _Begun] = {}

    def records(self, time_ns: int, helps: bool, cpu: int, data: bytes) -> Iterator[bytes]:
        """The records that are complete with this one, the next in time; `helps`: it only tells who is who."""
        kind, tid = number(data, self._common.type), number(data, self._common.pid)
        if helps and kind in self._helpers:
            yield from self._learn(*self._helpers[kind], tid, data)
        for traced in () if helps else self._by_id.get(kind, ()):
            task = self._tasks.of(tid, cpu)
            if self._tree and not task.followed:
                # The kernel's filter by task lets a switch to a task through as well.
                continue
            if traced.start > _FIRST:
                data = data[:_FIRST] + data[traced.start :]
            if traced.plain:
                yield _plain(traced.probe, time_ns, cpu, tid, task, data)
                continue
            comm = _old_name(traced.format, data, tid) or task.comm
            yield from self._event(traced, Head(time_ns, cpu, task.pid, tid, task.ppid, comm), data)

    def rest(self) -> Iterator[bytes]:
        """Execs whose outcome did not come."""
        waiting, self._execs = self._execs, {}
        for begun in waiting.values():
            yield _record(begun.probe, begun.head, begun.data)

    def _learn(self, name: str, fields: Mapping[str, Field], tid: int, data: bytes) -> Iterator[bytes]:
        tasks = self._tasks
        match name:
            case "task:task_newtask":
                comm, flags = text(data, fields["comm"]) or b"", number(data, fields["clone_flags"])
                tasks.born(tid, number(data, fields["pid"]), comm, flags)
            case "task:task_rename":
                # Newer kernels tell no pid: it is the current task then.
                who = number(data, fields["pid"]) if "pid" in fields else tid
                tasks.renamed(who, text(data, fields["newcomm"]) or b"")
            case "sched:sched_process_exec":
                old = number(data, fields["old_pid"])
                yield from self._exec_known(old, text(data, fields["filename"]))
                tasks.executed(tid, old)
            case "sched:sched_process_exit":
                yield from self._exec_known(tid, None)
                whole = number(data, fields["group_dead"]) != 0 if "group_dead" in fields else self._is_leader(tid)
                tasks.died(tid, whole=whole)
            case _:
                # The return of an execve: one that comes here has failed, or was seen before.
                yield from self._exec_known(tid, None)

    def _is_leader(self, tid: int) -> bool:
        return self._tasks.of(tid, 0).pid == tid

    def _exec_known(self, tid: int, filename: bytes | None) -> Iterator[bytes]:
        begun = self._execs.pop(tid, None)
        if begun is not None:
            yield _record(begun.probe, begun.head, begun.data, exec_text=ExecText(_as_given(begun, filename)))

    def _event(self, traced: Traced, head: Head, data: bytes) -> Iterator[bytes]:
        probe = traced.probe
        if traced.ends:
            begun = self._pairs.pop((probe.index, head.tid), None)
            if begun is not None:
                ret = next(field for field in traced.format.fields if field.name == "ret")
                result = number(data, replace(ret, signed=True)), head.time_ns - begun.head.time_ns
                yield _record(probe, head, begun.data, result=result, format_=self._format_of(probe))
        elif probe.end is not None:
            self._pairs[probe.index, head.tid] = _Begun(probe, head, data)
            if len(self._pairs) > _MOST_WAITING:
                del self._pairs[next(iter(self._pairs))]
        elif probe.shape is Shape.EXEC:
            yield from self._exec_known(head.tid, None)
            self._execs[head.tid] = _Begun(probe, head, data)
        else:
            yield _record(probe, head, data, format_=traced.format)

    def _format_of(self, probe: PlannedProbe) -> EventFormat:
        return next(traced.format for traced in self.traced if traced.probe is probe and not traced.ends)


def _old_name(format_: EventFormat, data: bytes, tid: int) -> bytes | None:
    """At its renaming a task has its old name; by then the other instance may have told the new one."""
    if f"{format_.group}:{format_.name}" != _RENAME:
        return None
    fields = {field.name: field for field in format_.fields}
    own = "pid" not in fields or number(data, fields["pid"]) == tid
    return text(data, fields["oldcomm"]) if own and "oldcomm" in fields else None


def _traced(
    probes: Sequence[PlannedProbe], formats: Mapping[str, EventFormat], starts: Mapping[str, int]
) -> Iterator[Traced]:
    for probe in probes:
        event = event_of(probe.target)
        plain = not (probe.end or probe.dynamic or probe.captures or probe.shape is Shape.EXEC or event == _RENAME)
        if event in formats:
            yield Traced(probe, event, formats[event], plain=plain, start=starts.get(event, _FIRST))
        if probe.end is not None and (end := event_of(probe.end)) in formats and event in formats:
            yield Traced(probe, end, formats[end], ends=True, start=starts.get(end, _FIRST))


def _plain(probe: PlannedProbe, time_ns: int, cpu: int, tid: int, task: Task, data: bytes) -> bytes:
    """The same as `pack` makes of an event that is nothing but its words: most are."""
    size = probe.raw
    if len(data) < _FIRST + size:
        raise Damaged("a trace record is cut off", f"{probe.name} has {len(data)} bytes")
    flags, ppid = (NO_PARENT, 0) if task.ppid is None else (0, task.ppid)
    head = HEADER.pack(time_ns, cpu, probe.index, task.pid, tid, ppid, flags, task.comm[:16])
    return head + data[_FIRST : _FIRST + size].ljust(size + 7 & ~7, b"\0")


def _record(
    probe: PlannedProbe, head: Head, data: bytes, *, result: tuple[int, int] | None = None,
    exec_text: ExecText | None = None, format_: EventFormat | None = None,
) -> bytes:  # fmt: skip
    if len(data) < _FIRST + probe.raw:
        raise Damaged("a trace record is cut off", f"{probe.name} has {len(data)} bytes")
    parts = [dynamic_bytes(data, layout.field) for layout in probe.dynamic]
    texts = {}
    for field in format_.fields if format_ is not None and probe.captures else ():
        # Newer kernels copy the texts that a system call is given into its record.
        if field.location and field.name.startswith("__") and field.name.endswith("_val"):
            value = text(data, field)
            if value is not None:
                texts[field.name.removeprefix("__").removesuffix("_val")] = value
    return pack(probe, head, data[_FIRST:], dynamic=parts, result=result, texts=texts, exec_text=exec_text)


def _as_given(begun: _Begun, filename: bytes | None) -> bytes | None:
    """The path as the caller gave it: that of execveat is named by its descriptor."""
    fd = next((layout.field for layout in begun.probe.fields if layout.field.name == "fd"), None)
    if filename is None or fd is None:
        return filename
    given = without_descriptor(decode(filename), number(begun.data, replace(fd, size=4, signed=True)))
    return None if given is None else encode(given)
