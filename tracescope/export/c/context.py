"""How a program finds what its probe carries: the type of its context, and an expression for each argument. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracescope.attach.targets.target import Shape, Target
from tracescope.attach.targets.words import word_value
from tracescope.errors import Refused
from tracescope.export.c.carried import Carried, fresh
from tracescope.model import EventFormat, Field, ProbeKind
from tracescope.sources.btf import Btf
from tracescope.sources.btf_types import Kind

__all__ = ("Context", "bcc_context", "libbpf_context", "record_struct")

_RECORDS = (Shape.RECORD, Shape.SYSCALL, Shape.EXEC)


@dataclass(frozen=True, slots=True)
class Context:
    """The parameter's type; `words` are the arguments' expressions by field name; `before` are statements for them."""

    type: str
    words: Mapping[str, str]
    before: Mapping[str, str]
    """By field name: the statements that read it, where one expression does not do."""
    structs: str = ""
    """A struct that is declared above the program."""


def record_struct(format_: EventFormat, name: str) -> str:
    """The record of a tracepoint as a struct of its own, laid out as its format file says."""
    lines, at, pads, names = [], 0, 0, _members(format_)
    for field in sorted(format_.fields, key=lambda one: one.offset):
        if field.offset > at:
            lines.append(f"\tchar pad_{pads}[{field.offset - at}];")
            pads += 1
        lines.append(f"\t{_member(field, names[field.name])}")
        at = field.offset + field.size
    inner = "\n".join(lines)
    return f"/* As events/{format_.group}/{format_.name}/format of tracefs says. */\nstruct {name} {{\n{inner}\n}};\n\n"


def _member(field: Field, name: str) -> str:
    if field.location:
        return f"u32 {name};"
    sign = "s" if field.signed else "u"
    if field.array is None and field.size in (1, 2, 4, 8):
        return f"{sign}{8 * field.size} {name};"
    return f"{'char' if field.type in ('char', 'const char') else 'u8'} {name}[{field.size}];"


def _members(format_: EventFormat) -> dict[str, str]:
    """How a record's fields are named in a struct of ours: each otherwise, and not as what fills its gaps."""
    pads = [f"pad_{number}" for number, _ in enumerate(format_.fields)]
    names: dict[str, str] = {}
    for field in format_.fields:
        word = f"{field.location}_{field.name}" if field.location else field.name
        names[field.name] = fresh(word, (*pads, *names.values()))
    return names


def _own_members(format_: EventFormat) -> dict[str, str]:
    return {field: f"ctx->{name}" for field, name in _members(format_).items()}


def bcc_context(target: Target, rows: tuple[Carried, ...], name: str) -> Context:
    """For BCC with headers or without: what it needs is declared in the program itself."""
    if target.shape in _RECORDS:
        struct = f"{name}_args"
        return Context(f"struct {struct} *ctx", _own_members(target.format), {}, record_struct(target.format, struct))
    return Context("u64 *ctx", {one.field.name: _word(target, one.field) for one in rows}, {})


def libbpf_context(target: Target, rows: tuple[Carried, ...], name: str, btf: Btf | None) -> Context:
    """For libbpf: the kernel's own types out of vmlinux.h."""
    if target.shape in (Shape.SYSCALL, Shape.EXEC):
        is_exit = [field.name for field in target.format.fields[1:]] == ["ret"]
        words = {one.field.name: f"ctx->args[{(one.field.offset - 16) // 8}]" for one in rows}
        struct = "trace_event_raw_sys_exit" if is_exit else "trace_event_raw_sys_enter"
        return Context(f"struct {struct} *ctx", {"ret": "ctx->ret"} if is_exit else words, {})
    if target.shape is Shape.RECORD:
        struct = _known_record(target.format, btf)
        if struct:
            return Context(f"struct {struct} *ctx", dict(_raw_members(target.format)), {})
        own = f"{name}_args"
        return Context(f"struct {own} *ctx", _own_members(target.format), {}, record_struct(target.format, own))
    words = {one.field.name: _libbpf_word(target, one.field) for one in rows}
    if target.shape is Shape.OPERANDS:
        words = {one.field.name: one.name for one in rows}
        return Context("struct pt_regs *ctx", words, _read_usdt(rows))
    if target.shape is Shape.SAMPLE:
        return Context("struct bpf_perf_event_data *ctx", words, {})
    if target.shape in (Shape.REGISTERS, Shape.RESULT):
        return Context("struct pt_regs *ctx", words, {})
    if target.kind is ProbeKind.RAWTRACEPOINT:
        return Context("struct bpf_raw_tracepoint_args *ctx", words, {})
    return Context("unsigned long long *ctx", words, {})


def _raw_members(format_: EventFormat) -> list[tuple[str, str]]:
    """As the kernel names them, in the structs that its macros make."""
    return [(one.name, f"ctx->{f'{one.location}_' if one.location else ''}{one.name}") for one in format_.fields]


def _known_record(format_: EventFormat, btf: Btf | None) -> str:
    """The kernel's struct for a tracepoint's record: its own, or that of its class; empty when there is none."""
    if btf is None or not all(field.name.isidentifier() for field in format_.fields):
        return ""
    wanted = {(f"{f'{one.location}_' if one.location else ''}{one.name}", one.offset) for one in format_.fields}
    own = f"trace_event_raw_{format_.name}"
    names = [name for name in btf.names(Kind.STRUCT) if name.startswith("trace_event_raw_") and name != own]
    for name in (own, *names):
        if btf.find(f"struct {name}") is None:
            continue
        has = {(member.name, member.offset // 8) for member in btf.layout(f"struct {name}").members}
        if wanted and wanted <= has:
            return name
    return ""


def _word(target: Target, field: Field) -> str:
    return word_value(target, field.offset // 8 - 1)


def _libbpf_word(target: Target, field: Field) -> str:
    number = field.offset // 8 - 1
    match target.shape:
        case Shape.REGISTERS:
            return f"PT_REGS_PARM{number + 1}(ctx)"
        case Shape.RESULT:
            return "PT_REGS_RC(ctx)"
        case Shape.SAMPLE:
            return ("PT_REGS_IP(&ctx->regs)", "ctx->sample_period", "ctx->addr")[number]
    if target.kind is ProbeKind.RAWTRACEPOINT:
        return f"ctx->args[{number}]"
    # Not always `ctx[number]`: some pointers the verifier of a 5.10 lets nobody load.
    return word_value(target, number)


def _read_usdt(rows: tuple[Carried, ...]) -> dict[str, str]:
    """Each site may keep an argument elsewhere: the notes say where, the loader knows them."""
    found = {}
    for number, one in enumerate(rows):
        if not one.is_number:
            raise Refused(f"{one.field.name} cannot be exported", "it is no number")
        value = f"{one.name}_word"
        found[one.field.name] = (
            f"\tlong {value} = 0;\n\tbpf_usdt_arg(ctx, {number}, &{value});\n\t{one.type} {one.name} = {value};\n"
        )
    return found
