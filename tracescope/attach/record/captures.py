"""What is read in addition to a probe's own words because their types lead there: strings, paths, names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracescope.attach.record.layout import Capture, CaptureKind
from tracescope.attach.record.offsets import ObjectOffsets
from tracescope.attach.record.path import PATH_BYTES
from tracescope.attach.symbols.stacks import DEPTH
from tracescope.attach.targets.target import Shape, Target
from tracescope.attach.targets.words import field_value
from tracescope.model import Field

__all__ = ("STACK_NAMES", "Plain", "default_captures", "stack_captures")

STACK_NAMES = {kind: f"{kind}()" for kind in (CaptureKind.KERNEL_STACK, CaptureKind.USER_STACK)}
"""What the stacks are called among the values that were read."""

_STRING_BYTES = 1024
_COMM_BYTES = 16
_MOST = 8
_WITHOUT = frozenset({Shape.SYSCALL, Shape.EXEC, Shape.SAMPLE})


@dataclass(frozen=True, slots=True)
class Plain:
    """C text as it is."""

    value: str
    statements: str = ""
    failed: str = "0"
    definitions: str = ""


def default_captures(target: Target, objects: ObjectOffsets | None) -> tuple[Capture, ...]:
    """What well-known types lead to, at most so many.

    Text behind `const char *`, the path of a `struct file` or `struct path`, the name of a `struct dentry`, pid and
    command name of a `struct task_struct`.
    """
    if target.shape in _WITHOUT or target.user:
        return ()
    kept = target.end is not None
    found = (
        capture
        for field in target.format.fields
        if field.array is None and field.type.endswith("*")
        for capture in _of(field, field_value(target, field, kept=kept), objects)
    )
    return tuple(capture for capture, _ in zip(found, range(_MOST), strict=False))


def stack_captures(kinds: Iterable[CaptureKind]) -> tuple[Capture, ...]:
    """The stacks of these kinds, under names that no expression has."""
    return tuple(Capture(STACK_NAMES[kind], kind, Plain("0"), 8 * DEPTH) for kind in dict.fromkeys(kinds))


def _of(field: Field, value: str, objects: ObjectOffsets | None) -> Iterator[Capture]:
    type_ = re.sub(r"\b(const|volatile|restrict)\b", "", field.type)
    words = re.sub(r"\s*\*$", "", " ".join(type_.split()))
    if words == "char" and "const" in field.type:
        yield Capture(field.name, CaptureKind.TEXT, Plain(value), _STRING_BYTES)
    elif objects is None:
        return
    elif words == "struct file":
        yield Capture(field.name, CaptureKind.PATH, _offset(value, objects.f_path), PATH_BYTES)
    elif words == "struct path":
        yield Capture(field.name, CaptureKind.PATH, Plain(f"(u64){value}"), PATH_BYTES)
    elif words == "struct dentry":
        name = f"u64 name = {value} ? pointer_at({value} + {objects.d_name}) : 0;\n"
        yield Capture(field.name, CaptureKind.TEXT, Plain("name", name), _STRING_BYTES)
    elif words == "struct task_struct":
        pid = f"u64 pid = {value} ? (u32)pointer_at({value} + {objects.task_pid}) : 0;\n"
        yield Capture(f"{field.name}->pid", CaptureKind.NUMBER, Plain("pid", pid))
        yield Capture(f"{field.name}->comm", CaptureKind.TEXT, _offset(value, objects.task_comm), _COMM_BYTES)


def _offset(value: str, offset: int) -> Plain:
    """A member's address; 0 of a pointer that is NULL."""
    return Plain("at", f"u64 at = {value};\nat = at ? at + {offset} : 0;\n")
