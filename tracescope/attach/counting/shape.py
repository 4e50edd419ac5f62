"""What was counted as a picture needs it: histograms bucket by bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.attach.ask.summary import KeyValue, SummaryRow

__all__ = ("Histogram", "Place", "histograms")

Place: TypeAlias = tuple[str, tuple[KeyValue, ...]]
"""A probe, and the values of its keys."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The counts of one key by bucket; those of values that could not be read under None."""

    probe: str
    keys: tuple[KeyValue, ...]
    counts: dict[int | None, int]

    @property
    def place(self) -> Place:
        """What tells it from the others."""
        return self.probe, self.keys

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
