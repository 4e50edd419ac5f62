"""Targets whose arguments BTF describes: kernel functions at entry and return, raw tracepoints. Pure.

A raw tracepoint's arguments are those of its iterator, `__traceiter_NAME`, behind that one's own first
(include/linux/tracepoint.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracescope.attach.targets import registers
from tracescope.attach.targets.target import FunctionPlace, Shape, Target, TracepointPlace, word_fields, words_format
from tracescope.model import Field, FlagTable, ProbeKind
from tracescope.sources.btf import Btf

__all__ = ("function_target", "has_enums", "raw_tracepoint", "with_types")

_ENTRY, _RETURN = (ProbeKind.KPROBE, ProbeKind.FENTRY), (ProbeKind.KRETPROBE, ProbeKind.FEXIT)
_TYPED = (ProbeKind.FENTRY, ProbeKind.FEXIT)
_UNTYPED_ARGUMENTS = 6


def raw_tracepoint(name: str, btf: Btf | None) -> Target:
    """A raw tracepoint; without BTF it carries nothing that could be named."""
    rows = btf.parameters(f"__traceiter_{name}")[1:] if btf else []
    fields, types = _fields(btf, rows)
    format_ = words_format("", name, fields)
    probe = f"{ProbeKind.RAWTRACEPOINT}:{name}"
    tables = _tables(btf, fields, types)
    return Target(ProbeKind.RAWTRACEPOINT, probe, format_, Shape.WORDS, TracepointPlace(name), types, tables)


def function_target(kind: ProbeKind, name: str, module: str, btf: Btf | None, *, second_name: bool = False) -> Target:
    """A kernel function at its entry (kprobe, fentry) or return; the types are those of a BTF that holds it.

    Without types the registers of the first arguments are carried as they are. `second_name`: ftrace has another one.
    """
    typed = kind in _TYPED
    # Of a copy (`.isra`, `.constprop`) nobody knows which arguments the compiler left in it.
    known = btf if btf is not None and btf.function_id(name) is not None else None
    fields, types = _arguments(known, name, in_registers=not typed)
    if kind in _RETURN:
        result, type_ = _result(known, name, first=_end(fields) if typed else 0)
        fields, types = ((*fields, *result), (*types, *type_)) if typed else (result, type_)
    shape = Shape.WORDS if typed else Shape.REGISTERS if kind in _ENTRY else Shape.RESULT
    btf_id = (known.function_id(name) or 0) if known and typed else 0
    place = FunctionPlace(name, module, btf_id=btf_id, second_name=second_name)
    probe = f"{kind}:{module or 'vmlinux'}:{name}" if typed else f"{kind}:{name}"
    return Target(kind, probe, words_format("", name, fields), shape, place, types, _tables(known, fields, types))


def has_enums(target: Target) -> bool:
    """True when `with_types` would look for names."""
    return not target.types and any(field.type.startswith("enum ") for field in target.format.fields)


def with_types(target: Target, btf: Btf | None) -> Target:
    """A tracepoint's fields of enum types get the names of their values."""
    if btf is None or target.types:
        return target
    fields = target.format.fields
    types = tuple(btf.find(field.type) if field.type.startswith("enum ") else None for field in fields)
    return replace(target, types=types, tables=_tables(btf, fields, types)) if any(types) else target


def _tables(btf: Btf | None, fields: Sequence[Field], types: Sequence[int | None]) -> tuple[FlagTable, ...]:
    tables = []
    for field, type_id in zip(fields, types, strict=True):
        names = btf.enumerators_of(type_id) if btf is not None and type_id else {}
        if names:
            tables.append(FlagTable(field.name, "symbolic", tuple((value, name) for name, value in names.items())))
    return tuple(tables)


def _arguments(btf: Btf | None, name: str, *, in_registers: bool) -> tuple[tuple[Field, ...], tuple[int | None, ...]]:
    if btf is None:
        rows = [(f"arg{index}", "u64", 8, False) for index in range(_UNTYPED_ARGUMENTS)] if in_registers else []
        return word_fields(rows), (None,) * len(rows)
    fields, types = _fields(btf, btf.parameters(name))
    if in_registers:
        # What does not fit into registers lies on the stack, out of reach.
        reached = [field for field in fields if field.offset + field.size <= 8 + 8 * registers.ARGUMENTS]
        fields, types = tuple(reached), types[: len(reached)]
    return fields, types


def _fields(btf: Btf | None, rows: Iterable[tuple[str, str, int]]) -> tuple[tuple[Field, ...], tuple[int, ...]]:
    if btf is None:
        return (), ()
    known = [
        (name or f"arg{index}", text, btf.size(type_id), btf.is_signed(type_id), type_id)
        for index, (name, text, type_id) in enumerate(rows)
    ]
    return word_fields(row[:4] for row in known), tuple(row[4] for row in known)


def _result(btf: Btf | None, name: str, *, first: int) -> tuple[tuple[Field, ...], tuple[int | None, ...]]:
    """The field `ret`, unless the function returns nothing."""
    if btf is None:
        return word_fields([("ret", "s64", 8, True)], first=first), (None,)
    type_id = btf.returned(name)
    if not type_id:
        return (), ()
    row = ("ret", btf.c_declaration(type_id), min(8, btf.size(type_id)), btf.is_signed(type_id))
    return word_fields([row], first=first), (type_id,)


def _end(fields: tuple[Field, ...]) -> int:
    """How many words these fields take."""
    return max(((field.offset + max(field.size, 1) - 1) // 8 for field in fields), default=0)
