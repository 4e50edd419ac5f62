"""What the attached probes cost, asked once a second while somebody looks: the kernel's counting costs time itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tracescope.errors import TraceScopeError

if TYPE_CHECKING:
    from tracescope.attach.cost import Cost, RunStats
    from tracescope.attach.event_session import EventSession

__all__ = ("Costs", "Price")

_EVERY = 1.0


class Price(NamedTuple):
    """The mean time of a run in nanoseconds, and the share of one CPU; None where it has not run."""

    run_ns: float | None = None
    share: float | None = None


_UNKNOWN = Price()


class Costs:
    """Compares the counters with those of a second ago; a probe that rests keeps its last mean."""

    def __init__(self, open_stats: Callable[[], RunStats]) -> None:
        self.problem: TraceScopeError | None = None
        """Why the kernel does not count."""
        self._open = open_stats
        self._stats: RunStats | None = None
        self._read_at = 0.0
        self._before: dict[EventSession, Sequence[Cost]] = {}
        self._prices: dict[EventSession, list[Price]] = {}

    def watch(self, *, on: bool) -> None:
        """Begin or end to have the kernel count."""
        if on and self._stats is None and self.problem is None:
            try:
                self._stats = self._open()
            except TraceScopeError as error:
                self.problem = error
        elif not on and self._stats is not None:
            self._stats.close()
            self._stats = None
            self._before.clear()

    def update(self, sessions: Sequence[EventSession], now: float | None = None) -> None:
        """Read the counters when a second is over; `now` in seconds."""
        now = time.monotonic() if now is None else now
        seconds = now - self._read_at
        if self._stats is None or seconds < _EVERY:
            return
        found: dict[EventSession, Sequence[Cost]] = {one: cost for one in sessions if (cost := one.costs())}
        for session, costs in found.items():
            before = self._before.get(session)
            if before is not None:
                known = self._prices.get(session, [_UNKNOWN] * len(costs))
                each = zip(costs, before, known, strict=True)
                self._prices[session] = [_price(cost.since(was), seconds, price) for cost, was, price in each]
        self._read_at, self._before = now, found
        self._prices = {session: prices for session, prices in self._prices.items() if session in found}

    def of(self, session: EventSession, index: int) -> Price:
        """The price of a session's probe."""
        prices = self._prices.get(session, ())
        return prices[index] if index < len(prices) else _UNKNOWN


def _price(cost: Cost, seconds: float, before: Price) -> Price:
    if cost.runs <= 0:
        return Price(before.run_ns, 0.0 if before.run_ns is not None else None)
    return Price(cost.run_time_ns / cost.runs, cost.run_time_ns / 1e9 / seconds)
