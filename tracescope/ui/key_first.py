"""Whose turn it is: a key is answered before the sessions are looked at again."""

from __future__ import annotations

import asyncio
import time

__all__ = ("KeyFirst",)

_ANSWER = 0.04
"""Seconds that the answer to a key may take before the next look."""
_LULL = 0.08
"""Seconds after a key in which, once it is answered, the next one does not come yet."""
_TURNS = 4
"""Of the event loop, from the byte that the terminal sent to the key that the application gets."""


class KeyFirst:
    """Knows when the last key came."""

    def __init__(self) -> None:
        self._pressed = 0.0
        self._put_off = False

    def pressed(self) -> None:
        """A key came."""
        self._pressed = time.monotonic()

    def put_off(self) -> bool:
        """Whether the next look should wait: an answer is on its way. Never twice: a key held down stops no time."""
        self._put_off = not self._put_off and time.monotonic() - self._pressed < _ANSWER
        return self._put_off

    @property
    def lull(self) -> bool:
        """The last key was answered a moment ago: whoever presses the next one looks at the answer."""
        return _ANSWER < time.monotonic() - self._pressed < _LULL

    async def came(self) -> bool:
        """Let a key in that waits; whether there was one."""
        before = self._pressed
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return self._pressed != before
