"""Which bytes a program has to copy for an argument, and under which conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tracescope.attach.meaning.copies import Copy
from tracescope.attach.meaning.kinds import Choice, Meaning

__all__ = ("Condition", "Wanted", "copies_of", "limited")


@dataclass(frozen=True, slots=True)
class Condition:
    """The argument `on` under `mask` is one of the values, or (`negated`) none of them."""

    on: str
    mask: int
    values: tuple[int, ...]
    negated: bool = False

    def holds(self, value: int) -> bool:
        """True when a value of that argument fulfils it."""
        return (value & self.mask in self.values) is not self.negated


@dataclass(frozen=True, slots=True)
class Wanted:
    """A copy, when all the conditions hold; of the copies of one argument at most one is ever wanted."""

    copy: Copy
    conditions: tuple[Condition, ...] = ()


def copies_of(meaning: Meaning | None) -> tuple[Wanted, ...]:
    """The copies that an argument of this meaning needs: a single one where the largest serves all its cases."""
    found = tuple(_wanted(meaning))
    alike = {replace(wanted.copy, cap=0) for wanted in found}
    if len(alike) == 1 and isinstance(meaning, Choice) and _always(meaning):
        return (Wanted(max((wanted.copy for wanted in found), key=lambda copy: copy.cap)),)
    return found


def limited(meaning: Any, cap: int) -> Any:
    """The same meaning with copies of at most `cap` bytes."""
    if isinstance(meaning, Choice):
        cases = {value: limited(below, cap) for value, below in meaning.cases.items()}
        return Choice(meaning.on, meaning.mask, cases, limited(meaning.other, cap), meaning.plain)
    copy = getattr(meaning, "copy", None)
    return replace(meaning, copy=replace(copy, cap=min(copy.cap, cap))) if copy else meaning


def _always(meaning: Meaning | None) -> bool:
    """True when it needs a copy in all cases."""
    if isinstance(meaning, Choice):
        return all(_always(below) for below in (*meaning.cases.values(), meaning.other))
    return getattr(meaning, "copy", None) is not None


def _wanted(meaning: Meaning | None) -> Iterator[Wanted]:
    if not isinstance(meaning, Choice):
        copy: Copy | None = getattr(meaning, "copy", None)
        if copy:
            yield Wanted(copy)
        return
    together: dict[tuple[Wanted, ...], list[int]] = {}
    for value, below in meaning.cases.items():
        together.setdefault(copies_of(below), []).append(value)
    for wanted, values in together.items():
        yield from _under(Condition(meaning.on, meaning.mask, tuple(values)), wanted)
    yield from _under(Condition(meaning.on, meaning.mask, tuple(meaning.cases), negated=True), copies_of(meaning.other))


def _under(condition: Condition, wanted: tuple[Wanted, ...]) -> Iterator[Wanted]:
    for one in wanted:
        yield Wanted(one.copy, (condition, *one.conditions))
