"""The running sessions and a bounded ring of their newest records. A timer pulls; what is drawn is decoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tracescope.printable import printable

if TYPE_CHECKING:
    from tracescope.attach.events import Event
    from tracescope.attach.session import Session

__all__ = ("Feed", "Line", "Selection", "Totals", "probes_of")

_PULL = 50_000
"""At most so many records a session and pull: one pull must not hold the screen."""


class Line(NamedTuple):
    """An event as the texts of its columns, all printable."""

    time: str
    cpu: str
    probe: str
    pid: str
    tid: str
    ppid: str
    comm: str
    words: str
    failed: bool
    """The call returned an error."""


class Totals(NamedTuple):
    """What all sessions gave since the program started; per probe for those that run. `lost` holds what was dropped."""

    events: int
    lost: int
    per_probe: dict[str, int]


class Feed:
    """Records by number: the first ever is 0; `first` is the oldest one still kept, `end` the next to come."""

    def __init__(self, size: int) -> None:
        self.sessions: list[Session] = []
        self.end = 0
        self.rates: deque[int] = deque([0] * 60, maxlen=60)
        """Events a second, one number a second, the newest last."""
        self._ring: deque[tuple[Session, bytes]] = deque(maxlen=size)
        self._past_events = self._past_lost = 0
        self._rated_at = time.monotonic()
        self._rated_events = 0
        self.event = lru_cache(maxsize=4096)(self._event)
        """The decoded event of a record number that is kept."""
        self.line = lru_cache(maxsize=4096)(self._line)
        """The same as texts."""

    @property
    def first(self) -> int:
        """The number of the oldest record kept."""
        return self.end - len(self._ring)

    @property
    def probes(self) -> frozenset[str]:
        """What is attached, or about to be."""
        return frozenset(probe for session in self.sessions for probe in probes_of(session))

    def session_of(self, probe: str) -> Session | None:
        """The session that holds this probe."""
        return next((session for session in self.sessions if probe in probes_of(session)), None)

    def add(self, session: Session) -> None:
        """A session is about to start."""
        self.sessions.append(session)

    def remove(self, session: Session) -> None:
        """A session ended: take its last records and keep its counts."""
        if session not in self.sessions:
            return
        self._keep([(session, record) for record in session.take(_PULL)])
        counts = session.counts()
        self._past_events += counts.events
        self._past_lost += counts.lost + counts.dropped
        self.sessions.remove(session)

    def stop(self) -> None:
        """Detach everything."""
        for session in list(self.sessions):
            session.stop()
            self.remove(session)

    def pull(self) -> int:
        """Take what the sessions have; the number of new records. Rates are brought up to date."""
        batches = [[(session, record) for record in session.take(_PULL)] for session in self.sessions]
        records = [pair for batch in batches for pair in batch]
        if sum(map(bool, batches)) > 1:
            records.sort(key=_time_of)
        self._keep(records)
        now = time.monotonic()
        if now - self._rated_at >= 1.0:
            events = self.totals().events
            self.rates.append(round((events - self._rated_events) / (now - self._rated_at)))
            self._rated_at, self._rated_events = now, events
        return len(records)

    def _keep(self, records: Sequence[tuple[Session, bytes]]) -> None:
        self._ring.extend(records)
        self.end += len(records)

    def totals(self) -> Totals:
        """Counts of events and lost."""
        events, lost = self._past_events, self._past_lost
        per_probe: dict[str, int] = {}
        for session in self.sessions:
            counts = session.counts()
            events += counts.events
            lost += counts.lost + counts.dropped
            each = (count.events for count in counts.per_probe)
            per_probe.update(zip(probes_of(session), each, strict=True))
        return Totals(events, lost, per_probe)

    def clear(self) -> None:
        """Forget the records; counts stay."""
        self._ring.clear()

    def session(self, number: int) -> Session:
        """The session that a record came from."""
        return self._ring[number - self.first][0]

    def _event(self, number: int) -> Event:
        session, record = self._ring[number - self.first]
        return session.decode(record)

    def _line(self, number: int) -> Line:
        from tracescope.attach.events import event_words

        event = self.event(number)
        seconds, nanoseconds = divmod(event.time_ns, 1_000_000_000)
        clock = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{nanoseconds // 1000:06}"
        ids = (event.pid, event.tid, event.ppid)
        pid, tid, ppid = ("" if value is None else str(value) for value in ids)
        comm, words = printable(event.comm or ""), printable(event_words(event))
        return Line(clock, str(event.cpu), event.probe, pid, tid, ppid, comm, words, (event.ret or 0) < 0)


def probes_of(session: Session) -> tuple[str, ...]:
    """The full names of a session's probes."""
    return tuple(probe.name for probe in session.plan.probes)


def _time_of(pair: tuple[Session, bytes]) -> int:
    from tracescope.attach.layout import HEADER

    return int(HEADER.unpack_from(pair[1])[0])


class Selection:
    """The records whose line holds a text, found in slices: new records once, the whole ring when the text changes."""

    def __init__(self, feed: Feed, text: str) -> None:
        self.text = text
        self.numbers: deque[int] = deque()
        self._feed = feed
        self._word = text.lower()
        self._next = feed.first

    @property
    def behind(self) -> int:
        """How many records were not looked at yet."""
        return self._feed.end - max(self._next, self._feed.first)

    def advance(self, seconds: float) -> int:
        """Look at more records for so long at most; the number of old hits that the ring dropped."""
        first, dropped = self._feed.first, 0
        while self.numbers and self.numbers[0] < first:
            self.numbers.popleft()
            dropped += 1
        until = time.monotonic() + seconds
        self._next = max(self._next, first)
        while self._next < self._feed.end and (self._next % 64 or time.monotonic() < until):
            if self._word in " ".join(self._feed.line(self._next)[:-1]).lower():
                self.numbers.append(self._next)
            self._next += 1
        return dropped
