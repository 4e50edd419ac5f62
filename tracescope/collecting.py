"""The garbage collector and the threads' turns while events come: nothing old is looked at while a key waits."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ("Collecting", "uncollected")

_MANY = 50_000
"""New objects, without those that went again, before the collector looks at them by itself, though nobody asked."""
_NEVER = 1_000_000
_NEW, _ALL = 0.5, 20.0
"""Seconds between two looks at what is new, and at all that came since the session's start."""
_TURN = 0.001
"""Seconds after which a thread that wants to go on is let in: a key waits for the one that reads events."""


@contextmanager
def uncollected() -> Iterator[None]:
    """While much is made that has no circles: not to look for them in it, now and later, saves a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Collecting:
    """Looks at what is new twice a second, at all of it a few times a minute, and never at what was there before."""

    def __init__(self) -> None:
        self._usual = gc.get_threshold(), sys.getswitchinterval()
        self._last = self._last_new = time.monotonic()
        self._busy = False

    def events_come(self) -> None:
        """A session runs. What there is by now stays: nobody looks at it again before the end."""
        self._busy = True
        gc.set_threshold(_MANY, self._usual[0][1], _NEVER)
        sys.setswitchinterval(_TURN)
        gc.collect()
        gc.freeze()
        self._last = self._last_new = time.monotonic()

    def update(self, *, busy: bool, lull: bool = True) -> None:
        """Call this many times a second; `busy` while any session runs, `lull` when nobody waits for an answer now.

        A look at everything takes tens of milliseconds; it waits for a lull, but not for ever.
        """
        now = time.monotonic()
        if self._busy and not busy:
            self.end()
        elif busy and now - self._last >= (_ALL if lull else 2 * _ALL):
            gc.collect()
            self._last = self._last_new = now
        elif busy and now - self._last_new >= _NEW:
            gc.collect(1)
            self._last_new = now

    def end(self) -> None:
        """As it was before."""
        if self._busy:
            self._busy = False
            gc.unfreeze()
            gc.set_threshold(*self._usual[0])
            sys.setswitchinterval(self._usual[1])

    def __enter__(self) -> Self:
        self.events_come()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
