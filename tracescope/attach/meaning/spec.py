"""The words of `calls.toml` as meanings.

    fd, size, mode, … or the id of a set of names       a number (`numbers.py`)
    *WORD [N]           one such number behind a pointer, or N of them
    path, string CAP    text up to a NUL              chars N      N bytes with text up to a NUL
    bytes N             a buffer                      option N     a socket option's value
    sockaddr N          a socket address of N bytes   status       what wait4 fills in
    struct ID [N]       a structure (of N bytes)      structs ID N N structures
    timespec [N], timeval [N], sigset       N of them, or one of N bytes when N is no number
    mask N              N bits                        cpus N       N bytes of bits

N is a number, an argument's name, `NAME:32` where it has 32 bits, `*NAME` where it is behind a pointer, or `ret`.
`failure` before a word: the memory is filled in when the call fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tracescope.attach.meaning.copies import Copy, Phase
from tracescope.attach.meaning.kinds import (
    Bitmap,
    Data,
    Meaning,
    Moment,
    Named,
    Number,
    Option,
    Record,
    SignalSet,
    SocketAddress,
    Text,
    Values,
    WaitStatus,
)
from tracescope.attach.meaning.names import name_set
from tracescope.attach.meaning.numbers import number_meaning
from tracescope.attach.meaning.structures import layout

__all__ = ("ARRAY_BYTES", "DATA_BYTES", "PATH_BYTES", "Target", "meaning_from", "socket_address")

PATH_BYTES = 4096
"""PATH_MAX: no path is longer."""
DATA_BYTES = 128
"""How much of a buffer is worth the copy."""
ARRAY_BYTES = 256
"""How much of an array is."""
_SOCKADDR_BYTES = 128  # struct sockaddr_storage
_TIME_BYTES = 16
_WORD_BITS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """What the words are said of: a number's width and sign, the phase, the machine."""

    bits: int
    signed: bool
    phase: Phase
    machine: str


def meaning_from(text: str, target: Target) -> Meaning | None:
    """The meaning that the words say; None for empty ones, or where this machine is not known well enough."""
    word, *rest = text.split() or [""]
    if word == "failure":
        failed = Target(target.bits, target.signed, Phase.FAILED, target.machine)
        return meaning_from(" ".join(rest), failed)
    if word.startswith("*"):
        return _behind(word[1:], rest, target)
    make = _MEMORY.get(word)
    return make(rest, target) if make else number_meaning(word, target.bits, target.signed, target.machine)


def socket_address(copy: Copy | None, machine: str) -> SocketAddress:
    """A socket address with the names that it needs."""
    return SocketAddress(copy, name_set("family", machine), name_set("ethernet_protocol", machine))


def _copy(phase: Phase, count: str, unit: int, most: int) -> Copy:
    """The copy of `count` elements of `unit` bits, at most `most` bytes."""
    if count.isdigit():
        return Copy(phase, min(int(count) * unit // _WORD_BITS, most))
    name, _, bits = count.partition(":")
    return Copy(phase, most, name.lstrip("*"), unit, int(bits or 64), count_behind=name.startswith("*"))


def _bytes(rest: list[str], target: Target, most: int = DATA_BYTES) -> Copy:
    return _copy(target.phase, rest[0], _WORD_BITS, most)


def _behind(word: str, rest: list[str], target: Target) -> Meaning | None:
    each = number_meaning(word, 32, signed=True, machine=target.machine)
    if each is None:
        return None
    size = each.bits // 8 if isinstance(each, Number | Named) else 8
    if not rest:
        return Values(Copy(target.phase, size), each, size)
    if rest[0].startswith("*"):  # such a count is always one of bytes
        return Values(_copy(target.phase, rest[0], _WORD_BITS, size), each, size)
    return Values(_copy(target.phase, rest[0], size * 8, ARRAY_BYTES), each, size, many=True)


def _moment(step: int) -> Callable[[list[str], Target], Meaning]:
    def make(rest: list[str], target: Target) -> Meaning:
        if rest and not rest[0].isdigit():
            return Moment(_bytes(rest, target, _TIME_BYTES), step)
        return Moment(Copy(target.phase, _TIME_BYTES * int(rest[0] if rest else 1)), step, many=bool(rest))

    return make


def _struct(rest: list[str], target: Target) -> Meaning | None:
    found = layout(rest[0], target.machine)
    if found is None:
        return None
    if len(rest) == 1:
        return Record(Copy(target.phase, found.span), found)
    return Record(_copy(target.phase, rest[1], _WORD_BITS, found.span), found)


def _structs(rest: list[str], target: Target) -> Meaning | None:
    found = layout(rest[0], target.machine)
    if found is None:
        return None
    most = max(ARRAY_BYTES // found.size, 1) * found.size
    return Record(_copy(target.phase, rest[1], found.size * _WORD_BITS, most), found, many=True)


_MEMORY: Mapping[str, Callable[[list[str], Target], Meaning | None]] = {
    "path": lambda _, target: Text(Copy(target.phase, PATH_BYTES, text=True)),
    "string": lambda rest, target: Text(Copy(target.phase, int(rest[0]), text=True)),
    "chars": lambda rest, target: Text(_bytes(rest, target, PATH_BYTES)),
    "bytes": lambda rest, target: Data(_bytes(rest, target)),
    "option": lambda rest, target: Option(_bytes(rest, target)),
    "sockaddr": lambda rest, target: socket_address(_bytes(rest, target, _SOCKADDR_BYTES), target.machine),
    "status": lambda _, target: WaitStatus(Copy(target.phase, 4), name_set("signal", target.machine)),
    "sigset": lambda _, target: SignalSet(Copy(target.phase, 8), name_set("signal", target.machine)),
    "timespec": _moment(1),
    "timeval": _moment(1000),
    "mask": lambda rest, target: Bitmap(_copy(target.phase, rest[0], 1, DATA_BYTES)),
    "cpus": lambda rest, target: Bitmap(_bytes(rest, target)),
    "struct": _struct,
    "structs": _structs,
}
