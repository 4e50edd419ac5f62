"""A tracepoint's field in words where its type and name tell what it is: IP addresses, devices, modes, signals."""

from __future__ import annotations

from tracescope.attach.meaning import Meaning, field_meaning, words
from tracescope.attach.meaning.kinds import Result
from tracescope.attach.record.layout import FieldLayout
from tracescope.attach.record.values import Reader, Value
from tracescope.model import EventFormat

__all__ = ("with_meaning",)

_LARGEST = 8


def with_meaning(format_: EventFormat, layout: FieldLayout, plain: Reader) -> Reader:
    """A function that reads the field and says what it means; `plain` where it means nothing more."""
    field = layout.field
    meaning = field_meaning(format_.group, format_.name, field.name, field.full_type)
    # A result stays a number: its error is named beside it.
    if meaning is None or isinstance(meaning, Result) or field.location:
        return plain
    return (
        _of_bytes(layout, meaning) if field.size > _LARGEST or field.array is not None else _of_number(plain, meaning)
    )


def _of_bytes(layout: FieldLayout, meaning: Meaning) -> Reader:
    start, end = layout.offset, layout.offset + layout.field.size
    return lambda record: words(meaning, 0, record[start:end])


def _of_number(plain: Reader, meaning: Meaning) -> Reader:
    def read(record: bytes) -> Value:
        number = plain(record)
        return words(meaning, number) if isinstance(number, int) else number

    return read
