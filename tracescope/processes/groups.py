"""All groups of processes: program × spawner × cgroup, bounded, nothing lost from the sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from tracescope.processes.tally import Group

__all__ = ("OTHERS", "OWN_STARTS", "Groups")

OWN_STARTS = 5
"""So many starts of one program are their parent's own doing, however short it lived."""

OTHERS = ""
"""The program under which the groups are summed up that nothing has happened in for long."""

_Key: TypeAlias = tuple[str, int | None, int | None]


class Groups:
    """Groups by program, by the serial of the process that spawned them, and by cgroup."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit
        self._groups: dict[_Key, Group] = {}
        self.under: dict[int | None, set[_Key]] = {}
        """The groups by the serial of who spawned them."""

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def __len__(self) -> int:
        return len(self._groups)

    def get(self, program: str, parent: int | None, cgroup_id: int | None) -> Group:
        """The group, made when it is new."""
        key = (program, parent, cgroup_id)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._room:
                self._drop_quiet()
            group = self._make(key)
        return group

    def fold(self, serial: int, parent: int | None, below: float) -> None:
        """What this process spawned less than `below` times counts as spawned by its parent from now on."""
        for key in [key for key in self.under[serial] if self._groups[key].starts < below]:
            self._discard(key)
            group = self._groups.pop(key)
            self._into((group.program, parent, group.cgroup_id), group, through=True)

    def _make(self, key: _Key) -> Group:
        group = self._groups[key] = Group(*key)
        self.under.setdefault(key[1], set()).add(key)
        return group

    def _discard(self, key: _Key) -> None:
        keys = self.under[key[1]]
        keys.discard(key)
        if not keys:
            del self.under[key[1]]

    def _into(self, key: _Key, group: Group, *, through: bool) -> None:
        (self._groups.get(key) or self._make(key)).take_over(group, through=through)

    def _drop_quiet(self) -> None:
        """Sum up the half of the groups in which nothing lives and nothing has happened for longest."""
        quiet = [key for key, group in self._groups.items() if not group.alive and group.program != OTHERS]
        quiet.sort(key=lambda key: self._groups[key].generation)
        for key in quiet[: (len(quiet) + 1) // 2]:
            self._discard(key)
            self._into((OTHERS, None, None), self._groups.pop(key), through=False)
        # When most are alive there is nothing to drop: do not look again at each new one.
        self._room = max(self._limit, 2 * len(self._groups))
