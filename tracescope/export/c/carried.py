"""What a probe carries, as C: a variable for each argument, and its column in the event. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tracescope.attach.record.values import argument_type
from tracescope.attach.targets.target import Shape, Target
from tracescope.export.fields import is_char, leads_to_text
from tracescope.model import Field

__all__ = ("ARGUMENTS", "ARGUMENT_BYTES", "TEXT_BYTES", "Carried", "Column", "Form", "carried", "fresh", "identifier")

TEXT_BYTES = 256
"""The most of a text in an event, with its NUL."""
ARGUMENTS, ARGUMENT_BYTES = 20, 128
"""The most of the arguments of a program that is started, and of each, with its NUL."""
_MOST_BYTES = 64
_TAKEN = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "bool",
        "true",
        "false",
        "NULL",
        "asm",
        "typeof",
        "ctx",
        "event",
        "entry",
        "entries",
        "events",
        "key",
        "keys",
        "head",
        "thread",
        "ret",
        "duration",
        "wanted",
        "fill",
        "parent",
        "member",
        "lost",
        "tree",
        "stacks",
        "zero",
        "count",
        "counts",
        "now",
        "probe",
        "bucket",
        "u8",
        "u16",
        "u32",
        "u64",
        "s8",
        "s16",
        "s32",
        "s64",
        "ts_comm",
        "barrier",
        "offsetof",
        "likely",
        "unlikely",
        "container_of",
        "linux",
        "unix",
        "lock_xadd",
        "value",
        "one",
        "found",
        "self",
        "room",
        "rooms",
    ]
)
"""C's words, and those of the programs."""


class Form(StrEnum):
    """How a column is printed."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    ADDRESS = "address"
    TEXT = "text"
    BYTES = "bytes"
    ARGV = "argv"
    """A list of texts, as execve takes it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A member of the event's struct: `name` is an identifier, `title` what is printed before its value."""

    name: str
    title: str
    form: Form
    size: int

    @property
    def is_number(self) -> bool:
        """True for what is not an array."""
        return self.form in (Form.SIGNED, Form.UNSIGNED, Form.ADDRESS)

    @property
    def declaration(self) -> str:
        """The member in C."""
        match self.form:
            case Form.TEXT:
                return f"char {self.name}[{self.size}];"
            case Form.BYTES:
                return f"__u8 {self.name}[{self.size}];"
            case Form.ARGV:
                return (
                    f"char {self.name}[{ARGUMENTS}][{ARGUMENT_BYTES}];\n"
                    f"\t__u32 {self.name}_count;\t/* {ARGUMENTS + 1}: there are more */\n"
                    f"\t__u32 {self.name}_unread;\t/* bit n: argument n could not be read */"
                )
        return f"__{'s' if self.form is Form.SIGNED else 'u'}{8 * self.size} {self.name};"


@dataclass(frozen=True, slots=True)
class Carried:
    """One argument: the field, the name of its variable, and its column, if it is one that can be printed."""

    field: Field
    name: str
    column: Column | None
    pointed: bool = False
    """The variable is the address of a text."""

    @property
    def is_number(self) -> bool:
        """True for what fits a variable: a number or an address."""
        return self.field.array is None and not self.field.location and self.field.size in (1, 2, 4, 8)

    @property
    def type(self) -> str:
        """The variable's type."""
        if self.column is None or self.pointed or not self.column.is_number:
            return "u64"
        return f"{'s' if self.column.form is Form.SIGNED else 'u'}{8 * self.column.size}"


def identifier(text: str) -> str:
    """A C identifier that is no word of C's and none of ours: letters, digits and `_`; others become `_`."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "_"
    name = name if name[0].isalpha() or name[0] == "_" else f"_{name}"
    return f"{name}_" if name in _TAKEN else name


def fresh(text: str, used: Iterable[str]) -> str:
    """An identifier that is not among `used`."""
    name, taken = identifier(text), set(used)
    number = 2
    while name in taken:
        name, number = f"{identifier(text)}_{number}", number + 1
    return name


def carried(target: Target) -> tuple[Carried, ...]:
    """The arguments of a probe, but for the number of a system call."""
    found: list[Carried] = []
    for field in target.format.fields:
        if field.name != "__syscall_nr":
            name = fresh(field.name, (one.name for one in found))
            found.append(Carried(field, name, _column(target, field, name), _points_to_text(target, field)))
    return tuple(found)


def _points_to_text(target: Target, field: Field) -> bool:
    return field.array is None and not field.location and field.type.endswith("*") and leads_to_text(target, field)


def _column(target: Target, field: Field, name: str) -> Column | None:
    title = field.name
    if field.location:
        return Column(name, title, Form.TEXT, TEXT_BYTES) if is_char(field) else None
    if field.array is not None:
        if is_char(field):
            return Column(name, title, Form.TEXT, field.size + 1) if 0 < field.size < TEXT_BYTES else None
        return Column(name, title, Form.BYTES, field.size) if 0 < field.size <= _MOST_BYTES else None
    if _points_to_text(target, field):
        return Column(name, title, Form.TEXT, TEXT_BYTES)
    if field.size not in (1, 2, 4, 8):
        return None
    if field.type.endswith("*"):
        # Of a pair the text is read at the return: of a new program, which has other memory.
        is_list = target.shape is Shape.EXEC and field.name == "argv" and target.end is None
        return Column(name, title, Form.ARGV if is_list else Form.ADDRESS, 8)
    is_call = target.shape in (Shape.SYSCALL, Shape.EXEC) and field.size == 8
    size, signed = argument_type(field) if is_call else (field.size, field.signed)
    return Column(name, title, Form.SIGNED if signed else Form.UNSIGNED, size)
