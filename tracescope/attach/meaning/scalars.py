"""A number as the word that its meaning makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracescope.attach.meaning.kinds import Address, Device, IoctlCommand, Meaning, Mode, Named, Number, Owner, Result
from tracescope.attach.meaning.names import spell

__all__ = ("errno_word", "scalar", "sized")

_WORD = 64
_MAX_ERRNO = 4095
_TYPE_BITS, _PERMISSION_BITS = 0o170000, 0o7777
_KEEP = 0xFFFFFFFF
# asm-generic/ioctl.h
_DIRECTIONS = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")


def sized(value: int, bits: int, signed: bool) -> int:
    """The lower bits of a register as a number; what is above them may be anything."""
    mask = (1 << bits) - 1
    value &= mask
    return value - mask - 1 if signed and value >> (bits - 1) else value


def errno_word(meaning: Result, value: int) -> str | None:
    """`ENOENT` for -2; None for what is no error, or has no name."""
    if not -_MAX_ERRNO <= value < 0:
        return None
    return next((name for names in meaning.errors if (name := names.values.get(-value))), None)


def scalar(meaning: Meaning, value: int) -> int | str | None:
    """The word for a number; None when the meaning is of memory."""
    make = _WORDS.get(type(meaning))
    return make(meaning, value) if make else None


def _number(meaning: Number, value: int) -> int | str:
    number = sized(value, meaning.bits, meaning.signed)
    if meaning.base == 16:
        return f"{number:#x}"
    return f"0{number:o}" if meaning.base == 8 else number


def _named(meaning: Named, value: int) -> int | str:
    return spell(meaning.names, sized(value, meaning.bits, meaning.signed), meaning.bits)


def _mode(meaning: Mode, value: int) -> str:
    number = sized(value, meaning.bits, signed=False)
    kind, permissions = number & _TYPE_BITS, number & _PERMISSION_BITS
    words = []
    if kind:
        words.append((meaning.types.values.get(kind) if meaning.types else None) or f"0{kind:o}")
    words.append(f"0{permissions:03o}")
    rest = number & ~(_TYPE_BITS | _PERMISSION_BITS)
    return "|".join(words + ([f"{rest:#x}"] if rest else []))


def _owner(_: Owner, value: int) -> int | str:
    number = value & _KEEP
    return "unchanged" if number == _KEEP else number


def _device(meaning: Device, value: int) -> str:
    # MKDEV() of include/linux/kdev_t.h inside; new_encode_dev() of the same file outside, with glibc's upper halves.
    if meaning.inside:
        number = value & 0xFFFFFFFF
        return f"{number >> 20}:{number & 0xFFFFF}"
    number = value & 0xFFFFFFFFFFFFFFFF
    major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFFF000)
    minor = (number & 0xFF) | (number >> 12 & 0xFFFFFF00)
    return f"{major}:{minor}"


def _ioctl(meaning: IoctlCommand, value: int) -> str:
    number = value & 0xFFFFFFFF
    name = meaning.names.values.get(number) if meaning.names else None
    if name or meaning.names is None:
        return name or f"{number:#x}"
    direction, size = _DIRECTIONS[number >> 30], number >> 16 & 0x3FFF
    type_, nr = number >> 8 & 0xFF, number & 0xFF
    return f"_IOC({direction}, {', '.join(f'{part:#x}' if part else '0' for part in (type_, nr, size))})"


def _result(meaning: Result, value: int) -> int | str:
    number = sized(value, meaning.bits, signed=True)
    if -_MAX_ERRNO <= number < 0:
        return errno_word(meaning, number) or number
    word = None if meaning.success is None else scalar(meaning.success, value)
    return number if word is None else word


_WORDS: Mapping[type[Any], Callable[[Any, int], int | str | None]] = {
    Number: _number,
    Address: lambda _, value: f"{value & ((1 << _WORD) - 1):#x}",
    Named: _named,
    Mode: _mode,
    Owner: _owner,
    Device: _device,
    IoctlCommand: _ioctl,
    Result: _result,
}
