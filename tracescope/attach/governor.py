"""How large a share of the events is handed over, so that the reader can keep up. Pure.

Full is what is full first: the ring, or what was read and waits for somebody to take it.
"""

from __future__ import annotations

__all__ = ("Governor",)

_EVERY = 0xFFFFFFFF
_FULL, _CALM = 0.5, 0.05
_SMALLEST = 1 / 4096
_CALM_SECONDS = 1.0


class Governor:
    """Halves the share at once when half is full and nothing is taken away; doubles it again after a second of calm."""

    def __init__(self) -> None:
        self.share = 1.0
        """Of all events; 1: nothing is left out."""
        self._calm_since: float | None = None
        self._fill = 0.0

    @property
    def threshold(self) -> int:
        """The share as the program's `control` takes it: a random number of 32 bits may not be above."""
        return _EVERY if self.share >= 1.0 else max(1, int(self.share * _EVERY))

    def look(self, fill: float, now: float) -> bool:
        """Take note of how full it is (0 to 1) at the time `now` in seconds; true when the share changed."""
        before, was, self._fill = self.share, self._fill, fill
        if fill > _FULL:
            self._calm_since = None
            # What becomes less is on its way: a smaller share would come too late to help.
            if fill >= was:
                self.share = max(_SMALLEST, self.share / 2)
        elif fill > _CALM or self.share >= 1.0:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= _CALM_SECONDS:
            self.share, self._calm_since = min(1.0, self.share * 2), None
        return self.share != before
