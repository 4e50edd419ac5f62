"""From probes to a session on another tracer: the plan with what that tracer can read, and the session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tracescope.attach.ask.asked import Asked
from tracescope.attach.borrowed.bpftrace import BpftraceSession
from tracescope.attach.borrowed.session import BorrowedSession
from tracescope.attach.borrowed.tracefs import TASK_EVENTS, TracefsSession
from tracescope.attach.borrowed.tracefs_events import event_of
from tracescope.attach.borrowed.tracefs_functions import in_own_group, is_dynamic
from tracescope.attach.open import kernel_types, read_formats
from tracescope.attach.plan import Filters, Plan, plan
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.record.layout import Capture, CaptureKind, Code
from tracescope.attach.targets.btf import with_types
from tracescope.attach.targets.target import Shape, Target, as_call
from tracescope.errors import Missing, Refused
from tracescope.host import Host
from tracescope.model import EventFormat

__all__ = ("open_borrowed",)

_ENDS = {"sys_enter_execve": "syscalls:sys_exit_execve", "sys_enter_execveat": "syscalls:sys_exit_execveat"}


def open_borrowed(
    backend: str, host: Host, wanted: Sequence[Target], filters: Filters, *, asked: Asked, bare: bool, buffer: int
) -> BorrowedSession:
    """A session on `bpftrace` or `tracefs`; raises Refused."""
    types = kernel_types(host)
    targets = [with_types(as_call(target) if bare or target.end else target, types) for target in wanted]
    if backend == "tracefs":
        targets = [in_own_group(host, target, f"probe_{number}") for number, target in enumerate(targets)]
    # What follows a tree, and completes an execve, is not a program of ours here.
    made = plan(targets, read=lambda target: (() if bare else _texts(target), None))
    made = replace(made, filters=filters, notes=())
    if backend == "bpftrace":
        return BpftraceSession(host, made, asked.where, types, buffer=buffer)
    needed = {event_of(end) for target in targets for end in (target, target.end) if end and not is_dynamic(end)}
    formats = read_formats(host, needed)
    if missing := needed - formats.keys():
        raise Missing(f"tracepoint:{min(missing)} is not there", "its format cannot be read")
    return TracefsSession(
        host, _with_notes(made, targets, formats), asked.where, types,
        formats=formats, helpers=_helpers(host, targets), buffer=buffer,
    )  # fmt: skip


def _texts(target: Target) -> tuple[Capture, ...]:
    """The texts that a system call is given and that stand for themselves: another tracer can read these."""
    return tuple(
        one for one in call_captures(target)
        if one.kind is CaptureKind.TEXT and one.phase == "enter" and "?" not in _code(one.code)
    )  # fmt: skip


def _code(code: Code) -> str:
    return code.value


def _helpers(host: Host, targets: Sequence[Target]) -> Mapping[str, EventFormat]:
    ends = [_ENDS[target.format.name] for target in targets if target.shape is Shape.EXEC]
    found = read_formats(host, (*TASK_EVENTS, *ends))
    if missing := [event for event in TASK_EVENTS if event not in found]:
        why = f"this host has no tracepoint {missing[0]}"
        raise Refused("tracefs cannot tell whose events these are", why, "another --backend: bcc, libbpf, bpftrace")
    return found


def _with_notes(made: Plan, targets: Sequence[Target], formats: Mapping[str, EventFormat]) -> Plan:
    notes = []
    if any(target.shape is Shape.EXEC for target in targets):
        notes.append("tracefs: of an execve only the file is known, and only when it succeeded")
    elif any(target.shape is Shape.SYSCALL for target in targets) and not any(
        field.location for one in formats.values() for field in one.fields if one.group == "syscalls"
    ):
        notes.append("tracefs: what pointers lead to is not in the kernel's records")
    return replace(made, notes=tuple(notes))
