"""What is counted in the kernel instead of handed over: by which keys, of which value, on which scale. Pure.

Several probes in one session share names and kinds of keys; where each one's values lie differs. The probe itself is
always a part of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import Code
from tracescope.attach.record.values import Value
from tracescope.attach.symbols.stacks import Stack
from tracescope.errors import Refused, UsageError

__all__ = (
    "ENTRIES",
    "STACKS",
    "VALUE_UNREAD",
    "Key",
    "KeyKind",
    "KeyValue",
    "Linear",
    "Measure",
    "Pow2",
    "Reading",
    "Scale",
    "Slot",
    "SummaryPlan",
    "SummaryRow",
    "difference",
    "summary_plan",
)

ENTRIES = 16_384
"""How many different keys a table holds, unless more are asked for; each bucket of a histogram takes one."""
STACKS = 16_384
"""How many different stacks are kept: 1 KiB each."""
VALUE_UNREAD = 31
"""The bit of `unread` that stands for the value."""
_HEAD = 8
# The key is put together on the program's stack of 512 bytes, where filters and expressions need room too.
_MAX_KEY = 240
_MAX_BUCKETS = 1000
_WORD = 64


class KeyKind(StrEnum):
    """What one part of a key is."""

    NUMBER = "number"
    """An integer or pointer: 8 bytes."""
    TEXT = "text"
    """Bytes up to a NUL, behind an address."""
    COMM = "comm"
    """The name of the thread."""
    KERNEL_STACK = "kstack"
    USER_STACK = "ustack"

    @property
    def is_stack(self) -> bool:
        """True for the stacks."""
        return self in (KeyKind.KERNEL_STACK, KeyKind.USER_STACK)


@dataclass(frozen=True, slots=True)
class Key:
    """A part of one probe's key: `code` gives a number or the address of a text, the other kinds need none."""

    kind: KeyKind
    code: Code | None = None
    size: int = 8
    """The most bytes of a text, with its NUL."""
    user: bool = False
    """The text's address is one of the traced process."""
    show: Callable[[int], Value] | None = None
    """From the number to what is shown for it."""

    @property
    def room(self) -> int:
        """The bytes that it takes in the table's key."""
        match self.kind:
            case KeyKind.NUMBER | KeyKind.KERNEL_STACK:
                return 8
            case KeyKind.TEXT:
                return -(-self.size // 8) * 8
        # A name, or the stack's number and the process that it is in.
        return 16


@dataclass(frozen=True, slots=True)
class Measure:
    """The value of an event: an integer of 64 bits."""

    code: Code
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of one probe's events: its keys in the order of their names, and the value if there is one."""

    keys: tuple[Key, ...] = ()
    value: Measure | None = None


@dataclass(frozen=True, slots=True)
class Pow2:
    """One bucket for all negative values, one for 0, one for 1, then [2, 4), [4, 8) and so on."""

    def bounds(self, bucket: int) -> tuple[int | None, int | None]:
        """The least value of a bucket and the least above it; None where there is none."""
        if bucket <= 1:
            return (0, 1) if bucket else (None, 0)
        return 1 << bucket - 2, 1 << bucket - 1


@dataclass(frozen=True, slots=True)
class Linear:
    """Buckets of `step` from `low` up to `high`, one for what is below, one for what is above. Raises UsageError."""

    low: int
    high: int
    step: int

    def __post_init__(self) -> None:
        if self.step < 1 or self.low >= self.high:
            raise UsageError(
                f"{self.low}:{self.high}:{self.step} is no scale", "it takes LOW below HIGH, and a STEP of 1 or more"
            )
        if self.low < -(1 << _WORD - 1) or self.high >= 1 << _WORD - 1:
            raise UsageError(f"{self.low}:{self.high} is no scale", "the kernel counts with 64 bits")
        if self.buckets > _MAX_BUCKETS:
            raise UsageError(f"{self.buckets} buckets are too many", f"at most {_MAX_BUCKETS}", "take a larger STEP")

    @property
    def buckets(self) -> int:
        """How many there are between `low` and `high`."""
        return -(-(self.high - self.low) // self.step)

    def bounds(self, bucket: int) -> tuple[int | None, int | None]:
        """The least value of a bucket and the least above it; None where there is none."""
        if bucket <= 0:
            return None, self.low
        start = self.low + (bucket - 1) * self.step
        return (self.high, None) if bucket > self.buckets else (start, min(start + self.step, self.high))


Scale: TypeAlias = Pow2 | Linear
KeyValue: TypeAlias = int | bool | str | Stack | None


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one part of the key lies in the table's key, in bytes."""

    name: str
    kind: KeyKind
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class SummaryPlan:
    """Everything that the program text, the session and the reading need to agree on.

    Without a scale events are counted, and with values summed up; with one their values fall into buckets.
    """

    plan: Plan
    slots: tuple[Slot, ...]
    readings: tuple[Reading, ...]
    """By probe."""
    scale: Scale | None
    entries: int
    stacks: int

    @property
    def valued(self) -> bool:
        """True when a value of each event is looked at."""
        return self.readings[0].value is not None

    @property
    def signed(self) -> bool:
        """True unless every probe's values are unsigned."""
        return any(reading.value.signed for reading in self.readings if reading.value)

    @property
    def bucket_offset(self) -> int:
        """Where the bucket lies in the key: behind all its parts."""
        return _HEAD + sum(slot.size for slot in self.slots)

    @property
    def key_size(self) -> int:
        """The table's key, in bytes."""
        return self.bucket_offset + (8 if self.scale else 0)

    @property
    def value_size(self) -> int:
        """The table's value for one CPU, in bytes: count, and of values sum, smallest, largest."""
        return 32 if self.valued else 8

    @property
    def stacked(self) -> frozenset[KeyKind]:
        """The kinds of stacks among the keys."""
        return frozenset(slot.kind for slot in self.slots if slot.kind.is_stack)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What was counted under one key, or in one bucket of it; a key that could not be read is None."""

    probe: str
    keys: tuple[KeyValue, ...]
    count: int
    bucket: int | None = None
    """On the plan's scale; None without one, and for values that could not be read."""
    total: int | None = None
    """The sum of the values, modulo 2**64; `low` and `high` are the smallest and the largest one."""
    low: int | None = None
    high: int | None = None

    @property
    def place(self) -> tuple[str, tuple[KeyValue, ...], int | None]:
        """What tells it from the other rows."""
        return self.probe, self.keys, self.bucket


def summary_plan(
    plan: Plan, names: Sequence[str], readings: Sequence[Reading], scale: Scale | None = None,
    *, entries: int = ENTRIES, stacks: int = STACKS,
) -> SummaryPlan:  # fmt: skip
    """Lay out the table of a summary; raises Refused."""
    slots, offset = [], _HEAD
    for number, name in enumerate(names):
        keys = [reading.keys[number] for reading in readings]
        kind, room = keys[0].kind, max(key.room for key in keys)
        for probe, key in zip(plan.probes, keys, strict=True):
            if key.kind is not kind:
                why = f"it is a {kind} of {plan.probes[0].name} and a {key.kind} of {probe.name}"
                raise Refused(f"{name} is no key of all probes", why, "attach them apart")
        slots.append(Slot(name, kind, offset, room))
        offset += room
    if offset + 8 > _MAX_KEY:
        raise Refused(f"the keys take {offset} bytes", f"a program has room for {_MAX_KEY - 8}", "name fewer keys")
    if len(names) >= VALUE_UNREAD:
        raise Refused(f"{len(names)} keys are too many", f"at most {VALUE_UNREAD - 1}", "name fewer keys")
    return SummaryPlan(plan, tuple(slots), tuple(readings), scale, entries, stacks)


def difference(now: Iterable[SummaryRow], before: Iterable[SummaryRow]) -> list[SummaryRow]:
    """What was counted between two readings of one session; smallest and largest values are not known of it."""
    known = {row.place: row for row in before}
    rows = []
    for row in now:
        was = known.get(row.place)
        if was is None:
            rows.append(row)
        elif row.count > was.count:
            total = None if row.total is None or was.total is None else row.total - was.total
            rows.append(replace(row, count=row.count - was.count, total=total, low=None, high=None))
    return rows
