"""`--where` over a record, in Python, where the kernel runs no program of ours. Pure.

Only what the record holds can be looked at: a condition on anything else is refused before the session starts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tracescope.attach.ask.scope import scope_of
from tracescope.attach.borrowed.records import NO_PARENT
from tracescope.attach.decode.captured import captures_in
from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.check import check_condition
from tracescope.attach.expression.parse import parse
from tracescope.attach.expression.python_value import holds
from tracescope.attach.expression.typed import Typed, reads
from tracescope.attach.expression.types import Text
from tracescope.attach.record.layout import HEADER, FieldLayout, PlannedProbe
from tracescope.attach.targets.target import Shape
from tracescope.errors import Refused
from tracescope.sources.btf import Btf

__all__ = ("Condition", "condition_of", "typed_condition")

Condition: TypeAlias = Callable[[bytes], bool]
_Read: TypeAlias = Callable[[bytes], "int | bytes | None"]

_HEAD = ("time_ns", "cpu", "probe", "pid", "tid", "ppid", "flags", "comm")
_PAIR = struct.Struct("=qQ")
_FLAGS = _HEAD.index("flags")


def typed_condition(text: str, probe: PlannedProbe, btf: Btf | None) -> Typed | None:
    """The condition with its names settled; None without a text. Raises UsageError with the place."""
    return check_condition(parse(text), scope_of(probe.target, btf)) if text.strip() else None


def condition_of(typed: Typed, probe: PlannedProbe, backend: str) -> Condition:
    """Does a record meet the condition; raises Refused for one on what this backend's records do not hold."""
    readers = {located.name: _reader(located, probe, backend) for located in reads(typed)}
    return lambda record: holds(typed, {name: read(record) for name, read in readers.items()})


def _reader(located: Located, probe: PlannedProbe, backend: str) -> _Read:
    name = located.name
    if name in _HEAD and name not in ("probe", "flags"):
        return _of_head(_HEAD.index(name))
    if probe.end and name in ("ret", "args.ret", "duration_ns"):
        at, offset = int(name == "duration_ns"), probe.result_offset
        return lambda record: int(_PAIR.unpack_from(record, offset)[at])
    word = name.removeprefix("args.")
    if name.startswith("args.") or name == "ret":
        for number, layout in enumerate(probe.fields):
            if layout.field.name == word and (read := _of_field(layout, number, located, probe)) is not None:
                return read
    why = f"{backend} hands over nothing but the probe's own values, and this is none"
    raise Refused(f"{backend} cannot look at {name}", why, "--backend bcc")


def _of_head(index: int) -> _Read:
    def read(record: bytes) -> int | bytes | None:
        head = HEADER.unpack_from(record)
        unknown = _HEAD[index] == "ppid" and head[_FLAGS] & NO_PARENT
        value: int | bytes = head[index]
        return None if unknown else value

    return read


def _of_field(layout: FieldLayout, number: int, located: Located, probe: PlannedProbe) -> _Read | None:
    field, offset = layout.field, layout.offset
    if isinstance(located.type, Text):
        if field.location:
            return lambda record: _parts(probe, record)[sum(one.dynamic for one in probe.fields[:number])]
        if field.array is not None:
            return lambda record: record[offset : offset + field.size]
        if any(capture.name == field.name for capture in probe.captures):
            return lambda record: _captured(probe, record, field.name)
        return _filename if probe.shape is Shape.EXEC and field.name == "filename" else None
    if field.location or field.array is not None or field.size not in (1, 2, 4, 8):
        return None
    code = struct.Struct("=" + {1: "B", 2: "H", 4: "I", 8: "Q"}[field.size])
    return lambda record: int(code.unpack_from(record, offset)[0])


def _parts(probe: PlannedProbe, record: bytes) -> Sequence[bytes]:
    """The bytes of the dynamic fields."""
    parts, at = [], probe.fixed_size
    for layout in probe.dynamic:
        size = min(struct.unpack_from("=H", record, layout.offset + 2)[0], probe.cap)
        parts.append(record[at : at + size])
        at += size
    return parts


def _captured(probe: PlannedProbe, record: bytes, name: str) -> bytes | None:
    for found in captures_in(probe, record, 0, probe.fixed_size):
        if found.capture.name == name:
            return None if found.unread else found.data
    return None


def _filename(record: bytes) -> bytes | None:
    from tracescope.attach.program.exec_calls import TEXT_OFFSET
    from tracescope.attach.program.exec_text import TEXT, ExecFlag

    if TEXT.unpack_from(record, TEXT_OFFSET)[0] & ExecFlag.FILENAME_UNREAD:
        return None
    return record[TEXT_OFFSET + TEXT.size :].partition(b"\0")[0]
