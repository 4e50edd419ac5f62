"""The words of the field as types: probe, field, signature, symbol, verdict. Frozen, slotted, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = (
    "Answer",
    "EventFormat",
    "Field",
    "FlagTable",
    "Parameter",
    "ProbeKind",
    "Reason",
    "Signature",
    "SourceReport",
    "SourceState",
    "Stability",
    "Symbol",
    "Verdict",
)


class ProbeKind(StrEnum):
    """What one can attach to, spelled as bpftrace spells it."""

    TRACEPOINT = "tracepoint"
    RAWTRACEPOINT = "rawtracepoint"
    FENTRY = "fentry"
    FEXIT = "fexit"
    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"
    UPROBE = "uprobe"
    URETPROBE = "uretprobe"
    USDT = "usdt"
    SOFTWARE = "software"
    HARDWARE = "hardware"
    CACHE = "cache"
    PMU = "pmu"
    PROFILE = "profile"
    """A timer on every CPU."""
    INTERVAL = "interval"
    """A timer on one CPU."""


class Stability(StrEnum):
    """How likely a probe is to survive the next kernel, best first."""

    STABLE = "stable"
    """A tracepoint: kept by convention."""
    TYPED = "typed"
    """A raw tracepoint, fentry or fexit: BTF describes the arguments, the kernel may change them."""
    UNSTABLE = "unstable"
    """A kprobe on a plain function."""
    FRAGILE = "fragile"
    """A kprobe on a compiler-made copy (`.isra`, `.constprop`, `.part`, `.cold`)."""


class SourceState(StrEnum):
    """What became of one source of knowledge."""

    WAITING = "waiting"
    READING = "reading"
    OK = "ok"
    ABSENT = "absent"
    FORBIDDEN = "forbidden"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source's state: how many rows it gave, in how many seconds, or why it gave none."""

    name: str
    state: SourceState
    count: int = 0
    seconds: float = 0.0
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A row of /proc/kallsyms. `address` is 0 where the kernel hides it; `module` is empty for the core kernel."""

    address: int
    type: str
    name: str
    module: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a tracepoint's record.

    Source: Documentation/trace/events.rst, "Event formats". `type` is the declaration without name and array
    (`const char *`, `char`, `u8`); offset and size are bytes.
    """

    name: str
    type: str
    offset: int
    size: int
    signed: bool
    array: str | None = None
    """The text between the brackets (`16`, empty for `char[]`), or None for no array."""
    location: str = ""
    """`__data_loc` or `__rel_loc` when the record holds an offset and a length instead of the bytes."""

    @property
    def full_type(self) -> str:
        """The type as bpftrace prints it: `char[16]`, `__data_loc char[]`, `const char *`."""
        text = self.type if self.array is None else f"{self.type}[{self.array}]"
        return f"{self.location} {text}" if self.location else text

    @property
    def declaration(self) -> str:
        """The field as `bpftrace -lv` writes it: `char comm[16]`, `__data_loc char[] filename`."""
        if self.location:
            return f"{self.full_type} {self.name}"
        return f"{self.type} {self.name}" if self.array is None else f"{self.type} {self.name}[{self.array}]"


@dataclass(frozen=True, slots=True)
class FlagTable:
    """A `__print_symbolic` (one name a value) or `__print_flags` (a set joined by `delimiter`) table of a print fmt."""

    field: str
    kind: str
    """`symbolic` or `flags`."""
    names: tuple[tuple[int, str], ...]
    """Value and name in the kernel's order: it compares modulo 2**64, and takes the first that fits."""
    delimiter: str = "|"
    expression: str = ""
    """The C text that the table is applied to: `REC->flags`, or more: `REC->flags & 0xff`."""


@dataclass(frozen=True, slots=True)
class EventFormat:
    """One tracefs `events/<group>/<name>/format` file."""

    group: str
    name: str
    id: int
    fields: tuple[Field, ...]
    common: tuple[Field, ...] = ()
    print_fmt: str = ""

    @property
    def probe(self) -> str:
        """The full name, `tracepoint:group:name`."""
        return f"tracepoint:{self.group}:{self.name}"

    @property
    def size(self) -> int:
        """The fixed part of a record, in bytes."""
        return max((f.offset + f.size for f in (*self.common, *self.fields)), default=0)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, its type written as C."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's C prototype, from BTF."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    variadic: bool = False

    @property
    def prototype(self) -> str:
        """The prototype as C: `ssize_t vfs_read(struct file * file, …)`."""
        inside = [f"{p.type} {p.name}".rstrip() for p in self.parameters]
        if self.variadic:
            inside.append("...")
        return f"{self.returns} {self.name}({', '.join(inside) or 'void'})"


class Answer(StrEnum):
    """Can it be attached?"""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a probe can not, or perhaps not, be attached. `catalog.verdict` holds each one's sentence and fix."""

    NOT_TEXT = "not-text"
    NOT_FUNCTION = "not-function"
    GENERATED_TEXT = "generated-text"
    INIT = "init"
    PADDING = "padding"
    BLACKLISTED = "blacklisted"
    NOTRACE = "notrace"
    NOT_IN_FTRACE = "not-in-ftrace"
    ALIAS = "alias"
    AMBIGUOUS = "ambiguous"
    SUFFIXED = "suffixed"
    COLD = "cold"
    INLINED = "inlined"
    NO_BTF = "no-btf"
    NO_KPROBES = "no-kprobes"
    LOCKDOWN = "lockdown"
    FTRACE_FORBIDDEN = "ftrace-forbidden"
    FTRACE_ABSENT = "ftrace-absent"
    BLACKLIST_UNREAD = "blacklist-unread"
    DANGEROUS = "dangerous"
    FTRACE_GROUP = "ftrace-group"
    VARIADIC = "variadic"
    MANY_ARGUMENTS = "many-arguments"
    TOO_MANY_ARGUMENTS = "too-many-arguments"
    BY_VALUE = "by-value"
    LARGE_BY_VALUE = "large-by-value"
    DISAGREE = "sources-disagree"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Can it be attached, and the reason codes that decided, in the order of the checks."""

    answer: Answer
    reasons: tuple[Reason, ...] = field(default=())
