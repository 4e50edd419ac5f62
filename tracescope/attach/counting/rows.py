"""What a summary's program has counted, out of its tables: keys as values, the CPUs' counts added up.

Input: the maps `totals` and `stacks` that `program.summary` and `program.stack` describe. Integers are in the machine's
byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from tracescope.attach.ask.summary import VALUE_UNREAD, Key, KeyKind, KeyValue, Slot, SummaryPlan, SummaryRow
from tracescope.attach.kernel import bpf
from tracescope.attach.record.values import until_nul
from tracescope.attach.symbols.stacks import DEPTH, Stack

__all__ = ("StackTable", "read_rows", "stack_pids")

_HEAD = struct.Struct("=II")
_NUMBER, _SIGNED, _PAIR = struct.Struct("=Q"), struct.Struct("=q"), struct.Struct("=qQ")
_STACK = struct.Struct(f"={DEPTH}Q")


class StackTable:
    """The stacks behind their numbers; what was read once is kept, for a stack never changes."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, ...]] = {}

    def stack(self, map_fd: int, number: int, pid: int | None = None) -> Stack:
        """A stack; a negative number is an errno."""
        if number < 0:
            return Stack((), pid, -number)
        frames = self._known.get(number)
        if frames is None:
            words = _STACK.unpack(bpf.map_lookup(map_fd, _NUMBER.pack(number), _STACK.size))
            frames = self._known[number] = words[: words.index(0)] if 0 in words else words
        return Stack(frames, pid)


def read_rows(plan: SummaryPlan, maps: dict[str, int], cpus: int, stacks: StackTable) -> list[SummaryRow]:
    """Everything counted up to now; `maps` are file descriptors by name."""
    rows = []
    for found, keys, values in bpf.map_batches(maps["totals"], plan.key_size, plan.value_size * cpus):
        totals = _totals(plan, values, found, cpus)
        for at in range(found):
            key = keys[at * plan.key_size : (at + 1) * plan.key_size]
            probe, unread = _HEAD.unpack_from(key)
            parts = zip(plan.slots, plan.readings[probe].keys, strict=True)
            shown = tuple(
                None if unread & 1 << number else _value(key, slot, one, maps, stacks)
                for number, (slot, one) in enumerate(parts)
            )
            measured = plan.valued and not unread & 1 << VALUE_UNREAD
            bucket = _SIGNED.unpack_from(key, plan.bucket_offset)[0] if plan.scale and measured else None
            count, *sums = totals[at]
            rows.append(SummaryRow(plan.plan.probes[probe].name, shown, count, bucket, *(sums if measured else ())))
    return rows


def _totals(plan: SummaryPlan, values: bytes, found: int, cpus: int) -> list[list[int]]:
    """For each element its count, and where values are looked at their sum, the smallest, the largest."""
    words = np.frombuffer(values, np.int64 if plan.signed else np.uint64).reshape(found, cpus, plan.value_size // 8)
    columns = [words[:, :, 0].sum(axis=1)]
    if plan.valued:
        # A CPU that has counted nothing knows no smallest value.
        some, limits = words[:, :, 0] != 0, np.iinfo(words.dtype)
        columns.append(words[:, :, 1].sum(axis=1))
        columns.append(np.where(some, words[:, :, 2], limits.max).min(axis=1))
        columns.append(np.where(some, words[:, :, 3], limits.min).max(axis=1))
    return np.stack(columns, axis=1).tolist()  # type: ignore[no-any-return]


def _value(key: bytes, slot: Slot, one: Key, maps: dict[str, int], stacks: StackTable) -> KeyValue:
    match slot.kind:
        case KeyKind.NUMBER:
            (number,) = _NUMBER.unpack_from(key, slot.offset)
            return _plain(one.show(number) if one.show else number)
        case KeyKind.KERNEL_STACK:
            return stacks.stack(maps["stacks"], _SIGNED.unpack_from(key, slot.offset)[0])
        case KeyKind.USER_STACK:
            number, pid = _PAIR.unpack_from(key, slot.offset)
            return stacks.stack(maps["stacks"], number, pid)
    return until_nul(key[slot.offset : slot.offset + slot.size])


def _plain(value: object) -> KeyValue:
    return value if isinstance(value, int | str | None) else str(value)


def stack_pids(plan: SummaryPlan, maps: dict[str, int], cpus: int) -> Iterator[int]:
    """The processes whose own stacks were taken, some of them several times."""
    offsets = [slot.offset for slot in plan.slots if slot.kind is KeyKind.USER_STACK]
    for found, keys, _ in bpf.map_batches(maps["totals"], plan.key_size, plan.value_size * cpus):
        for at in range(0, found * plan.key_size, plan.key_size):
            for offset in offsets:
                yield _PAIR.unpack_from(keys, at + offset)[1]
