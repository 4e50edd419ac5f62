"""A session whose events another tracer hands over: records of our layout, filtered and kept until they are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar

from tracescope.attach.backlog import Backlog
from tracescope.attach.borrowed.condition import Condition, condition_of, typed_condition
from tracescope.attach.borrowed.records import NO_PARENT
from tracescope.attach.cost import Cost
from tracescope.attach.decode.decode import Decoder
from tracescope.attach.decode.events import Clock, Event
from tracescope.attach.governor import Governor
from tracescope.attach.life import Counts, ProbeCount, SessionLife
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.record.values import Value
from tracescope.attach.ring import Batch
from tracescope.attach.targets.target import Shape
from tracescope.errors import AttachError
from tracescope.sources.btf import Btf

__all__ = ("BorrowedSession",)

_PROBE, _FLAGS = 2, 6


class BorrowedSession(SessionLife):
    """Runs the probes of a plan; `where` is checked here, on each record."""

    BACKEND: ClassVar = ""

    def __init__(self, plan: Plan, where: str, btf: Btf | None, *, buffer: int, program_text: str = "") -> None:
        super().__init__()
        self.plan = plan
        self.program_text = program_text
        """What the tracer was told."""
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self.governor: Governor | None = None
        self.backend = self.BACKEND
        self.typed = [typed_condition(where, probe, btf) for probe in plan.probes]
        self._conditions: list[Condition | None] = [
            condition_of(typed, probe, self.BACKEND) if typed is not None else None
            for typed, probe in zip(self.typed, plan.probes, strict=True)
        ]
        self._decoder = Decoder(plan, Clock.now())
        self._backlog = Backlog(buffer)
        self._events: Counter[int] = Counter()
        self._lost = 0

    def decode(self, record: bytes) -> Event:
        """The event in a record; what this tracer cannot know is absent."""
        head = HEADER.unpack_from(record)
        event = self._decoder.decode(record)
        ppid = None if head[_FLAGS] & NO_PARENT else head[5]
        probe = self.plan.probes[head[_PROBE]]
        return event._replace(
            ppid=ppid, args={name: value for name, value in event.args.items() if _known(probe, value)}
        )

    @property
    def has_words(self) -> bool:
        """There are none to wait for."""
        return True

    def prepare_words(self) -> None:
        """Nothing: see `words`."""

    def words(self, _record: bytes) -> str | None:
        """None: a record holds what this tracer told, and not all that the kernel's words are made of."""
        return None

    def take(self, limit: int | None = None) -> list[bytes]:
        """Up to `limit` records, oldest first."""
        return self._backlog.take(limit)

    def counts(self) -> Counts:
        """The counters as they are now. Nobody knows of which probe a lost event was."""
        per_probe = tuple(ProbeCount(self._events[index]) for index in range(len(self.plan.probes)))
        return Counts(self._events.total(), self._lost, self._backlog.dropped, per_probe, len(self._backlog))

    def costs(self) -> tuple[Cost, ...]:
        """Nothing: no program of ours runs in the kernel."""
        return ()

    def _put(self, records: Sequence[bytes], wanted: Callable[[bytes], bool] = lambda _: True) -> None:
        """Keep those records that meet the condition of their probe."""
        kept = []
        for record in records:
            number = HEADER.unpack_from(record)[_PROBE]
            condition = self._conditions[number]
            if wanted(record) and (condition is None or condition(record)):
                kept.append(record)
                self._events[number] += 1
        if kept:
            ends, at = [], 0
            for record in kept:
                ends.append((at, at + len(record)))
                at += len(record)
            self._backlog.put(Batch(b"".join(kept), len(kept), spans=ends))


def _known(probe: PlannedProbe, value: Value) -> bool:
    """False for what stands in the place of memory that this tracer did not read."""
    if probe.shape is Shape.EXEC:
        return value is not None and value != [None]
    if probe.shape is Shape.SYSCALL and isinstance(value, dict):
        return value.keys() != {"address"} or value["address"] == "0x0"
    return True
