"""A recording of the process monitor as a feed: its time can be held, made faster, and jumped in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from tracescope.errors import TraceScopeError
from tracescope.processes import ProcessEvent, event_from_json, events_from_json, events_from_lines
from tracescope.recording import Recording, open_recording
from tracescope.ui.process_feed import ProcessFeed

__all__ = ("Replay",)

_SECOND = 1_000_000_000
_SLICE = 0.05
"""Seconds of catching up a pull."""
_LOOK = 128
"""Events between two looks at the clock."""
_SLOWEST, _FASTEST = 0.125, 1024.0


class Replay(ProcessFeed):
    """Events come when their time has come. A jump back begins again at the file's beginning."""

    def __init__(self, recording: Recording, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.recording = recording
        self.playing = True
        self.speed = 1.0
        self.begin_ns = 0
        """The time of the first event."""
        self.end_ns: int | None = None
        """The time of the last event, as soon as it is known."""
        self.position_ns = 0
        """The time of day that is shown, or that is being caught up with."""
        self.behind = False
        """There is more to read up to the position."""
        self.unreadable = 0
        self.error: TraceScopeError | None = None
        super().__init__(ncpus=recording.header.ncpus, clock=clock)
        self._at = clock()
        self.begin_ns = self.position_ns = self._next.time_ns if self._next else 0

    def reset(self) -> None:
        """Go back to the file's beginning."""
        super().reset()
        self.unreadable = 0
        self._events = self._read()
        self._next = next(self._events, None)

    @property
    def now_ns(self) -> int:
        """The position; while it is being caught up with, how far that is."""
        return self.table.now_ns if self.behind else self.position_ns

    @property
    def lost(self) -> int:
        """As far as the recording was read."""
        return self.recording.lost or 0

    @property
    def over(self) -> bool:
        """Everything was played."""
        return self._next is None

    def pull(self) -> None:
        """Let time go on, and take the events up to it."""
        now = self._clock()
        if self.playing and not self.behind and not self.over:
            self.position_ns += round((now - self._at) * self.speed * _SECOND)
        self._at = now
        taken = 0
        self.behind = False
        while self._next is not None and self._next.time_ns <= self.position_ns:
            self.add(self._next)
            self._next = next(self._events, None)
            taken += 1
            if taken % _LOOK == 0 and self._clock() - now > _SLICE:
                self.behind = True
                break
        if self.over:
            self.end_ns = self.table.now_ns
            self.position_ns = min(self.position_ns, self.end_ns)
            self.playing = False

    def jump(self, seconds: float) -> None:
        """Go on or back by some seconds."""
        self.seek(self.position_ns + round(seconds * _SECOND))

    def seek(self, time_ns: int) -> None:
        """Go to a time of day, within the recording."""
        self.position_ns = max(self.begin_ns, time_ns if self.end_ns is None else min(time_ns, self.end_ns))
        if self.table.events and self.position_ns < self.table.now_ns:
            self.reset()
        self._due = 0.0

    def pause(self) -> None:
        """Hold the time, or let it go on; at the end, begin again."""
        if self.over:
            self.seek(self.begin_ns)
        self.playing = not self.playing

    def change_speed(self, factor: float) -> None:
        """Play so many times as fast as now."""
        self.speed = min(max(self.speed * factor, _SLOWEST), _FASTEST)

    def measure(self) -> None:
        """Find where the recording ends: reads the whole file, for a thread."""
        with suppress(TraceScopeError):
            for last in deque(open_recording(self.recording.path), maxlen=1):
                self.end_ns = event_from_json(last).time_ns

    def _read(self) -> Iterator[ProcessEvent]:
        try:
            for events, rows in self.recording.decoded(events_from_lines):
                more, damaged = events_from_json(rows)
                self.unreadable += damaged
                yield from events
                yield from more
        except TraceScopeError as error:
            self.error = error
