"""One probe's program in C, and what its events have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracescope.attach.targets.target import Target
from tracescope.export.c.carried import Column

__all__ = ("Program", "probes_of")


@dataclass(frozen=True, slots=True)
class Program:
    """One probe's: `columns` are what its events have; `text` is all of its C."""

    number: int
    function: str
    struct: str
    target: Target
    columns: tuple[Column, ...]
    text: str
    entry: str = ""
    """The function at the entry, where entry and return are one event."""


def probes_of(made: Sequence[Program]) -> list[str]:
    """The names of all that is attached to, each once."""
    ends = (end for one in made for end in (one.target, one.target.end) if end is not None)
    return list(dict.fromkeys(end.probe for end in ends))
