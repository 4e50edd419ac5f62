"""The kernel's names for numbers: enumerations and sets of flags, and a number written in them.

Input: the files in `tables/names/`, written by us from the kernel's uapi headers; their first lines tell the layout.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

__all__ = ("MACHINE", "NameSet", "Part", "family_of", "load_table", "name_set", "set_ids", "spell")

MACHINE = platform.machine()
"""The machine that this process runs on, as uname says it."""

_FAMILIES = {"x86_64": "x86", "aarch64": "arm", "arm64": "arm", "riscv64": "", "loongarch64": ""}
# The files in the order in which they are read, each only when a set was in none before it.
_AREAS = ("files", "processes", "network", "memory", "ioctls")
_REST = {"hex": "{:#x}", "octal": "0{:o}", "decimal": "{}"}


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An enumeration inside a set of flags: the bits under `mask`, shifted right by `shift`."""

    mask: int
    shift: int
    values: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NameSet:
    """One set of names; without bits and parts it is an enumeration.

    `bits` hold what may be more than one bit, in the order in which they are looked for. `numbers` has every name with
    its number, aliases and masks too.
    """

    id: str
    values: Mapping[int, str]
    bits: tuple[tuple[int, str], ...]
    parts: tuple[Part, ...]
    zero: str
    rest: str
    numbers: Mapping[str, int]

    @property
    def is_enumeration(self) -> bool:
        """True when a number has one name, not a set of them."""
        return not self.bits and not self.parts

    def __repr__(self) -> str:
        return f"NameSet({self.id})"


def family_of(machine: str) -> str | None:
    """`x86`, `arm`, empty for a machine with the generic numbers, None for one whose numbers we do not know."""
    return _FAMILIES.get(machine)


@cache
def load_table(path: str) -> dict[str, Any]:
    """A packaged file below `tables/`."""
    return tomllib.loads((files(__package__) / "tables" / path).read_text(encoding="utf-8"))


def _table(id_: str) -> dict[str, Any] | None:
    areas = (load_table(f"names/{area}.toml") for area in _AREAS)
    return next((area[id_] for area in areas if id_ in area), None)


def set_ids() -> tuple[str, ...]:
    """The ids of all sets."""
    return tuple(id_ for area in _AREAS for id_ in load_table(f"names/{area}.toml"))


@lru_cache(maxsize=1024)
def name_set(id_: str, machine: str = MACHINE) -> NameSet | None:
    """The set of that id; None when there is no such set, or when this machine's numbers are not known."""
    family = family_of(machine)
    table = None if family is None else _table(id_)
    if family is None or table is None:
        return None
    if "like" in table:
        return _swapped(id_, (_table(table["like"]) or {}).get("values", {}))
    values: dict[str, int] = dict(table.get("values", {}))
    bits: dict[str, int] = dict(table.get("bits", {}))
    (values if values else bits).update(table.get(family, {}))
    fields = [(row, names) for row in table.get("fields", ()) if (names := name_set(row["values"], machine))]
    numbers = {name: number for _, names in fields for name, number in names.numbers.items()}
    numbers |= {row["name"]: row["mask"] for row, _ in fields if "name" in row} | bits | values
    zero = table.get("zero", "")
    return NameSet(
        id=id_,
        values=_first_names(values),
        bits=tuple((number, name) for name, number in bits.items()),
        parts=tuple(Part(row["mask"], row.get("shift", 0), names.values) for row, names in fields),
        zero=zero or "0",
        rest=_REST[table.get("rest", "hex")],
        numbers=numbers | ({zero: 0} if zero else {}),
    )


def _first_names(values: Mapping[str, int]) -> dict[int, str]:
    """The first name of each number."""
    return {number: name for name, number in reversed(list(values.items()))}


def _swapped(id_: str, values: Mapping[str, int]) -> NameSet:
    """16-bit numbers as they are in network byte order."""
    numbers = {
        name: int.from_bytes(number.to_bytes(2, "big"), sys.byteorder) for name, number in values.items()
    }  # fmt: skip
    return NameSet(id_, _first_names(numbers), (), (), "0", _REST["hex"], numbers)


@lru_cache(maxsize=8192)
def spell(names: NameSet, number: int, bits: int) -> str | int:
    """A number of `bits` bits in these names: `O_WRONLY|O_CREAT|0x4`; the number itself where an enumeration lacks it.

    A negative number is one of a signed type.
    """
    mask = (1 << bits) - 1
    if names.is_enumeration:
        known = names.values
        return known.get(number) or known.get(number & mask) or known.get((number & mask) - mask - 1) or number
    return _flags(names, number & mask, mask)


def _flags(names: NameSet, number: int, mask: int) -> str:
    # All bits at once are nobody's flags: -1 asks for the present value, or is a mistake.
    if number == mask and _bits_of(names) & mask != mask:
        return f"{number:#x}"
    rest, found = number, []
    for part in names.parts:
        name = part.values.get((number & part.mask) >> part.shift)
        if name is not None:
            found.append(name)
            rest &= ~part.mask
    for bit, name in names.bits:
        if bit and rest & bit == bit:
            found.append(name)
            rest &= ~bit
    if rest:
        found.append(names.rest.format(rest))
    return "|".join(found) or names.zero


def _bits_of(names: NameSet) -> int:
    """All bits that have a name."""
    total = 0
    for bit, _ in names.bits:
        total |= bit
    return total
