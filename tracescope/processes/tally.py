"""What happened to the processes of one program under one parent: counts, times, exits, in total and of late.

Lives go into a logarithmic histogram with 16 steps a power of two: a median is right within 3.2 % of its value.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("Group", "Tally", "bucket", "quantile")

_STEPS = 16
_STEP_BITS = 4


def bucket(ns: int) -> int:
    """The histogram's bucket of a duration: exact below 16 ns, then 16 buckets a power of two."""
    shift = ns.bit_length() - _STEP_BITS - 1
    return shift * _STEPS + (ns >> shift) if shift > 0 else ns


def _middle(index: int) -> int:
    shift = max(index // _STEPS - 1, 0)
    low = index - shift * _STEPS << shift
    return low + (1 << shift) // 2


def quantile(buckets: dict[int, int], share: float) -> int | None:
    """The duration that `share` of all lie below or at; None when there are none."""
    left = share * sum(buckets.values())
    for index in sorted(buckets):
        left -= buckets[index]
        if left <= 0:
            return _middle(index)
    return None


class Tally:
    """Sums over a span of time."""

    __slots__ = (
        "cpu_ns",
        "ends",
        "exits",
        "failures",
        "forks",
        "lives",
        "repeats",
        "short",
        "starts",
        "through",
        "window_cpu_ns",
    )

    def __init__(self) -> None:
        self.starts = 0
        """Execs, and forked processes that ended without one."""
        self.forks = 0
        """Those of the starts that never called exec."""
        self.through = 0
        """Those of the starts that came through a short-lived process in between."""
        self.repeats = 0
        """Those of the starts with arguments as seen just before."""
        self.failures = 0
        self.ends = 0
        self.short = 0
        self.cpu_ns = 0
        self.window_cpu_ns = 0
        """CPU time without what was used before the window."""
        self.lives: dict[int, int] = {}
        self.exits: dict[str, int] = {}

    def end(self, sign: int, life_ns: int | None, exit_words: str) -> None:
        """Count the end of one process, or take it back with `sign` -1."""
        self.ends += sign
        self.exits[exit_words] = self.exits.get(exit_words, 0) + sign
        if life_ns is not None:
            index = bucket(life_ns)
            self.lives[index] = self.lives.get(index, 0) + sign

    def merge(self, other: Tally) -> None:
        """Add the sums of another."""
        self.starts += other.starts
        self.forks += other.forks
        self.through += other.through
        self.repeats += other.repeats
        self.failures += other.failures
        self.ends += other.ends
        self.short += other.short
        self.cpu_ns += other.cpu_ns
        self.window_cpu_ns += other.window_cpu_ns
        for index, count in other.lives.items():
            self.lives[index] = self.lives.get(index, 0) + count
        for words, count in other.exits.items():
            self.exits[words] = self.exits.get(words, 0) + count


class Group:
    """The tallies of one program under one parent in one cgroup.

    Time runs in generations of half a window: the present and the last one are the window, the older ones one sum.
    """

    __slots__ = ("_before", "_generation", "_now", "_past", "alive", "cgroup_id", "into", "parent", "program", "seen")

    def __init__(self, program: str, parent: int | None, cgroup_id: int | None) -> None:
        self.program = program
        self.parent = parent
        """The serial number of the process that spawned these."""
        self.cgroup_id = cgroup_id
        self.alive = 0
        self.into: Group | None = None
        """The group that took over this one's counts."""
        self.seen: tuple[int, ...] = ()
        """Hashes of the arguments of late."""
        self._generation = -1
        self._now = Tally()
        self._before: Tally | None = None
        self._past: Tally | None = None

    @property
    def generation(self) -> int:
        """When something happened last."""
        return self._generation

    @property
    def starts(self) -> int:
        """All of them."""
        return sum(tally.starts for tally in self.tallies())

    def at(self, generation: int) -> Tally:
        """The tally to count in; what comes late counts in the present."""
        if generation > self._generation:
            last = self._now if generation == self._generation + 1 else None
            for old in (self._before, self._now):
                if old is not None and old is not last:
                    self._past = self._past or Tally()
                    self._past.merge(old)
            self._before, self._now, self._generation = last, Tally(), generation
        return self._now

    def window(self, generation: int) -> Iterable[Tally]:
        """The tallies of this generation and the one before."""
        if self._generation >= generation:
            return (self._now,) if self._before is None else (self._now, self._before)
        return (self._now,) if self._generation == generation - 1 else ()

    def tallies(self) -> Iterable[Tally]:
        """All tallies: together the total."""
        return (tally for tally in (self._now, self._before, self._past) if tally is not None)

    def take_over(self, other: Group, *, through: bool) -> None:
        """Add another group's counts; `through` says that they came through a process in between."""
        if through:
            for tally in other.tallies():
                tally.through = tally.starts
        generation = max(self._generation, other._generation)
        now = self.at(generation)
        other.at(generation)
        now.merge(other._now)
        if other._before is not None:
            self._before = self._before or Tally()
            self._before.merge(other._before)
        if other._past is not None:
            self._past = self._past or Tally()
            self._past.merge(other._past)
        self.alive += other.alive
        self.seen = other.seen or self.seen
        other.into = self
