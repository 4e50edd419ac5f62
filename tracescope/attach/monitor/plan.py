"""What the process monitor needs of a host: where the kernel's structures keep things, and the formats of its events.

Pure. Offsets are from BTF (the structures of include/linux/sched.h, sched/signal.h, mm_types.h, fs.h, fs/mount.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.errors import Missing, Refused
from tracescope.model import EventFormat

__all__ = ("EVENTS", "OFFSETS", "MonitorPlan", "Sized", "Types", "monitor_plan", "read_offsets")

_EXIT = "sched:sched_process_exit"
_CALLS = tuple(f"syscalls:sys_{end}_{name}" for name in ("execve", "execveat") for end in ("enter", "exit"))
EVENTS = (*_CALLS, _EXIT)
"""The events, as `group:name`, whose formats tell how they are laid out."""

_MEMBERS = """
task_struct: mm pid tgid real_parent group_leader start_time thread_pid signal thread_node
task_struct: exit_code exit_state utime stime se
sched_entity: sum_exec_runtime
signal_struct: live flags group_exit_code thread_head utime stime sum_sched_runtime maxrss
pid: level numbers
upid: nr
mm_struct: arg_start arg_end exe_file
linux_binprm: filename interp
file: f_path
path: mnt dentry
dentry: d_parent d_name
qstr: name
vfsmount: mnt_root
mount: mnt mnt_parent mnt_mountpoint
"""


_PATHS = [
    (struct, member)
    for struct, _, members in (line.partition(": ") for line in _MEMBERS.split("\n"))
    for member in members.split()
]
OFFSETS = (*(f"{struct}_{member}".upper() for struct, member in _PATHS), "UPID_BYTES")
"""The names of the offsets, in an order of their own."""


class Types(Protocol):
    """What is asked of a kernel's types; raises Missing."""

    def member_offset(self, struct: str, member: str, /) -> int:
        """In bytes."""
        ...

    def layout(self, name: str, /) -> Sized:
        """Of a structure."""
        ...


class Sized(Protocol):
    """What has a size in bytes."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """Everything that the monitor's program text, session and decoding need to agree on."""

    filters: Filters
    strict: bool
    """Only the system calls' own tracepoints: no forks, no exits; an exec is done when its call returns 0."""
    failed_only: bool
    offsets: Mapping[str, int]
    """In bytes, by `STRUCT_MEMBER` (`OFFSETS`)."""
    calls: tuple[EventFormat, ...]
    """Those tracepoints of execve and execveat that this host has."""
    says_dead: bool
    """The exit event itself says whether a thread is the last of its process."""
    notes: tuple[str, ...]
    transport: Transport = Transport.RING

    @property
    def words(self) -> dict[str, int]:
        """Where the calls' records hold their fields, in 8-byte words, by `EVENT_FIELD`."""
        return {
            f"{format_.name}_{field.name}".upper(): field.offset // 8
            for format_ in self.calls
            for field in format_.fields
        }

    @property
    def programs(self) -> tuple[str, ...]:
        """The functions that hang on something."""
        names = [name for name in ("sys_enter_execve", "sys_enter_execveat") if any(c.name == name for c in self.calls)]
        if any(call.name.startswith("sys_exit_") for call in self.calls):
            names.append("sys_exit")
        if self.records_life or self.filters.tree:
            names += ["raw_fork", "raw_exec", "raw_exit"]
        return (*names, "raw_switch") if self.records_life else tuple(names)

    @property
    def records_life(self) -> bool:
        """True when forks, execs and exits are handed over from the scheduler's tracepoints."""
        return not (self.strict or self.failed_only)


def monitor_plan(
    offsets: Mapping[str, int], formats: Mapping[str, EventFormat], filters: Filters = NO_FILTERS, *,
    strict: bool, failed_only: bool, transport: Transport = Transport.RING,
) -> MonitorPlan:  # fmt: skip
    """The plan for a host with these offsets and those of `EVENTS` that it has. Raises Refused."""
    calls = tuple(formats[name] for name in _CALLS if name in formats)
    notes = []
    if not calls:
        why = "this kernel has no tracepoints of system calls (CONFIG_FTRACE_SYSCALLS)"
        if strict or failed_only:
            raise Refused("failed execs cannot be seen", why, "leave out --strict and --failed")
        notes.append(f"failed execs are not seen: {why}")
    exit_ = formats.get(_EXIT)
    says_dead = exit_ is not None and any(field.name == "group_dead" for field in exit_.fields)
    return MonitorPlan(filters, strict, failed_only, offsets, calls, says_dead, tuple(notes), transport)


def read_offsets(types: Types) -> list[int]:
    """What `OFFSETS` names, in bytes; raises Refused when this kernel's structures have other members."""
    try:
        return [*(types.member_offset(struct, member) for struct, member in _PATHS), types.layout("upid").size]
    except Missing as error:
        raise Refused("this kernel's processes cannot be monitored", str(error)) from None
