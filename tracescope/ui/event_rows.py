"""Which of the feed's records are rows, and in which order: found in slices, so that no key waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from tracescope.ui.event_filter import NUMBERS_IN_HEADER, EventFilter, parse_event_filter
from tracescope.ui.event_line import SortKey, sort_key
from tracescope.ui.feed import Feed

__all__ = ("Order", "Search", "Selection", "takes")

_LEAST = 0.001
"""Seconds that are always there for new records."""
_LOOK = 64
"""So many records between two looks at the clock."""


class Selection:
    """The records that a filter takes: new records once, the whole ring when the text changes."""

    def __init__(self, feed: Feed, text: str) -> None:
        self.text = text
        self.filter = parse_event_filter(text)
        self.numbers: deque[int] = deque()
        self.found = 0
        """How many there were, with those that the ring dropped since."""
        self._feed = feed
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
        while self._next < self._feed.end and (self._next % _LOOK or time.monotonic() < until):
            if takes(self._feed, self.filter, self._next):
                self.numbers.append(self._next)
                self.found += 1
            self._next += 1
        return dropped

    def since(self, found: int) -> Iterator[int]:
        """Those that are kept and were not there when `found` was this number."""
        return islice(self.numbers, max(0, len(self.numbers) - (self.found - found)), None)


def takes(feed: Feed, filter_: EventFilter, number: int) -> bool:
    """Whether a filter takes a record."""
    return filter_.may_take(feed.header(number)) and filter_.takes(feed.event(number), feed.line(number))


class Order:
    """The records of the feed, or of a selection, sorted by a column; new ones are sorted in."""

    def __init__(self, feed: Feed, selection: Selection | None, column: str, *, descending: bool) -> None:
        self.numbers: Sequence[int] = ()
        self._feed = feed
        self._selection = selection
        self._column = column
        self._descending = descending
        self._keys: dict[int, float | str] = {}
        # Numbers, texts, and what is not known, each sorted: to compare two of a kind is what Python does fastest.
        self._kinds: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._first = feed.first
        self._next = feed.first
        self._found = 0
        self._sorting = 0.0
        """Seconds that it took last time to put the lists in order."""

    @property
    def behind(self) -> int:
        """How many rows were not sorted in yet."""
        if self._selection is not None:
            return self._selection.found - self._found
        return self._feed.end - max(self._next, self._feed.first)

    def prune(self) -> None:
        """Let go of what the ring dropped."""
        first = self._feed.first
        if first != self._first:
            for number in range(self._first, first):
                self._keys.pop(number, None)
            self._first = first
            for numbers in self._kinds:
                numbers[:] = [number for number in numbers if number >= first]
            self._join()

    def advance(self, seconds: float) -> None:
        """Sort in more records for so long at most: to put the long lists in order takes of that time, too."""
        self.prune()
        until = time.monotonic() + max(seconds - self._sorting, _LEAST)
        made: tuple[list[int], list[int], list[int]] = ([], [], [])
        for looked, number in enumerate(self._fresh(), 1):
            if looked % _LOOK == 0 and time.monotonic() >= until:
                break
            kind, value, text = self._key(number)
            made[kind].append(number)
            self._keys[number] = text if kind == 1 else value
            self._next = number + 1
            self._found += 1
        begin = time.monotonic()
        for numbers, fresh in zip(self._kinds, made, strict=True):
            if fresh:
                numbers.extend(fresh)
                numbers.sort(key=self._keys.__getitem__, reverse=self._descending)
        if any(made):
            self._join()
        self._sorting = time.monotonic() - begin

    def _key(self, number: int) -> SortKey:
        at = NUMBERS_IN_HEADER.get(self._column)
        return (
            sort_key(self._feed.event(number), self._column) if at is None else (0, self._feed.header(number)[at], "")
        )

    def _fresh(self) -> Iterator[int]:
        if self._selection is None:
            return iter(range(max(self._next, self._feed.first), self._feed.end))
        # Some that were found may be dropped by the ring before they are sorted in.
        kept = self._selection.found - len(self._selection.numbers)
        self._found = max(self._found, kept)
        return self._selection.since(self._found)

    def _join(self) -> None:
        numbers, texts, unknown = self._kinds
        self.numbers = [*unknown, *texts, *numbers] if self._descending else [*numbers, *texts, *unknown]


class Search:
    """The next row that a text takes, from a row on, forwards (`step` 1) or backwards (-1), once around."""

    def __init__(self, feed: Feed, rows: Sequence[int], text: str, start: int, step: int) -> None:
        self.text = text
        self.found: int | None = None
        """The record."""
        self.over = False
        self._feed = feed
        self._filter = parse_event_filter(text)
        # A selection's rows go on changing.
        self._rows = rows if isinstance(rows, range) else list(rows)
        self._places = ((start + step * at) % len(rows) for at in range(1, len(rows) + 1))

    def advance(self, seconds: float) -> None:
        """Look on for so long at most."""
        until = time.monotonic() + seconds
        for looked, place in enumerate(self._places, 1):
            number = self._rows[place]
            if number >= self._feed.first and takes(self._feed, self._filter, number):
                self.found, self.over = number, True
                return
            if looked % _LOOK == 0 and time.monotonic() >= until:
                return
        self.over = True
