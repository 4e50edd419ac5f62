"""What a session hangs on: a probe by name, the words that a program sees there, and where it is attached. Pure.

Every kind of probe carries an event format: a tracepoint its own, a function one made of its BTF prototype. Offsets are
those of a tracepoint's record, whose first 8 bytes are hidden: the first word is at 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tracescope.model import EventFormat, Field, FlagTable, ProbeKind
from tracescope.sources.usdt import UsdtArgument

__all__ = (
    "FunctionPlace",
    "PerfPlace",
    "Place",
    "Shape",
    "Target",
    "TracepointPlace",
    "UserPlace",
    "UserSite",
    "as_call",
    "returns",
    "tracepoint",
    "word_fields",
    "words_format",
)

_WORD = 8
_EXEC_CALLS = ("sys_enter_execve", "sys_enter_execveat")


class Shape(StrEnum):
    """How the program finds what the probe carries."""

    RECORD = "record"
    """The tracepoint's own record, with the bytes of its dynamic fields behind it."""
    SYSCALL = "syscall"
    """The number and the arguments, or the result, of a system call: all that the kernel hands to BPF."""
    EXEC = "exec"
    """The arguments of execve or execveat, and the text that they point to."""
    WORDS = "words"
    """8-byte words from the context on: raw tracepoint, fentry, fexit."""
    REGISTERS = "registers"
    """The arguments of a function in registers, as at its entry: kprobe, uprobe."""
    RESULT = "result"
    """What a function returns, in its register: kretprobe, uretprobe."""
    OPERANDS = "operands"
    """Each argument where a USDT note says."""
    SAMPLE = "sample"
    """A sample of a perf event: instruction pointer, period, address."""


@dataclass(frozen=True, slots=True)
class TracepointPlace:
    """A tracepoint, by its id; a raw one by its name alone (`id` 0)."""

    name: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class FunctionPlace:
    """A function of the kernel, or of a module."""

    name: str
    module: str = ""
    offset: int = 0
    btf_id: int = 0
    """Its BTF type id, for fentry and fexit."""
    second_name: bool = False
    """ftrace lists the function by another name."""


@dataclass(frozen=True, slots=True)
class UserSite:
    """A place in a file: offsets in bytes; `semaphore` 0 when there is none to raise."""

    offset: int
    semaphore: int = 0
    operands: tuple[UsdtArgument, ...] = ()


@dataclass(frozen=True, slots=True)
class UserPlace:
    """Places in a program or library."""

    path: str
    sites: tuple[UserSite, ...]
    pid: int = -1
    """Only this process; -1: all."""


@dataclass(frozen=True, slots=True)
class PerfPlace:
    """A perf event: sampled once in `period` events, or `frequency` times a second; on one CPU or on all."""

    type: int
    config: int
    period: int = 0
    frequency: int = 0
    one_cpu: bool = False


Place: TypeAlias = TracepointPlace | FunctionPlace | UserPlace | PerfPlace


@dataclass(frozen=True, slots=True)
class Target:
    """One probe, ready to be planned."""

    kind: ProbeKind
    probe: str
    """The full name."""
    format: EventFormat
    shape: Shape
    place: Place
    types: tuple[int | None, ...] = ()
    """By field: its type in BTF, where that is known."""
    tables: tuple[FlagTable, ...] = ()
    """Names of values that BTF knows, by field."""
    user: bool = False
    """Pointers lead to the memory of the traced process."""
    end: Target | None = None
    """The function's or system call's end, when both are one event."""


def tracepoint(format_: EventFormat) -> Target:
    """The tracepoint of an event format."""
    shape = Shape.RECORD
    if format_.group == "syscalls":
        # Fields like `__filename_val` are in ftrace's record only: to BPF the kernel hands number and arguments.
        format_ = replace(format_, fields=tuple(field for field in format_.fields if not field.location))
        names = " ".join(field.name for field in format_.fields)
        is_exec = format_.name in _EXEC_CALLS and "filename argv envp" in names
        shape = Shape.EXEC if is_exec else Shape.SYSCALL
    place = TracepointPlace(format_.name, format_.id)
    user = shape is not Shape.RECORD
    return Target(ProbeKind.TRACEPOINT, format_.probe, format_, shape, place, user=user)


def as_call(target: Target) -> Target:
    """An execve as any other system call, without the text that its arguments lead to."""
    return replace(target, shape=Shape.SYSCALL) if target.shape is Shape.EXEC else target


def returns(target: Target) -> bool:
    """True when the probe is at a function's or system call's end."""
    return target.shape is Shape.RESULT or (
        target.shape is Shape.SYSCALL and [field.name for field in target.format.fields[1:]] == ["ret"]
    )


def word_fields(rows: Iterable[tuple[str, str, int, bool]], *, first: int = 0) -> tuple[Field, ...]:
    """Fields of (name, type, size in bytes, signed), each in a word of its own; a larger one takes several."""
    fields, word = [], first
    for name, type_, size, signed in rows:
        fields.append(Field(name, type_, _WORD * (word + 1), size, signed))
        word += max(1, -(-size // _WORD))
    return tuple(fields)


def words_format(group: str, name: str, fields: Sequence[Field]) -> EventFormat:
    """The event format of a probe that has none of its own."""
    return EventFormat(group, name, 0, tuple(fields))
