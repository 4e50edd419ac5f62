"""What the Python of a BCC program knows of its events and counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tracescope.attach.ask.summary import KeyKind
from tracescope.export.c.carried import ARGUMENT_BYTES, ARGUMENTS, Column, Form
from tracescope.export.c.events import tracer_keys
from tracescope.export.c.program import Program
from tracescope.export.tracer import Tracer

__all__ = ("HEAD_CLASS", "class_text", "count_tables", "event_tables")

_FORMS = {Form.SIGNED: "int", Form.UNSIGNED: "uint", Form.ADDRESS: "uint"}


def class_text(name: str, members: Iterable[str]) -> str:
    """A ctypes structure as Python text."""
    inner = "".join(f"        {member},\n" for member in members)
    return f"class {name}(ct.Structure):\n    _fields_ = [\n{inner}    ]\n"


_HEAD = (
    '("time_ns", ct.c_uint64)', '("probe", ct.c_uint32)', '("pid", ct.c_uint32)', '("tid", ct.c_uint32)',
    '("ppid", ct.c_uint32)', '("uid", ct.c_uint32)', '("unread", ct.c_uint32)', '("comm", ct.c_char * 16)',
)  # fmt: skip
HEAD_CLASS = class_text("Head", _HEAD)


def event_tables(made: list[Program]) -> str:
    """A class for each program's event, and the table that finds it by its number."""
    classes = [HEAD_CLASS]
    rows = []
    for one in made:
        name = "".join(word.capitalize() for word in one.struct.split("_"))
        name = f"{name}{one.number}" if name[:1].isalpha() else f"Event{one.number}"
        classes.append(class_text(name, ['("head", Head)', *map(_ctypes, one.columns)]))
        columns = ", ".join(ascii((column.name, column.title, str(_form(column)))) for column in one.columns)
        rows.append(f"    {one.number}: ({name}, {one.target.probe!a}, [{columns}]),\n")
    return "\n\n".join(classes) + f"\n\nEVENTS = {{\n{''.join(rows)}}}\n"


def _form(column: Column) -> str:
    return str(column.form)


def _ctypes(column: Column) -> str:
    match column.form:
        case Form.TEXT:
            type_ = f"ct.c_char * {column.size}"
        case Form.BYTES:
            type_ = f"ct.c_ubyte * {column.size}"
        case Form.ARGV:
            counts = "".join(f", ({f'{column.name}_{word}'!a}, ct.c_uint32)" for word in ("count", "unread"))
            return f"({column.name!a}, ct.c_char * {ARGUMENT_BYTES} * {ARGUMENTS}){counts}"
        case _:
            type_ = f"ct.c_{_FORMS[column.form]}{8 * column.size}"
    return f"({column.name!a}, {type_})"


def count_tables(tracer: Tracer, made: list[Program]) -> str:
    """The probes, and what is counted by."""
    keys = [
        (key.column.name, key.title, key.kind.value if key.kind.is_stack else str(key.column.form))
        for key in tracer_keys(tracer)
    ]
    labels = [one.target.probe for one in made]
    assert all(not kind.is_stack or kind.value in ("kstack", "ustack") for kind in KeyKind)
    return f"PROBES = {labels!a}\nKEYS = {keys!a}\nHISTOGRAM = {bool(tracer.hist)}\n"
