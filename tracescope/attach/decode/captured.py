"""What a record holds of the values that were read beside the probe's own words: slots, and the bytes behind them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracescope.attach.record.layout import Capture, CaptureKind, PlannedProbe
from tracescope.attach.record.values import Value, until_nul
from tracescope.printable import decode

__all__ = ("Found", "captures_in", "path_of")

_SLOT = struct.Struct("=q")
_NULL: dict[str, str] = {"address": "0x0"}


@dataclass(frozen=True, slots=True)
class Found:
    """One capture in one record: the number, or how many bytes there are and those that were copied."""

    capture: Capture
    slot: int
    data: bytes
    unread: bool

    def values(self) -> dict[str, Value]:
        """The value by its name, and what says that it was cut."""
        capture = self.capture
        show: Callable[[int | bytes], Value] = capture.decode or _PLAIN[capture.kind]
        if self.unread:
            return {capture.name: None}
        if not capture.dynamic:
            return {capture.name: show(self.slot)}
        if not self.slot:
            return {capture.name: _NULL}
        cut = self.slot > capture.size - (capture.kind is CaptureKind.TEXT)
        return {capture.name: show(self.data)} | ({f"{capture.name}_truncated": True} if cut else {})


def captures_in(probe: PlannedProbe, record: bytes, flags: int, at: int) -> Iterator[Found]:
    """The captures of a record; the first one's bytes begin at `at`."""
    for number, capture in enumerate(probe.captures):
        (slot,) = _SLOT.unpack_from(record, probe.slots_offset + 8 * number)
        if capture.dynamic:
            data = record[at : at + min(max(slot, 0), capture.size)]
            at += len(data)
            yield Found(capture, slot, data, slot < 0)
        else:
            yield Found(capture, slot, b"", bool(flags & 1 << number))


def path_of(names: bytes) -> str:
    """The path of the names from a file up to the root, each with its NUL."""
    return "/" + "/".join(reversed(decode(names).split("\0")[:-1]))


def _addresses(data: bytes) -> tuple[int, ...]:
    """The words up to the first 0."""
    words = struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])
    return words[: words.index(0)] if 0 in words else words


_PLAIN: dict[CaptureKind, Callable[[int | bytes], Value]] = {
    CaptureKind.NUMBER: lambda number: number if isinstance(number, int) else None,
    CaptureKind.TEXT: lambda data: until_nul(data) if isinstance(data, bytes) else None,
    CaptureKind.BYTES: lambda data: {"raw": f"0x{data.hex()}"} if isinstance(data, bytes) else None,
    CaptureKind.PATH: lambda names: path_of(names) if isinstance(names, bytes) else None,
    CaptureKind.KERNEL_STACK: lambda data: _addresses(data) if isinstance(data, bytes) else None,
    CaptureKind.USER_STACK: lambda data: _addresses(data) if isinstance(data, bytes) else None,
}
