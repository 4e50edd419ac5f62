"""Keys and values by name: the thread's own facts, a plain field of the probe, its result, its duration. Pure.

Words: `pid tid ppid uid cpu comm kstack ustack`, `args.NAME`, `ret`, `duration_ns`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tracescope.attach.layout import CaptureKind, FieldLayout, PlannedProbe
from tracescope.attach.program.words import KEPT, field_value, result_value
from tracescope.attach.summary import Key, KeyKind, KeyType, Measure
from tracescope.attach.target import Shape
from tracescope.attach.values import Value, argument_type, fixed_reader
from tracescope.errors import Refused, UsageError
from tracescope.model import Field
from tracescope.sources.print_fmt import flag_tables

__all__ = ("TEXT_BYTES", "WORDS", "PlainCode", "compile_key", "compile_value", "parse_list")

TEXT_BYTES = 64
"""The most of a text that is a part of a key, with its NUL."""
_RECORDS = (Shape.RECORD, Shape.SYSCALL, Shape.EXEC)
_ARGUMENTS = (Shape.SYSCALL, Shape.EXEC)
_CHARS = ("char", "const char")
_SIZES = (1, 2, 4, 8)
_HIDDEN = 8


@dataclass(frozen=True, slots=True)
class PlainCode:
    """A `Code`: C text that gives a value."""

    value: str
    statements: str = ""
    failed: str = "0"
    definitions: str = ""


_THREAD = {
    "pid": (4, "bpf_get_current_pid_tgid() >> 32"),
    "tid": (4, "(u32)bpf_get_current_pid_tgid()"),
    "ppid": (4, "parent()"),
    "uid": (4, "(u32)bpf_get_current_uid_gid()"),
    "cpu": (4, "bpf_get_smp_processor_id()"),
}
_KINDS = {"comm": KeyKind.COMM, "kstack": KeyKind.KERNEL_STACK, "ustack": KeyKind.USER_STACK}
WORDS = (*_THREAD, *_KINDS, "ret", "duration_ns")
"""What can be named beside `args.NAME`."""


def parse_list(text: str) -> list[str]:
    """The words of a list with commas, each once; raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f"{text!r} is no list of keys", "a word is missing beside a comma", f"one of {_words()}")
    return list(dict.fromkeys(words))


def compile_key(word: str, probe: PlannedProbe, *, has_parent: bool = True) -> Key:
    """Where the probe has a part of the key; raises Refused, UsageError."""
    if word in _KINDS:
        return Key(KeyType(_KINDS[word]))
    if word == "ppid" and not has_parent:
        raise Refused("ppid is not known", "it takes the kernel's own types (BTF)", "leave it out")
    if word in _THREAD:
        size, code = _THREAD[word]
        return Key(KeyType(KeyKind.NUMBER, size), PlainCode(code))
    if word == "duration_ns":
        return Key(KeyType(KeyKind.NUMBER), _duration(probe))
    if word == "ret":
        return Key(KeyType(KeyKind.NUMBER, signed=True), _result(probe))
    return _argument(_name(word), probe)


def compile_value(word: str, probe: PlannedProbe, *, has_parent: bool = True) -> Measure:
    """The value of the probe's events; raises Refused for what is no number, UsageError."""
    key = compile_key(word, probe, has_parent=has_parent)
    if key.type.kind is not KeyKind.NUMBER or key.code is None:
        raise Refused(f"{word} is no number", f"it is a {key.type.kind} of {probe.name}", "take an integer")
    return Measure(key.code, key.type.signed)


def _name(word: str) -> str:
    """The field's name in `args.NAME`; raises UsageError."""
    name = word.removeprefix("args.")
    if name == word or not name:
        near = difflib.get_close_matches(word, WORDS, 1) or [f"args.{word}"]
        raise UsageError(f"there is no key {word!r}", f"keys are {_words()}", f"did you mean {near[0]}")
    return name


def _words() -> str:
    return f"probe, {', '.join(WORDS)} and args.NAME"


def _duration(probe: PlannedProbe) -> PlainCode:
    if not probe.end:
        raise Refused(f"{probe.name} has no duration", "only entry and return together have one", "add --pair")
    return PlainCode("duration")


