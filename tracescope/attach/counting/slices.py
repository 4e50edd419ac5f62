"""What came in each slice of time, bucket by bucket: of all keys together, and of the keys counted most alone. Pure."""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import nlargest
from typing import TypeAlias

from tracescope.attach.ask.summary import SummaryRow
from tracescope.attach.counting.shape import Place

__all__ = ("Column", "Slices", "bucket_range")

Column: TypeAlias = Mapping[int, int]
"""The events of one slice of time by bucket; a bucket without any may be absent."""

_KEYS = 64
_CELLS = 250_000
_CELL = struct.Struct("=qQ")
"""A bucket and its events: as bytes a slice of a key takes a quarter of what a dict does."""


class Slices:
    """The newest `kept` slices of time, of all keys together and of some alone.

    Alone are kept the `keys` keys that were counted most up to now, and the one that is chosen; together at most
    `cells` buckets of slices, some 15 MB: beyond that their oldest slices go.
    """

    def __init__(self, kept: int = 600, *, keys: int = _KEYS, cells: int = _CELLS) -> None:
        self.slices: deque[Counter[int]] = deque(maxlen=kept)
        """All keys together."""
        self.keys = keys
        """How many keys are kept alone, beside the chosen one."""
        self.chosen: Place | None = None
        """The key that is kept in any case."""
        self._known: dict[Place, dict[int | None, int]] = {}
        """What was counted up to the end of the last slice."""
        self._alone: dict[Place, deque[bytes]] = {}
        self._most, self._cells = cells, 0

    def add(self, rows: Sequence[SummaryRow]) -> None:
        """What was counted since the session's begin, at the end of a slice."""
        counts: Counter[int] = Counter()
        grown: dict[Place, dict[int | None, int]] = {}
        fresh = set()
        # Thousands of rows, several times a second: no row is made for a difference.
        for row in rows:
            place, bucket, count = (row.probe, row.keys), row.bucket, row.count
            known = self._known.get(place)
            if known is None:
                known = self._known[place] = {}
                fresh.add(place)
            came = count - known.get(bucket, 0)
            if came > 0:
                known[bucket] = count
                grown.setdefault(place, {})[bucket] = came
                if bucket is not None:
                    counts[bucket] += came
        earlier = min(len(self.slices), self._kept - 1)
        self.slices.append(counts)
        self._keep(grown)
        for place in self._alone.keys() & fresh:
            if not self._alone[place]:
                # Nothing came of it before: that is known.
                self._alone[place].extend([b""] * earlier)
        self._append(grown)

    def columns(self, place: Place | None = None) -> list[Column | None]:
        """The slices of one key, or of all together, the oldest first; None for one that was not kept."""
        if place is None:
            return list(self.slices)
        known = self._alone.get(place, ())
        missing: list[Column | None] = [None] * (len(self.slices) - len(known))
        return [*missing, *(dict(_CELL.iter_unpack(one)) for one in known)]

    @property
    def alone(self) -> Collection[Place]:
        """The keys whose own slices are kept."""
        return self._alone.keys()

    @property
    def _kept(self) -> int:
        assert self.slices.maxlen is not None
        return self.slices.maxlen

    def _keep(self, grown: Collection[Place]) -> None:
        """Only a key that has grown can be among the largest and was not before."""
        candidates = {*self._alone, *grown}
        wanted = {*nlargest(self.keys, candidates, key=self._total)}
        if self.chosen is not None:
            wanted.add(self.chosen)
        for place in self._alone.keys() - wanted:
            self._cells -= sum(map(_cells_of, self._alone.pop(place)))
        for place in wanted - self._alone.keys():
            self._alone[place] = deque()

    def _total(self, place: Place) -> int:
        return sum(self._known.get(place, {}).values())

    def _append(self, grown: Mapping[Place, Mapping[int | None, int]]) -> None:
        for place, series in self._alone.items():
            cells = grown.get(place, {}).items()
            series.append(b"".join(_CELL.pack(bucket, count) for bucket, count in cells if bucket is not None))
            self._cells += _cells_of(series[-1])
            if len(series) > self._kept:
                self._cells -= _cells_of(series.popleft())
        while self._cells > self._most:
            longest = max(map(len, self._alone.values()))
            for series in self._alone.values():
                if len(series) == longest:
                    self._cells -= _cells_of(series.popleft())


def _cells_of(packed: bytes) -> int:
    return len(packed) // _CELL.size


def bucket_range(columns: Iterable[Column | None]) -> range:
    """From the lowest bucket to the highest that any column has."""
    known = {bucket for one in columns if one for bucket in one}
    return range(min(known), max(known) + 1) if known else range(0)
