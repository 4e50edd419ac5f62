"""What was counted: lines for people, objects for JSON, histograms as bpftrace draws them, folded stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from tracescope.attach.ask.summary import KeyValue, SummaryPlan, SummaryRow
from tracescope.attach.symbols.stacks import Frame, Stack, fold, folded
from tracescope.printable import printable

__all__ = ("Frames", "folded_lines", "place_words", "range_words", "row_json", "stack_lines", "summary_lines")

Frames = Callable[[Stack], Sequence[Frame]]
"""Names a stack's frames, innermost first."""

_BAR = 52
_UNREADABLE = "(unreadable)"


def summary_lines(plan: SummaryPlan, rows: Iterable[SummaryRow], frames: Frames, top: int | None = None) -> list[str]:
    """The rows for people: the largest counts first, a histogram for each key."""
    found = list(rows)
    if plan.scale is None:
        ordered = sorted(found, key=lambda row: -row.count)[:top]
        return [line for row in ordered for line in _counted(plan, row, frames)]
    ordered = sorted(found, key=lambda row: (row.probe, repr(row.keys), row.bucket is None, row.bucket or 0))
    groups = [(place, list(same)) for place, same in groupby(ordered, key=lambda row: (row.probe, row.keys))]
    groups.sort(key=lambda group: -sum(row.count for row in group[1]))
    return [line for place, same in groups[:top] for line in _histogram(plan, *place, same, frames)]


def _counted(plan: SummaryPlan, row: SummaryRow, frames: Frames) -> Iterator[str]:
    sums = ""
    if row.total is not None and row.count:
        sums = f"  total {row.total:,}  average {row.total / row.count:,.1f}"
        if row.low is not None:
            sums += f"  from {row.low:,} to {row.high:,}"
    yield f"{row.count:12,}  {place_words(plan, row.probe, row.keys)}{sums}".rstrip()
    yield from stack_lines(row.keys, frames, " " * 14)


def _histogram(
    plan: SummaryPlan, probe: str, keys: tuple[KeyValue, ...], rows: Sequence[SummaryRow], frames: Frames
) -> Iterator[str]:
    yield place_words(plan, probe, keys)
    yield from stack_lines(keys, frames, "    ")
    known = {row.bucket: row.count for row in rows}
    most = max(known.values())
    buckets = [bucket for bucket in known if bucket is not None]
    for bucket in range(min(buckets), max(buckets) + 1) if buckets else ():
        yield _bar(range_words(plan, bucket), known.get(bucket, 0), most)
    if None in known:
        yield _bar(_UNREADABLE, known[None], most)
    yield ""


def _bar(label: str, count: int, most: int) -> str:
    return f"{label:20} {count:10,} |{'@' * (count * _BAR // most):{_BAR}}|"


def range_words(plan: SummaryPlan, bucket: int) -> str:
    """`[64, 128)`, `(..., 0)`, `[4K, ...)`."""
    assert plan.scale is not None
    low, high = plan.scale.bounds(bucket)
    if low is None:
        return f"(..., {_short(high or 0)})"
    return (
        f"[{_short(low)}, ...)"
        if high is None
        else f"[{_short(low)}]"
        if high == low + 1
        else f"[{_short(low)}, {_short(high)})"
    )


def _short(number: int) -> str:
    """Powers of 1024 by their letter, as bpftrace writes them."""
    for letter, power in (("T", 40), ("G", 30), ("M", 20), ("K", 10)):
        if number and number % (1 << power) == 0:
            return f"{number >> power}{letter}"
    return str(number)


def place_words(plan: SummaryPlan, probe: str, keys: Sequence[KeyValue]) -> str:
    """The keys by name, without stacks; the probe where there are several, or nothing else."""
    words = [
        f"{slot.name}={_UNREADABLE if key is None else key}"
        for slot, key in zip(plan.slots, keys, strict=True)
        if not slot.kind.is_stack
    ]
    names = [probe] if len(plan.plan.probes) > 1 or not words else []
    return printable("  ".join((*names, *words)))


def stack_lines(keys: Sequence[KeyValue], frames: Frames, margin: str) -> Iterator[str]:
    """A line a frame of the stacks among the keys, innermost first."""
    for key in keys:
        if isinstance(key, Stack):
            named = frames(key)
            yield from (printable(f"{margin}{frame.text}") for frame in named)
            if not named:
                yield f"{margin}(no stack)"


def folded_lines(rows: Iterable[SummaryRow], frames: Frames) -> list[str]:
    """The rows as a flame graph takes them: what is no stack first, then user frames, then the kernel's.

    Stacks that differ only in places inside the same functions are one line.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        words = [str(key) for key in row.keys if not isinstance(key, Stack)]
        stacks = sorted((key for key in row.keys if isinstance(key, Stack)), key=lambda stack: stack.pid is None)
        parts = [part for stack in stacks for part in folded(frames(stack), cut=stack.cut)]
        counts[tuple([*words, *parts] or [row.probe])] += row.count
    return [fold(parts, count) for parts, count in counts.most_common()]


def row_json(plan: SummaryPlan, row: SummaryRow, frames: Frames) -> dict[str, object]:
    """One row as an object: the keys by name, stacks as lists from the innermost frame on."""
    keys: dict[str, object] = {}
    for slot, key in zip(plan.slots, row.keys, strict=True):
        keys[slot.name] = [frame.text for frame in frames(key)] if isinstance(key, Stack) else key
    fields: dict[str, object] = {"probe": row.probe, "keys": keys, "count": row.count}
    if row.bucket is not None and plan.scale is not None:
        low, high = plan.scale.bounds(row.bucket)
        fields |= {name: bound for name, bound in (("low", low), ("high", high)) if bound is not None}
    elif row.total is not None:
        fields |= {"total": row.total, "min": row.low, "max": row.high}
    return {name: value for name, value in fields.items() if value is not None}
