"""What a bare number can mean, by a word of the tables: `fd`, `mode`, `signal`, or the id of a set of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracescope.attach.meaning.kinds import Address, Device, IoctlCommand, Meaning, Mode, Named, Number, Owner
from tracescope.attach.meaning.names import MACHINE, NameSet, name_set

__all__ = ("number_meaning", "plain")

_INT = 32
# Words with a width and sign of their own: a descriptor is an int, also where the kernel declares `unsigned long fd`.
_PLAIN: Mapping[str, tuple[int, bool]] = {
    "fd": (_INT, True),
    "pid": (_INT, True),
    "uid": (_INT, False),
    "gid": (_INT, False),
    "size": (64, False),
    "offset": (64, True),
    "s32": (_INT, True),
    "u32": (_INT, False),
    "s64": (64, True),
    "u64": (64, False),
}
_WITH_NAMES: Mapping[str, str] = {"dfd": "at_fdcwd", "pidfd": "pidfd"}


def plain(word: str) -> Number | None:
    """The number behind a word that has no names."""
    if word not in _PLAIN:
        return None
    bits, signed = _PLAIN[word]
    return Number(bits, signed, what="" if word[0] in "su" and word[1:].isdigit() else word)


def number_meaning(word: str, bits: int, signed: bool, machine: str = MACHINE) -> Meaning | None:
    """The meaning of a number of this width; None for an empty word, or where this machine's names are not known."""
    if not word:
        return None
    found = plain(word)
    if found is not None:
        return found
    special = _special(word, bits, machine)
    if special is not None:
        return special
    if word in _WITH_NAMES:
        names = name_set(_WITH_NAMES[word], machine)
        return Named(names, _INT, signed=True) if names else Number(_INT, signed=True, what="fd")
    names = name_set(word, machine)
    return Named(names, bits, signed) if names else None


def _special(word: str, bits: int, machine: str) -> Meaning | None:
    def names(id_: str) -> NameSet | None:
        return name_set(id_, machine)

    kinds: Mapping[str, Callable[[], Meaning]] = {
        "address": Address,
        "hex": lambda: Number(bits, base=16),
        "octal": lambda: Number(bits, base=8),
        "mode": lambda: Mode(names("file_type"), min(bits, 32)),
        "device": Device,
        "owner": Owner,
        "ioctl": lambda: IoctlCommand(names("ioctl")),
    }
    make = kinds.get(word)
    return make() if make else None
