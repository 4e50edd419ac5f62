"""What was counted as a picture needs it: histograms bucket by bucket, and what came in each slice of time. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracescope.attach.ask.summary import KeyValue, SummaryRow, difference

__all__ = ("Histogram", "Slices", "histograms")


@dataclass(frozen=True, slots=True)
class Histogram:
    """The counts of one key by bucket; those of values that could not be read under None."""

    probe: str
    keys: tuple[KeyValue, ...]
    counts: dict[int | None, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def buckets(self) -> list[int | None]:
        """From the lowest to the highest with those between, then the unreadable."""
        known = [bucket for bucket in self.counts if bucket is not None]
        between: list[int | None] = list(range(min(known), max(known) + 1)) if known else []
        return between + ([None] if None in self.counts else [])


def histograms(rows: Iterable[SummaryRow]) -> list[Histogram]:
    """One for each key, the largest first."""
    found: dict[tuple[str, tuple[KeyValue, ...]], dict[int | None, int]] = {}
    for row in rows:
        counts = found.setdefault((row.probe, row.keys), {})
        counts[row.bucket] = counts.get(row.bucket, 0) + row.count
    made = [Histogram(probe, keys, counts) for (probe, keys), counts in found.items()]
    return sorted(made, key=lambda one: (-one.total, one.probe, repr(one.keys)))


class Slices:
    """How many events each bucket got in each slice of time, the newest last; of all keys together."""

    def __init__(self, kept: int = 600) -> None:
        self.slices: deque[Counter[int]] = deque(maxlen=kept)
        self._before: Sequence[SummaryRow] = ()

    def add(self, rows: Sequence[SummaryRow]) -> None:
        """What was counted since the session's begin, at the end of a slice."""
        counts: Counter[int] = Counter()
        for row in difference(rows, self._before):
            if row.bucket is not None:
                counts[row.bucket] += row.count
        self._before = rows
        self.slices.append(counts)

    @property
    def buckets(self) -> range:
        """From the lowest to the highest that any slice has."""
        known = [bucket for one in self.slices for bucket in one]
        return range(min(known), max(known) + 1) if known else range(0)
