"""The garbage collector and the threads' turns while events come: what lives long is not looked at again and again."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ("Collecting", "uncollected")

_OFTEN = 2_000
"""New objects, without those that went again, before the collector looks at them."""
_NEVER = 1_000_000
_EVERY = 20.0
"""Seconds between two looks at all that came since the last one."""
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
    """Looks at everything a few times a minute, at times of its own choice, and at what it has seen no more."""

    def __init__(self) -> None:
        self._usual = gc.get_threshold(), sys.getswitchinterval()
        self._last = time.monotonic()
        self._busy = False

    def events_come(self) -> None:
        """A session runs."""
        self._busy = True
        gc.set_threshold(_OFTEN, self._usual[0][1], _NEVER)
        sys.setswitchinterval(_TURN)
        self._collect()

    def update(self, *, busy: bool) -> None:
        """Call this now and then; `busy` while any session runs."""
        if self._busy and not busy:
            self.end()
        elif busy and time.monotonic() - self._last >= _EVERY:
            self._collect()

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

    def _collect(self) -> None:
        gc.collect()
        gc.freeze()
        self._last = time.monotonic()
