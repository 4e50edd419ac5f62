"""The structures that system calls point to, as layouts.

Input: `tables/structs.toml`, written by us from the kernel's uapi headers; its first lines tell the layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tracescope.attach.meaning.kinds import Layout, Meaning, Member, Moment, SignalSet, Text
from tracescope.attach.meaning.names import MACHINE, family_of, load_table, name_set
from tracescope.attach.meaning.numbers import number_meaning

__all__ = ("layout", "layout_ids", "member_of")

_MICROSECOND = 1000


def layout_ids() -> tuple[str, ...]:
    """The ids of all structures."""
    return tuple(load_table("structs.toml"))


@lru_cache(maxsize=256)
def layout(id_: str, machine: str = MACHINE) -> Layout | None:
    """The structure of that id; None when there is none, or when this machine's layouts are not known."""
    family, table = family_of(machine), load_table("structs.toml").get(id_)
    if family is None or table is None:
        return None
    table = table.get(family, table)
    members = tuple(member_of(name, row, machine) for name, row in table["members"].items())
    return Layout(id_, table["size"], members)


def member_of(name: str, row: list[Any], machine: str = MACHINE) -> Member:
    """One line of `members`."""
    offset, kind = row[0], row[1]
    if kind[0] in "us" and kind[1:].isdigit():
        bits, signed = int(kind[1:]), kind[0] == "s"
        word = row[3] if len(row) > 3 else ""
        return Member(name, offset, bits // 8, signed, number_meaning(word, bits, signed, machine))
    size, means = _compound(kind, machine)
    return Member(name, offset, size, means=means)


def _compound(kind: str, machine: str) -> tuple[int, Meaning]:
    if kind.startswith("chars"):
        return int(kind.removeprefix("chars")), Text(None)
    kinds: Mapping[str, tuple[int, Meaning]] = {
        "timespec": (16, Moment(None)),
        "timeval": (16, Moment(None, step=_MICROSECOND)),
        "statx_time": (16, Moment(None, statx=True)),
        "sigset": (8, SignalSet(None, name_set("signal", machine))),
    }
    return kinds[kind]
