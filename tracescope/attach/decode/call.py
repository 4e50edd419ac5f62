"""The arguments of a system call in words: flags by name, paths, addresses, times."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tracescope.attach.meaning import Phase
from tracescope.attach.record.call_memory import CallMeaning, meanings_of
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.record.values import Value, argument_type

__all__ = ("CallDecoder",)

_WORD = struct.Struct("=Q")


class CallDecoder:
    """Decodes the records of one system call's entry, or of entry and return in one."""

    def __init__(self, probe: PlannedProbe) -> None:
        self._meanings: tuple[CallMeaning, ...] = meanings_of(probe.target)
        fields = [layout for layout in probe.fields if layout.field.name != "__syscall_nr"]
        self._offsets = [(layout.field.name, layout.offset) for layout in fields]
        self._plain = {layout.field.name: argument_type(layout.field) for layout in fields}

    def args(self, record: bytes, copied: Mapping[str, Mapping[Phase, bytes]], ret: int | None) -> dict[str, Value]:
        """Values by name; `copied` has the bytes of each argument's memory that could be read."""
        raw = {name: _WORD.unpack_from(record, offset)[0] for name, offset in self._offsets}
        known = raw if ret is None else {**raw, "ret": ret}
        values: dict[str, Value] = {}
        for meaning in self._meanings:
            name = meaning.name
            if meaning.enter is None and name not in copied:
                values[name] = _number(raw[name], *self._plain[name])
                continue
            key, told = meaning.told(known, copied.get(name, {}))
            values[key] = told.word
            if told.truncated:
                values[f"{key}_truncated"] = True
        return values


def _number(word: int, size: int, signed: bool) -> int:
    """The word in the size and the sign of its C type."""
    bits = 8 * size
    number = word & (1 << bits) - 1
    return number - (1 << bits) if signed and number >> (bits - 1) else number
