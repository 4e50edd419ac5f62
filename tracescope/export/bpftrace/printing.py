"""How an event is printed: the calls of printf, the form of each value. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.attach.expression.typed import Read, Typed, sign_of
from tracescope.attach.expression.types import Pointer, Text
from tracescope.attach.record.values import argument_type
from tracescope.attach.targets.target import Shape, Target
from tracescope.export.bpftrace.words import Version, Words
from tracescope.export.fields import is_char, leads_to_text
from tracescope.model import Field

__all__ = ("fields_of", "form_of", "format_of", "printfs", "stored", "time_of")

_NUMBERS = {(1, True): "%d", (2, True): "%d", (4, True): "%d", (8, True): "%lld"}
_NUMBERS |= {(size, False): "%llu" if size == 8 else "%u" for size in (1, 2, 4, 8)}


def printfs(forms: list[str], values: list[str], most: int) -> Iterator[str]:
    """Calls of printf, the last form without a value; each format of at most so many bytes, 0: one call."""
    *valued, end = forms
    text = ""
    given: list[str] = []
    for form, value in zip(valued, values, strict=True):
        if most and text and len(text) + len(form) + 1 > most:
            yield f'printf("{text}", {", ".join(given)});'
            text, given = "", []
        text += f"{form} "
        given.append(value)
    # A line break stands for the last blank.
    text = text.rstrip() + end if end == r"\n" else text + end
    yield f'printf("{text}", {", ".join(given)});'


def time_of(version: Version) -> tuple[str, list[str], list[str]]:
    """The form of the time, its values, and what is to be said before."""
    if version < (0, 12):
        return "", [], ['time("%H:%M:%S ");']
    # Microseconds came with 0.14.
    return "%s ", [f'strftime("%H:%M:%S{".%f" if version >= (0, 14) else ""}", nsecs)'], []


def fields_of(target: Target) -> list[Field]:
    """The arguments that are printed; those of execve beside the list that join() prints."""
    if target.shape is Shape.SAMPLE:
        return []
    hidden = ("__syscall_nr", "argv", "envp") if target.shape is Shape.EXEC else ("__syscall_nr",)
    return [field for field in target.format.fields if field.name not in hidden]


def stored(words: Words, field: Field) -> str:
    """An argument's value as it is printed, or kept for the return: a text by its bytes."""
    value = words.field(field)
    if field.array is not None and not field.location and not is_char(field):
        return f"ntop({value})"
    return (
        f"str({value})" if format_of(words.target, field) == "%s" and (field.location or field.array is None) else value
    )


def format_of(target: Target, field: Field) -> str:
    """How printf shows an argument; empty for what it cannot."""
    if field.location or field.array is not None:
        address = "addr" in field.name and field.array in ("4", "16") and not field.location
        return "%s" if is_char(field) or (address and field.size == int(field.array or 0)) else ""
    if field.type.endswith("*"):
        return "%s" if leads_to_text(target, field) else "%p"
    is_call = target.shape in (Shape.SYSCALL, Shape.EXEC) and field.size == 8
    return _NUMBERS.get(argument_type(field) if is_call else (field.size, field.signed), "")


def form_of(typed: Typed) -> str:
    """How printf shows a value of an expression."""
    if isinstance(typed, Read) and isinstance(typed.located.type, Text):
        return "%s"
    if isinstance(typed, Read) and isinstance(typed.located.type, Pointer):
        return "%p"
    return "%lld" if sign_of(typed) else "%llu"
