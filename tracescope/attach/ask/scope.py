"""What an expression can name at a probe: builtins of every event, the probe's arguments, its result. Pure."""

from __future__ import annotations

import re

from tracescope.attach.expression.chain import operand
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.types import Integer, Operand, Pointer, Space, Text
from tracescope.attach.meaning import meaning_of, names_of
from tracescope.attach.record.values import argument_type
from tracescope.attach.targets.target import Shape, Target
from tracescope.attach.targets.words import KEPT, field_value
from tracescope.model import Field, FlagTable
from tracescope.sources.btf import Btf
from tracescope.sources.print_fmt import flag_tables

__all__ = ("COMM", "scope_of")

COMM = "(u64)ts_comm"
"""The command name, where `comm_text()` was put before."""
_BUILTINS = {
    "pid": Operand(Integer(4, signed=False), "(u32)(bpf_get_current_pid_tgid() >> 32)"),
    "tid": Operand(Integer(4, signed=False), "(u32)bpf_get_current_pid_tgid()"),
    "ppid": Operand(Integer(4, signed=False), "parent()"),
    "uid": Operand(Integer(4, signed=False), "(u32)bpf_get_current_uid_gid()"),
    "gid": Operand(Integer(4, signed=False), "(u32)(bpf_get_current_uid_gid() >> 32)"),
    "cpu": Operand(Integer(4, signed=False), "bpf_get_smp_processor_id()"),
    "cgroup": Operand(Integer(8, signed=False), "bpf_get_current_cgroup_id()"),
    "time_ns": Operand(Integer(8, signed=False), "bpf_ktime_get_ns()"),
    "comm": Operand(Text(Space.OWN, 16), COMM),
}
_CALLS = frozenset({Shape.SYSCALL, Shape.EXEC})


def scope_of(target: Target, btf: Btf | None) -> Scope:
    """The names that an expression may use at this probe, each with the C that gives its value."""
    kept = target.end is not None
    tables = {table.field: table for table in (*target.tables, *flag_tables(target.format.print_fmt))}
    args = {}
    for index, field in enumerate(target.format.fields):
        type_id = target.types[index] if target.types else None
        found = _operand(target, field, type_id, tables.get(field.name), btf, kept=kept)
        if found is not None and field.name != "__syscall_nr":
            args[field.name] = found
    builtins = dict(_BUILTINS)
    if btf is None:
        # The way to the parent is one of structures.
        del builtins["ppid"]
    if target.end is not None:
        builtins |= {"ret": _result(target.end, btf), "duration_ns": Operand(Integer(8, signed=False), "duration")}
        args["ret"] = builtins["ret"]
    elif "ret" in args:
        builtins["ret"] = args["ret"]
    return Scope(builtins, args, btf)


def _result(end: Target, btf: Btf | None) -> Operand:
    """What comes back at the end of a pair: the program has it in `ret`."""
    index, field = next((at, field) for at, field in enumerate(end.format.fields) if field.name == "ret")
    type_id = end.types[index] if end.types else None
    if btf is not None and type_id:
        found = operand(btf, type_id, "ret")
        if found is not None:
            return found
    return Operand(Integer(min(field.size, 8), signed=field.signed), "ret")


def _operand(
    target: Target, field: Field, type_id: int | None, table: FlagTable | None, btf: Btf | None, *, kept: bool
) -> Operand | None:
    """One argument, or None for what no expression can hold."""
    space = Space.USER if target.user else Space.KERNEL
    if field.location:
        base = field.offset + field.size if field.location == "__rel_loc" else 0
        where = f"(ts_address(ctx) + {base} + (*(u32 *)((char *)ctx + {field.offset}) & 0xffff))"
        return Operand(Text(Space.KERNEL), where) if _is_text(field) else None
    if field.array is not None:
        return _own_text(field, kept=kept) if _is_text(field) else None
    if field.size not in (1, 2, 4, 8):
        return None
    value = field_value(target, field, kept=kept)
    if btf is not None and type_id and target.shape is not Shape.RECORD:
        found = operand(btf, type_id, value, space)
        if found is not None:
            return found
    if field.type.endswith("*"):
        return Operand(_pointer(field, space, btf), value)
    size, signed = argument_type(field) if target.shape in _CALLS and field.size == 8 else (field.size, field.signed)
    return Operand(Integer(size, signed, _names(target, field, table)), value)


def _own_text(field: Field, *, kept: bool) -> Operand:
    """Characters in the record itself: where they lie, they may be compared without being copied."""
    offset = field.offset - 8 if kept else field.offset
    align = min(8, offset & -offset) or 8
    return Operand(Text(Space.OWN, field.size, align), KEPT if kept else "ctx", offset)


def _is_text(field: Field) -> bool:
    return re.sub(r"\bconst\b", "", field.type).strip() == "char"


def _pointer(field: Field, space: Space, btf: Btf | None) -> Text | Pointer:
    """What a pointer declared in C leads to: text, a struct that BTF knows, or something."""
    words = " ".join(re.sub(r"\b(const|volatile|__user)\b", "", field.type).split())
    if words.count("*") != 1:
        return Pointer(0, space)
    pointed = words.removesuffix("*").strip()
    if pointed == "char":
        return Text(space)
    found = btf.find(pointed) if btf is not None else None
    return Pointer(found or 0, space)


def _names(target: Target, field: Field, table: FlagTable | None) -> dict[str, int]:
    """The names of an argument's values."""
    if table is not None:
        mask = (1 << 8 * field.size) - 1
        return {name: value & mask for value, name in table.names if name.isidentifier()}
    if target.shape in _CALLS:
        call = target.format.name.partition("_enter_")[2]
        meaning = meaning_of(call, field.name, field.type)
        return dict(names_of(meaning)) if meaning is not None else {}
    return {}