def _result(probe: PlannedProbe) -> PlainCode:
    if probe.end:
        return PlainCode("ret")
    if not any(field.name == "ret" for field in probe.format.fields) or probe.shape is Shape.RECORD:
        raise Refused(f"{probe.name} returns nothing", "only the return of a function or system call has a result")
    return PlainCode(result_value(probe.target))


def _argument(name: str, probe: PlannedProbe) -> Key:
    for capture in probe.captures:
        if capture.name == name and capture.kind is CaptureKind.NUMBER:
            return Key(KeyType(KeyKind.NUMBER, signed=True), capture.code, show=capture.decode)
        if capture.name == name and capture.kind is CaptureKind.TEXT:
            size = min(capture.size, TEXT_BYTES)
            return Key(KeyType(KeyKind.TEXT, size, user=capture.user), capture.code, capture.length)
    field = next((field for field in probe.format.fields if field.name == name), None)
    if field is None:
        names = [field.name for field in probe.format.fields]
        near = difflib.get_close_matches(name, names, 1)
        why = f"it carries {', '.join(names) or 'nothing'}"
        raise Refused(f"{probe.name} has no argument {name}", why, f"did you mean args.{near[0]}" if near else "")
    if field.location:
        return _located(field, probe)
    return _number(field, probe) if field.array is None else _array(field, probe)


def _number(field: Field, probe: PlannedProbe) -> Key:
    if field.size not in _SIZES or probe.shape is Shape.OPERANDS:
        raise _no_key(field, probe, f"it is a {field.full_type} of {field.size} bytes")
    size, signed = field.size, field.signed
    as_argument = probe.shape in _ARGUMENTS
    code = field_value(probe.target, field, kept=probe.end is not None)
    if as_argument and size == 8:
        # What is above an argument's own size may hold anything.
        size, signed = argument_type(field)
        code = f"({'s' if signed else 'u'}{8 * size}){code}"
    type_ = KeyType(KeyKind.NUMBER, size, signed)
    return Key(type_, PlainCode(code), show=_shown(field, probe, as_argument=as_argument))


def _shown(field: Field, probe: PlannedProbe, *, as_argument: bool) -> Callable[[int], Value]:
    """What the stream of events shows for the same number: names of flags, addresses."""
    tables = {table.field: table for table in (*probe.target.tables, *flag_tables(probe.format.print_fmt))}
    read = fixed_reader(FieldLayout(field, 0), tables, as_argument=as_argument)
    bits = 8 * field.size
    return lambda number: read((number % (1 << bits)).to_bytes(field.size, sys.byteorder))


def _array(field: Field, probe: PlannedProbe) -> Key:
    if field.type not in _CHARS or probe.shape not in _RECORDS:
        raise _no_key(field, probe, f"it is an array of {field.type}")
    start, shift = (KEPT, _HIDDEN) if probe.end else ("ctx", 0)
    # One byte more than the array has: it may be full to its end, without a NUL.
    size = min(field.size + 1, TEXT_BYTES)
    return Key(KeyType(KeyKind.TEXT, size), PlainCode(f"(u64)((char *){start} + {field.offset - shift})"))


_WHERE = """\
u32 where = *(u32 *)((char *)ctx + %d);
"""


def _located(field: Field, probe: PlannedProbe) -> Key:
    if probe.end:
        raise _no_key(field, probe, "at the end it is not there any more")
    if field.type not in _CHARS:
        raise _no_key(field, probe, f"it is an array of {field.type}")
    base = field.offset + field.size if field.location == "__rel_loc" else 0
    code = PlainCode(f"(u64)((char *)ctx + {base} + (where & 0xffff))", _WHERE % field.offset)
    return Key(KeyType(KeyKind.TEXT, TEXT_BYTES), code, PlainCode("(where >> 16) + 1"))


def _no_key(field: Field, probe: PlannedProbe, why: str) -> Refused:
    return Refused(f"args.{field.name} of {probe.name} cannot be counted by", why, "take an integer or a text")
