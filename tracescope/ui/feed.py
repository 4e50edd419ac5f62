"""The running sessions and a bounded ring of their newest records. A timer pulls; what is drawn is decoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from tracescope.ui.event_line import cells_of, line_of

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.decode.events import Event
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.life import Counts, ProbeCount
    from tracescope.errors import TraceScopeError

__all__ = ("Asking", "Feed", "ProbeState", "Totals", "probes_of")

_PULL = 50_000
"""At most so many records a session and pull: one pull must not hold the screen."""
_QUICK, _PART = 0.002, 20
"""Counters that take longer to read than this many seconds are read only a part of the time."""


class Totals(NamedTuple):
    """What all sessions gave since the program started; per probe for those that run. `lost` holds what was dropped."""

    events: int
    lost: int
    skipped: int
    """Left out on purpose, so that the reader could keep up."""
    per_probe: dict[str, int]


class Asking(NamedTuple):
    """What a session was opened for: the probes' full names, and the options."""

    probes: Sequence[str]
    options: AttachOptions | None


class ProbeState(NamedTuple):
    """One probe of a session: its counts, its events a second, or why it could not be attached."""

    name: str
    counts: ProbeCount
    rate: int
    error: TraceScopeError | None


class Feed:
    """Records by number: the first ever is 0; `first` is the oldest one still kept, `end` the next to come."""

    def __init__(self, size: int) -> None:
        self.sessions: list[EventSession] = []
        self.end = 0
        self.rates: deque[int] = deque([0] * 60, maxlen=60)
        """Events a second, one number a second, the newest last."""
        self.counted_until = 0.0
        """The counters are not read again before this time (monotonic)."""
        # Two lists side by side, and no pair for each record: the garbage collector would look at every one. No deques:
        # to find something in the middle of a long one takes 2 µs.
        self._records: list[bytes] = []
        self._from: list[EventSession] = []
        self._base = 0
        """The number of the first record in these lists; some there are older than what is kept."""
        self._size = size
        self._unpack: Callable[[bytes], tuple[int, ...]]
        self._last: dict[EventSession, int] = {}
        """The number of each session's newest record."""
        self._refused: dict[EventSession, list[tuple[str, TraceScopeError]]] = {}
        self._asking: dict[EventSession, Asking] = {}
        self._counts: dict[EventSession, Counts] = {}
        self._rated: dict[EventSession, tuple[int, ...]] = {}
        self._probe_rates: dict[EventSession, tuple[int, ...]] = {}
        self._past = Totals(0, 0, 0, {})
        self._rated_at = time.monotonic()
        self._rated_events = 0
        self.event = lru_cache(maxsize=1024)(self._event)
        """The decoded event of a record number that is kept."""
        self.in_words = False
        """Lines hold the kernel's own words where there are some."""
        self.line = lru_cache(maxsize=1024)(lambda number: line_of(self.worded(number)))
        """The same as texts."""
        self.cells = lru_cache(maxsize=1024)(lambda number: cells_of(self.event(number)))
        """Its arguments as texts by name."""

    @property
    def first(self) -> int:
        """The number of the oldest record kept."""
        return max(self._base, self.end - self._size)

    @property
    def probes(self) -> frozenset[str]:
        """What is attached, or about to be."""
        return frozenset(probe for session in self.sessions for probe in probes_of(session))

    @property
    def shown_probes(self) -> frozenset[str]:
        """What the records kept may come from: what is attached, and what was."""
        return frozenset(probe for session in self.shown_sessions for probe in probes_of(session))

    @property
    def shown_sessions(self) -> tuple[EventSession, ...]:
        """What runs, and what ended and has records that are kept."""
        return tuple(dict.fromkeys((*self.sessions, *self._last)))

    @property
    def share(self) -> float:
        """The smallest share of the events that a session lets through; 1: nothing is left out."""
        return min((one.governor.share for one in self.sessions if one.governor is not None), default=1.0)

    def session_of(self, probe: str) -> EventSession | None:
        """The session that holds this probe."""
        return next((session for session in self.sessions if probe in probes_of(session)), None)

    def asking(self, session: EventSession) -> Asking:
        """What this session was opened for."""
        return self._asking.get(session) or Asking(probes_of(session), None)

    def add(
        self,
        session: EventSession,
        refused: Iterable[tuple[str, TraceScopeError]] = (),
        asking: Asking | None = None,
    ) -> None:
        """A session is about to start; `refused` are the probes that were wanted with it and cannot be."""
        # The first paint does not wait for it.
        from tracescope.attach.record.layout import HEADER

        self._unpack = HEADER.unpack_from
        self.sessions.append(session)
        self._refused[session] = list(refused)
        if asking is not None:
            self._asking[session] = asking
        self._counts[session] = session.counts()

    def remove(self, session: EventSession) -> None:
        """A session ended: take its last records and keep its counts."""
        if session not in self.sessions:
            return
        self._keep(session, session.take())
        counts = session.counts()
        events, lost, skipped, _ = self._past
        self._past = Totals(
            events + counts.events, lost + counts.lost + counts.dropped, skipped + counts.skipped, {}
        )  # fmt: skip
        self.sessions.remove(session)
        for known in (self._asking, self._refused, self._counts, self._rated, self._probe_rates):
            known.pop(session, None)

    def stop(self) -> None:
        """Detach everything."""
        for session in list(self.sessions):
            session.stop()
            self.remove(session)

    def pull(self) -> int:
        """Take what the sessions have; the number of new records. Counts and rates are brought up to date."""
        batches = {session: session.take(_PULL) for session in self.sessions}
        if sum(map(bool, batches.values())) > 1:
            pairs = [(record, session) for session, batch in batches.items() for record in batch]
            pairs.sort(key=self._time_of)
            self._records.extend([record for record, _ in pairs])
            self._from.extend([session for _, session in pairs])
            self.end += len(pairs)
            self._drop()
            self._last |= dict.fromkeys((session for session, batch in batches.items() if batch), self.end - 1)
        else:
            for session, batch in batches.items():
                self._keep(session, batch)
        first = self.first
        self._last = {session: last for session, last in self._last.items() if last >= first}
        self._count(time.monotonic())
        return sum(map(len, batches.values()))

    def _keep(self, session: EventSession, records: Sequence[bytes]) -> None:
        self._records.extend(records)
        self._from.extend(repeat(session, len(records)))
        self.end += len(records)
        self._drop()
        if records:
            self._last[session] = self.end - 1

    def _drop(self) -> None:
        """Let go of the oldest records, some hundreds at a time."""
        old = self.first - self._base
        if old > self._size // 16:
            del self._records[:old], self._from[:old]
            self._base += old

    def _time_of(self, pair: tuple[bytes, EventSession]) -> int:
        return self._unpack(pair[0])[0]

    def _count(self, now: float) -> None:
        if now < self.counted_until:
            return
        self._counts = {session: session.counts() for session in self.sessions}
        took = time.monotonic() - now
        self.counted_until = now + _PART * took if took > _QUICK else 0.0
        if now - self._rated_at >= 1.0:
            self._rate(now)

    def _rate(self, now: float) -> None:
        seconds = now - self._rated_at
        events = self.totals().events
        self.rates.append(round((events - self._rated_events) / seconds))
        self._rated_at, self._rated_events = now, events
        for session, counts in self._counts.items():
            each = tuple(count.events for count in counts.per_probe)
            before = self._rated.get(session, (0,) * len(each))
            self._probe_rates[session] = tuple(
                round((n - was) / seconds) for n, was in zip(each, before, strict=True)
            )  # fmt: skip
            self._rated[session] = each

    def totals(self) -> Totals:
        """Counts of events, of lost ones, and of those left out, as they were last read."""
        events, lost, skipped, per_probe = self._past.events, self._past.lost, self._past.skipped, dict[str, int]()
        for session, counts in self._counts.items():
            events += counts.events
            lost += counts.lost + counts.dropped
            skipped += counts.skipped
            each = (count.events for count in counts.per_probe)
            per_probe.update(zip(probes_of(session), each, strict=True))
        return Totals(events, lost, skipped, per_probe)

    def states(self, session: EventSession) -> list[ProbeState]:
        """The session's probes, then those that were refused before it was made."""
        from tracescope.attach.session import ProbeCount

        names, counts = probes_of(session), self._counts[session].per_probe
        rates = self._probe_rates.get(session, (0,) * len(names))
        failed = {probe.name: error for probe, error in session.failed}
        states = [
            ProbeState(name, count, rate, failed.get(name))
            for name, count, rate in zip(names, counts, rates, strict=True)
        ]
        return states + [ProbeState(name, ProbeCount(), 0, error) for name, error in self._refused[session]]

    def clear(self) -> None:
        """Forget the records; counts stay."""
        self._records.clear()
        self._from.clear()
        self._base = self.end
        self._last.clear()

    def session(self, number: int) -> EventSession:
        """The session that a record came from."""
        return self._from[number - self._base]

    def record(self, number: int) -> bytes:
        """The bytes that the kernel handed over."""
        return self._records[number - self._base]

    def records(self, numbers: Iterable[int]) -> list[tuple[EventSession, bytes]]:
        """Many records, each with its session; those that the ring dropped are left out."""
        first = self.first
        return [(self.session(number), self.record(number)) for number in numbers if number >= first]

    def header(self, number: int) -> tuple[int, ...]:
        """What every record begins with, as the tuple of `attach.layout.HEADER`."""
        return self._unpack(self._records[number - self._base])

    def show_words(self, on: bool) -> None:
        """Lines in the kernel's own words from now on, or with the arguments by name."""
        self.in_words = on
        self.line.cache_clear()

    def worded(self, number: int) -> Event:
        """The decoded event; with the kernel's own words when those are shown and there."""
        event = self.event(number)
        if not self.in_words or event.words is not None:
            return event
        session, record = self.session(number), self.record(number)
        return event._replace(words=session.words(record)) if session.has_words else event

    def _event(self, number: int) -> Event:
        return self.session(number).decode(self.record(number))


def probes_of(session: EventSession) -> tuple[str, ...]:
    """The full names of a session's probes."""
    return tuple(probe.name for probe in session.plan.probes)
