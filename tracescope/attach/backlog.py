"""Records that were read and not yet taken: bounded, the oldest go first, what went is counted."""

from __future__ import annotations

import threading
from collections import deque

from tracescope.attach.ring import Batch

__all__ = ("Backlog",)

# A record can be 12 KiB: the number alone would not bound memory.
_MAX_BYTES = 128 << 20


class Backlog:
    """At most about `limit` records; one thread puts, any thread takes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._batches: deque[Batch] = deque()
        self._taken = 0
        """How many records of the oldest batch have been taken."""
        self._count = 0
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._count

    @property
    def fill(self) -> float:
        """Which part of the room is taken: 0 to 1."""
        return min(1.0, max(self._count / self._limit, self._bytes / _MAX_BYTES))

    def put(self, batch: Batch) -> None:
        """Add records; drops whole batches of the oldest when there is no room."""
        with self._lock:
            self._batches.append(batch)
            self._count += batch.count
            self._bytes += len(batch.data)
            while len(self._batches) > 1 and (self._count > self._limit or self._bytes > _MAX_BYTES):
                self.dropped += self._drop_oldest()

    def _drop_oldest(self) -> int:
        batch = self._batches.popleft()
        left = batch.count - self._taken
        self._taken = 0
        self._count -= left
        self._bytes -= len(batch.data)
        return left

    def take_all(self) -> list[Batch]:
        """All that is there, oldest first, in whole batches; of one that was begun, the records that are left."""
        with self._lock:
            batches, taken = list(self._batches), self._taken
            self._batches.clear()
            self._count = self._bytes = self._taken = 0
        if taken:
            batches[0] = batches[0].rest(taken)
        return batches

    def take(self, limit: int | None = None) -> list[bytes]:
        """Up to `limit` records, oldest first."""
        records: list[bytes] = []
        with self._lock:
            while self._batches and (limit is None or len(records) < limit):
                batch = self._batches[0]
                stop = batch.count if limit is None else min(batch.count, self._taken + limit - len(records))
                records += batch.records(self._taken, stop)
                self._count -= stop - self._taken
                self._taken = stop
                if stop == batch.count:
                    self._drop_oldest()
        return records
