"""A session whose program hands over records through a ring: read in time, kept until somebody takes them."""

from __future__ import annotations

import struct
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from tracescope.attach.backend import Backend, Loaded
from tracescope.attach.backlog import Backlog
from tracescope.attach.cost import Cost, read_cost, total_cost
from tracescope.attach.governor import Governor
from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.programs import ProgramType
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.life import Counts, ProgramSession
from tracescope.attach.perf_buffer import PerfReader
from tracescope.attach.program import RING_BYTES
from tracescope.attach.ring import Batch, RingReader

if TYPE_CHECKING:
    from tracescope.attach.record.arrays import Records

__all__ = ("RingSession",)

EventT = TypeVar("EventT")

_ZERO = struct.pack("=I", 0)


class RingSession(ProgramSession, Generic[EventT]):
    """The text has one map more, `events`: the `transport`. With `record_size` all records have that size."""

    def __init__(
        self, program_text: str, *, record_size: int | None, counters: int, filtered: bool,
        backend: Backend | None, buffer: int, governed: bool = False, kinds: Mapping[str, ProgramType] | None = None,
        transport: Transport = Transport.RING,
    ) -> None:  # fmt: skip
        super().__init__(program_text, counters=counters, filtered=filtered, backend=backend, kinds=kinds)
        self._record_size = record_size
        self._transport = transport
        self._backlog = Backlog(buffer)
        self.governor = Governor() if governed else None
        """Leaves events out when the reader cannot keep up."""

    @abstractmethod
    def decode(self, record: bytes) -> EventT:
        """The event in a record."""

    def take(self, limit: int | None = None) -> list[bytes]:
        """Up to `limit` records, oldest first."""
        return self._backlog.take(limit)

    def take_arrays(self) -> list[Records]:
        """All records, oldest first, as structured arrays: `time_ns`, `cpu`, `probe`, `pid`, `tid`, `ppid`, `comm`.

        Records of one size have their other words in `raw`. For who wants them by the million.
        """
        from tracescope.attach.record.arrays import even_records, uneven_records

        batches = self._backlog.take_all()
        return [
            even_records(batch.data, batch.size) if batch.size else uneven_records(batch.records(0, batch.count))
            for batch in batches
        ]

    def counts(self) -> Counts:
        """The counters as they are now; exact after `stop()`."""
        return replace(super().counts(), dropped=self._backlog.dropped, waiting=len(self._backlog))

    def costs(self) -> tuple[Cost, ...]:
        """What each counter's programs cost so far, while `RunStats` are kept; empty when nothing is loaded."""
        with self._lock:
            loaded = self._loaded
            if loaded is None:
                return ()
            return tuple(
                total_cost(read_cost(loaded.programs[name]) for name in self._counted(index) if name in loaded.programs)
                for index in range(len(self._counts))
            )

    def _open(self, loaded: Loaded, undo: ExitStack) -> Callable[[], None]:
        make = RingReader if self._transport is Transport.RING else PerfReader
        reader = make(loaded.maps["events"], RING_BYTES, self._record_size)
        undo.callback(reader.close)

        dropped = 0

        def read() -> None:
            nonlocal dropped
            last = self._stop.is_set()
            if not last:
                # Where something was dropped there is no room, whatever the rest says.
                full, dropped = self._backlog.dropped > dropped, self._backlog.dropped
                self._govern(loaded, 1.0 if full else max(reader.fill, self._backlog.fill))
            for batch in reader.read(last=last):
                self._see(batch)
                self._backlog.put(batch)

        return read

    def _see(self, batch: Batch) -> None:
        """Look at records before anybody can take them: nothing, unless a subclass has to."""

    def _govern(self, loaded: Loaded, fill: float) -> None:
        """Let a smaller share of the events through while there is no room, and a larger one when it is calm."""
        if self.governor and self.governor.look(fill, time.monotonic()):
            bpf.map_update(loaded.maps["control"], _ZERO, struct.pack("=I", self.governor.threshold))
