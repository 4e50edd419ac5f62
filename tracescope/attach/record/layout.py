"""Where everything lies in a probe's record: the header, the words that it carries, what was read beside them. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tracescope.attach.targets.target import Shape, Target
from tracescope.errors import Refused
from tracescope.model import EventFormat, Field

__all__ = ("HEADER", "Capture", "CaptureKind", "Code", "FieldLayout", "PlannedProbe", "lay_out")

HEADER = struct.Struct("=QIIIIII16s")
"""`struct record` in the program: time_ns, cpu, probe, pid, tid, ppid, flags, comm."""

# The kernel puts a pointer over the first 8 bytes of what a program on a tracepoint sees.
_HIDDEN = 8
_SHIFT = HEADER.size - _HIDDEN
# The verifier lets a program read no further (PERF_MAX_TRACE_SIZE of the older kernels).
_MAX_RAW = 2048
# All dynamic parts of one event together: a path fits, and so does the scratch space in a per-CPU map.
_MAX_DYNAMIC = 4096
# What waits between entry and return lies on a program's stack of 512 bytes on its way into the map.
_MAX_KEPT = 256
# Each has a bit in the record's flags.
_MAX_CAPTURES = 31


class Code(Protocol):
    """C text that gives a value: statements that come first, an expression, and one that is true when it failed."""

    @property
    def definitions(self) -> str:
        """Functions, for above the probe's own; or empty."""
        ...

    @property
    def statements(self) -> str:
        """Declarations and statements, each on a line of its own; empty, or ending in a line feed."""
        ...

    @property
    def value(self) -> str:
        """An expression."""
        ...

    @property
    def failed(self) -> str:
        """An expression, or `0`."""
        ...


class CaptureKind(StrEnum):
    """What is read in addition to the words that the probe carries."""

    NUMBER = "number"
    """An integer or pointer: 8 bytes."""
    TEXT = "text"
    """Bytes up to a NUL."""
    BYTES = "bytes"
    """So many bytes."""
    PATH = "path"
    """The names from a file up to the root, each with its NUL."""
    KERNEL_STACK = "kstack"
    """The addresses of the kernel's stack, the innermost first, 8 bytes each; `code` is not looked at."""
    USER_STACK = "ustack"
    """The same of the process's own stack."""


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
class Capture:
    """A value that the program reads: `code` gives the number, or the address; its slot holds the number or the length.

    A slot of TEXT, BYTES or PATH holds how many bytes there are (at most `size` follow), 0 for a NULL pointer, or
    -errno.
    """

    name: str
    kind: CaptureKind
    code: Code
    size: int = 0
    """At most so many bytes are read of TEXT, BYTES, PATH."""
    length: Code | None = None
    """How many bytes of BYTES there are; without it `size`."""
    user: bool = False
    decode: Callable[[Any], Any] | None = None
    """From the number or the bytes to the value that is shown; without it the number, the text, raw bytes, the path."""
    phase: str = ""
    """Of a system call's argument: whether the bytes are the caller's (`enter`), or the kernel's answer (`exit`)."""
    again: bool = False
    """What was not in memory at a system call's entry is read again when it returns."""

    @property
    def dynamic(self) -> bool:
        """True when bytes come behind the fixed parts."""
        return self.kind is not CaptureKind.NUMBER


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One probe: `raw` bytes are copied from offset 8 on; each dynamic part adds up to `cap` bytes."""

    index: int
    target: Target
    fields: tuple[FieldLayout, ...]
    raw: int
    cap: int = 0
    captures: tuple[Capture, ...] = ()
    condition: Code | None = None
    """What must be true of an event that is handed over."""
    shared: str = ""
    """The function of a program that serves other probes too, and knows by a cookie which one it is."""

    @property
    def format(self) -> EventFormat:
        """What the probe carries."""
        return self.target.format

    @property
    def shape(self) -> Shape:
        """How the program finds it."""
        return self.target.shape

    @property
    def end(self) -> Target | None:
        """The other end, when both are one event: its result and the time between follow the words."""
        return self.target.end

    @property
    def name(self) -> str:
        """The full name."""
        return self.target.probe

    @property
    def function(self) -> str:
        """The C function's name."""
        return self.shared or f"probe_{self.index}"

    @property
    def begin(self) -> str:
        """The C function's name at the entry, when both ends are one event."""
        return f"begin_{self.index}"

    @property
    def dynamic(self) -> tuple[FieldLayout, ...]:
        """The fields whose bytes come behind the fixed parts, in that order; those of captures come after them."""
        return tuple(layout for layout in self.fields if layout.dynamic)

    @property
    def words(self) -> int:
        """How many 8-byte words are copied."""
        return -(-self.raw // 8)

    @property
    def result_offset(self) -> int:
        """Where the result and then the duration lie, when both ends are one event."""
        return HEADER.size + 8 * self.words

    @property
    def slots_offset(self) -> int:
        """Where the captures' slots begin."""
        return self.result_offset + (16 if self.end else 0)

    @property
    def fixed_size(self) -> int:
        """Header and fixed parts, in bytes, a multiple of 8."""
        return self.slots_offset + 8 * len(self.captures)

    @property
    def dynamic_parts(self) -> int:
        """How many parts follow the fixed ones."""
        return len(self.dynamic) + sum(capture.dynamic for capture in self.captures)

    @property
    def text_size(self) -> int:
        """The room for all dynamic parts."""
        return self.cap * len(self.dynamic) + sum(capture.size for capture in self.captures if capture.dynamic)

    @property
    def waits(self) -> bool:
        """True when a record is kept until the call returns if something was not in memory at its entry."""
        return any(capture.again for capture in self.captures)

    @property
    def varies(self) -> bool:
        """True when two records of this probe may differ in size."""
        return self.shape is Shape.EXEC or self.dynamic_parts > 0


def lay_out(
    index: int, target: Target, captures: tuple[Capture, ...] = (), condition: Code | None = None
) -> PlannedProbe:
    """The layout of one probe's record; raises Refused."""
    chosen = target.format.fields
    last = max((field.offset + field.size for field in chosen), default=_HIDDEN)
    if last > _MAX_RAW or any(field.offset < _HIDDEN for field in chosen):
        raise Refused(f"{target.probe} cannot be attached", f"its record of {last} bytes is laid out in an unknown way")
    if target.end is not None and last - _HIDDEN > _MAX_KEPT:
        raise Refused(f"{target.probe} cannot be paired with its end", f"it carries {last} bytes", "leave out --pair")
    if len(captures) > _MAX_CAPTURES:
        raise Refused(f"{len(captures)} values cannot be read at once", f"at most {_MAX_CAPTURES}", "name fewer")
    dynamic = sum(1 for field in chosen if field.location)
    cap = min(_MAX_DYNAMIC, 2 * _MAX_DYNAMIC // dynamic) if dynamic else 0
    layout = tuple(FieldLayout(field, field.offset + _SHIFT) for field in chosen)
    return PlannedProbe(index, target, layout, last - _HIDDEN, cap, captures, condition)
