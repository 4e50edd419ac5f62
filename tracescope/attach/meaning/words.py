"""A meaning and a value as words: JSON-able, short, and never wrong about what is not known.

Flags are `A|B|0x40`, an enumeration is a name or the number, an address is `0x…` text, times are nanoseconds,
structures are objects. Memory that was not read is `{"address": "0x…"}` (NULL is `0x0`), bytes that cannot be told are
`{"raw": "0x…"}`. No bytes and no numbers are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from tracescope.attach.meaning.copies import Copy
from tracescope.attach.meaning.kinds import (
    Choice,
    Flat,
    IoctlCommand,
    Meaning,
    Mode,
    Moment,
    Named,
    Record,
    Result,
    SignalSet,
    Values,
    WaitStatus,
)
from tracescope.attach.meaning.memory import Word, memory_word
from tracescope.attach.meaning.names import NameSet
from tracescope.attach.meaning.scalars import scalar

__all__ = ("Told", "Word", "chosen", "key", "names_of", "tell", "words")

_NOTHING: Mapping[str, int] = MappingProxyType({})
_WORD = (1 << 64) - 1


class Told(NamedTuple):
    """A word, and whether memory had more of it than was copied."""

    word: Word
    truncated: bool = False


def chosen(meaning: Meaning | None, arguments: Mapping[str, int] = _NOTHING) -> Flat | None:
    """The meaning beside the other arguments (raw values by name, `ret` for the result)."""
    if isinstance(meaning, Choice):
        return meaning.choose(arguments)
    if isinstance(meaning, Result) and isinstance(meaning.success, Choice):
        return replace(meaning, success=meaning.success.choose(arguments))
    return meaning


def words(
    meaning: Meaning | None, value: int, memory: bytes | None = None, arguments: Mapping[str, int] = _NOTHING
) -> Word:
    """The value of an argument, raw as in its register, in words; `memory` is what was copied from where it points."""
    return tell(meaning, value, memory, arguments).word


def tell(
    meaning: Meaning | None, value: int, memory: bytes | None = None, arguments: Mapping[str, int] = _NOTHING
) -> Told:
    """As `words`, and whether there was more memory than was copied. A value without meaning is itself."""
    found = chosen(meaning, arguments)
    if found is None:
        return Told(value)
    word = scalar(found, value)
    if word is not None:
        return Told(word)
    if memory is None:
        return Told({"address": f"{value & _WORD:#x}"})
    copy: Copy | None = getattr(found, "copy", None)
    data = memory if copy is None else memory[: copy.size(arguments)]
    told = memory_word(found, data)
    return Told({"address": f"{value & _WORD:#x}"} if told is None else told, _is_short(found, copy, data, arguments))


def _is_short(meaning: Flat, copy: Copy | None, data: bytes, arguments: Mapping[str, int]) -> bool:
    if copy is None:
        return False
    if copy.text:
        # The kernel's string copy puts the NUL at the end also when it had to stop there.
        end = data.find(b"\0")
        return end < 0 or end + 1 >= copy.cap
    if copy.count_behind or copy.count not in arguments:
        return False
    # What a caller passes behind the members that we know is of no interest, the rest of an array is.
    one = isinstance(meaning, Record | Moment | Values) and not meaning.many
    return len(data) < copy.size(arguments, capped=one)


def key(argument: str, meaning: Flat | None, word: Word) -> str:
    """The name of an argument's word among an event's values: nanoseconds say so, `rqtp_ns`, an address does not."""
    return f"{argument}_ns" if isinstance(meaning, Moment) and not isinstance(word, dict) else argument


def names_of(meaning: Meaning | None) -> Mapping[str, int]:
    """Every name that a filter may use for this argument, with its number; errors are positive as in C (`-ENOENT`)."""
    if isinstance(meaning, Choice):
        found: dict[str, int] = {}
        for below in meaning.choices:
            found = dict(names_of(below)) | found
        return found
    if isinstance(meaning, Result):
        errors = {name: number for names in meaning.errors for name, number in names.numbers.items()}
        return errors | dict(names_of(meaning.success))
    names = _names(meaning)
    return names.numbers if names else _NOTHING


def _names(meaning: Flat | None) -> NameSet | None:
    if isinstance(meaning, Named | IoctlCommand):
        return meaning.names
    if isinstance(meaning, Mode):
        return meaning.types
    return meaning.signals if isinstance(meaning, SignalSet | WaitStatus) else None
