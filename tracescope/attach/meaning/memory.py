"""The bytes behind a pointer, or in a record, as the words that their meaning makes of them; short bytes are no error.

Integers are in the machine's byte order.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tracescope.attach.meaning.kinds import (
    Bitmap,
    Data,
    IpAddress,
    Layout,
    LinkAddress,
    Meaning,
    Member,
    Moment,
    Option,
    Record,
    SignalSet,
    SocketAddress,
    Text,
    Values,
    WaitStatus,
)
from tracescope.attach.meaning.names import NameSet, spell
from tracescope.attach.meaning.scalars import scalar
from tracescope.attach.meaning.sockets import ip_text, link_text, socket_words
from tracescope.printable import decode

__all__ = ("Word", "memory_word", "raw")

Word: TypeAlias = "int | str | bool | list[Word] | dict[str, Word]"
"""What an argument is shown as."""

_TIMES = struct.Struct("=qq")
_STATX_TIME = struct.Struct("=qI4x")
_SECOND = 1_000_000_000
# Only utimensat knows them (uapi linux/stat.h); no other time has so many nanoseconds.
_SPECIAL = {(1 << 30) - 1: "UTIME_NOW", (1 << 30) - 2: "UTIME_OMIT"}
_NUMBER_SIZES = (1, 2, 4, 8)
# <bits/waitstatus.h>
_CONTINUED, _STOPPED, _CORE, _SIGNAL = 0xFFFF, 0x7F, 0x80, 0x7F


def memory_word(meaning: Meaning, data: bytes) -> Word | None:
    """The word for these bytes; None when the meaning is not of memory."""
    make = _WORDS.get(type(meaning))
    return make(meaning, data) if make else None


def raw(data: bytes) -> dict[str, Word]:
    """Bytes that cannot be told."""
    return {"raw": f"0x{data.hex()}"}


def _text(_: Text, data: bytes) -> Word:
    return decode(data.partition(b"\0")[0])


def _data(_: Data, data: bytes) -> Word:
    return decode(data)


def _sockaddr(meaning: SocketAddress, data: bytes) -> Word:
    return dict(socket_words(meaning, data))


def _moment(meaning: Moment, data: bytes) -> Word:
    parts = [data[at : at + _TIMES.size] for at in range(0, len(data), _TIMES.size)]
    if meaning.many:
        return [_time(meaning, part) for part in parts]
    return _time(meaning, parts[0] if parts else b"")


def _time(meaning: Moment, data: bytes) -> Word:
    if len(data) < _TIMES.size:
        return raw(data)
    seconds, below = (_STATX_TIME if meaning.statx else _TIMES).unpack(data)
    fraction = below * meaning.step
    if not 0 <= fraction < _SECOND:
        return _SPECIAL.get(below) or raw(data)
    return int(seconds) * _SECOND + int(fraction)


def _values(meaning: Values, data: bytes) -> Word:
    size = meaning.size
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    if meaning.many:
        return [_value(meaning, part) for part in parts]
    return _value(meaning, parts[0] if parts else b"")


def _value(meaning: Values, data: bytes) -> Word:
    if len(data) < meaning.size:
        return raw(data)
    found = scalar(meaning.each, int.from_bytes(data, sys.byteorder))
    return raw(data) if found is None else found


def _option(_: Option, data: bytes) -> Word:
    return int.from_bytes(data, sys.byteorder, signed=True) if len(data) in _NUMBER_SIZES else raw(data)


def _bits(data: bytes) -> list[int]:
    """The numbers of the bits that are set; masks are arrays of 64-bit words."""
    words = [data[at : at + 8] for at in range(0, len(data), 8)]
    return [
        64 * index + bit
        for index, word in enumerate(words)
        for number in (int.from_bytes(word, sys.byteorder),)
        for bit in range(number.bit_length())
        if number >> bit & 1
    ]


def _bitmap(_: Bitmap, data: bytes) -> Word:
    return list(_bits(data))


def _signals(meaning: SignalSet, data: bytes) -> Word:
    if len(data) < 8:
        return raw(data)
    return [_signal(meaning.signals, bit + 1) for bit in _bits(data[:8])]


def _signal(signals: NameSet | None, number: int) -> str | int:
    return spell(signals, number, 32) if signals else number


def _status(meaning: WaitStatus, data: bytes) -> Word:
    if len(data) < 4:
        return raw(data)
    status = int.from_bytes(data[:4], sys.byteorder)
    if status == _CONTINUED:
        return {"continued": True}
    if status & 0xFF == _STOPPED:
        found: dict[str, Word] = {"stopped": _signal(meaning.signals, status >> 8 & 0xFF)}
        return found | ({"event": status >> 16} if status >> 16 else {})
    signal = status & _SIGNAL
    if signal == 0:
        return {"exit_code": status >> 8 & 0xFF}
    found = {"signal": _signal(meaning.signals, signal)}
    return found | ({"core": True} if status & _CORE else {})


def _record(meaning: Record, data: bytes) -> Word:
    layout = meaning.layout
    if not meaning.many:
        return _structure(layout, data)
    return [_structure(layout, data[at : at + layout.size]) for at in range(0, len(data), layout.size)]


def _structure(layout: Layout, data: bytes) -> Word:
    """The members that are there; a caller may pass less than the kernel knows."""
    found = {
        member.name: _member(member, data[member.offset : member.offset + member.size])
        for member in layout.members
        if member.offset + member.size <= len(data)
    }
    return found or raw(data)


def _member(member: Member, data: bytes) -> Word:
    number = int.from_bytes(data, sys.byteorder, signed=member.signed)
    if member.means is None:
        return number
    word = memory_word(member.means, data)
    if word is None:
        word = scalar(member.means, number)
    return number if word is None else word


def _ip(_: IpAddress, data: bytes) -> Word:
    return ip_text(data) or raw(data)


def _link(meaning: LinkAddress, data: bytes) -> Word:
    return link_text(data[: meaning.size])


_WORDS: Mapping[type[Any], Callable[[Any, bytes], Word]] = {
    Text: _text,
    Data: _data,
    SocketAddress: _sockaddr,
    Moment: _moment,
    Values: _values,
    Option: _option,
    SignalSet: _signals,
    Bitmap: _bitmap,
    WaitStatus: _status,
    Record: _record,
    IpAddress: _ip,
    LinkAddress: _link,
}
