"""A tracer as one Python program for BCC, with its C inside. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.expression.chain import Offset
from tracescope.attach.program.filters import follow_text
from tracescope.attach.targets.operand import operand_text
from tracescope.attach.targets.target import FunctionPlace, PerfPlace, Shape, Target, TracepointPlace, UserPlace
from tracescope.attach.targets.words import load
from tracescope.errors import Refused
from tracescope.export.c.carried import ARGUMENT_BYTES, ARGUMENTS, Carried, Column, Form
from tracescope.export.c.context import Context, bcc_context
from tracescope.export.c.dialect import members_of
from tracescope.export.c.events import key_struct, structs, tracer_keys
from tracescope.export.c.filters import cgroup_test
from tracescope.export.c.programs import ENTRIES, Program, helpers_used, programs
from tracescope.export.c.shared import BUCKET, FILL
from tracescope.export.exec_tracer import is_exec
from tracescope.export.text import template
from tracescope.export.tracer import Tracer
from tracescope.model import EventFormat, ProbeKind

__all__ = ("COUNT_OPTION", "HEAD_CLASS", "TITLE", "head_text", "project", "python_values", "tree_parts")

_RING_PAGES = 1024
TITLE = "TIME            PID     TID     PPID    COMM PROBE VALUES"
_MEMBER = """
/* A member of a kernel's struct: where it lies comes from the running kernel's BTF. */
static inline u64 member(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}
"""
_PARENT = """
static inline u32 parent(void)
{
	u64 task = member(bpf_get_current_task() + OFFSET_struct_task_struct_real_parent);

	return member(task + OFFSET_struct_task_struct_tgid);
}
"""
_WANTED = """
/* Whose events are handed over. */
static inline int wanted(void)
{{
	u64 id = bpf_get_current_pid_tgid(), comm[2] = {{}};
	u32 pid = id >> 32, tid = id, uid = bpf_get_current_uid_gid();

	bpf_get_current_comm(comm, sizeof(comm));
	/* FILTERS */
{more}	return 1;
}}
"""
_FORMS = {Form.SIGNED: "int", Form.UNSIGNED: "uint", Form.ADDRESS: "uint"}


class _Bcc:
    """The words of BCC's C."""

    parent = _MEMBER + _PARENT
    lose = "int zero = 0;\n\nlost.atomic_increment(zero);\n"

    def context(self, target: Target, rows: tuple[Carried, ...], name: str) -> Context:
        if target.shape is Shape.OPERANDS:
            assert isinstance(target.place, UserPlace)
            operands = target.place.sites[0].operands
            reads = {
                one.field.name: f"\tu64 {one.name}_word = 0;\n\t{operand_text(operand, f'{one.name}_word')}\n"
                f"\t{one.type} {one.name} = {one.name}_word;\n"
                for one, operand in zip(rows, operands, strict=False)
            }
            return Context("u64 *ctx", {one.field.name: one.name for one in rows}, reads)
        return bcc_context(target, rows, name)

    def section(self, target: Target) -> str:  # noqa: ARG002 - what the protocol says
        return ""

    def function(self, target: Target, name: str) -> str:
        if target.kind in (ProbeKind.FENTRY, ProbeKind.FEXIT):
            assert isinstance(target.place, FunctionPlace)
            # BCC finds the function that is meant by this program's name.
            start = "kfunc" if target.kind is ProbeKind.FENTRY else "kretfunc"
            return f"{start}__{target.place.module or 'vmlinux'}__{target.place.name}"
        return name

    def offset(self, step: Offset) -> str:
        named, rest = members_of(step)
        terms = [f"OFFSET_{struct.replace(' ', '_')}_{member}" for struct, member in named]
        return " + ".join([*terms, *([f"{rest}ULL"] if rest or not terms else [])])

    def hash_map(self, name: str, key: str, value: str, entries: int, *, lru: bool = False) -> str:
        if lru:
            return f'BPF_TABLE("lru_hash", {key}, {value}, {name}, {entries});\n'
        return f"BPF_HASH({name}, {key}, {value}, {entries});\n"

    def stack_map(self, name: str, entries: int) -> str:
        # BPF_STACK_TRACE() rounds up with a function of the kernel's headers.
        rounded = 1 << (entries - 1).bit_length()
        return f'BPF_TABLE("stacktrace", int, struct bpf_stacktrace, {name}, {rounded});\n'

    def ring(self, name: str) -> str:
        return f"BPF_RINGBUF_OUTPUT({name}, {_RING_PAGES});\n"

    def lookup(self, table: str, key: str) -> str:
        return f"{table}.lookup(&{key})"

    def update(self, table: str, key: str, value: str, *, new: bool = False) -> str:
        return f"{table}.{'insert' if new else 'update'}(&{key}, &{value})"

    def delete(self, table: str, key: str) -> str:
        return f"{table}.delete(&{key})"

    def reserve(self, ring: str, size: str) -> str:
        return f"{ring}.ringbuf_reserve({size})"

    def submit(self, ring: str, event: str) -> str:
        return f"{ring}.ringbuf_submit({event}, 0)"

    def stack(self, table: str, flags: str) -> str:
        return f"{table}.get_stackid(ctx, {flags})"


def project(tracer: Tracer) -> dict[str, str]:
    """One file, NAME.py; raises Refused, UsageError."""
    if is_exec(tracer):
        from tracescope.export.exec_bcc import exec_program

        return exec_program(tracer)
    tracer = replace(tracer, targets=tuple(one for target in tracer.targets for one in _sites(target)))
    made = programs(tracer, _Bcc())
    c_text = _program(tracer, made)
    values = python_values(tracer, c_text, set(_members(tracer)), _what(made))
    values |= {
        "ABOUT": "".join(f"{note}\n" for note in tracer.notes),
        "COUNT_OPTION": "" if tracer.counts else COUNT_OPTION,
        "TABLES": _count_tables(tracer, made) if tracer.counts else _tables(made),
        "OUTPUT": template("counts.py.in", {}) if tracer.counts else template("stream.py.in", {"TITLE": TITLE}),
        "ATTACH": "".join(f"    {line}\n" for line in _attach(tracer, made)),
    }
    return {f"{tracer.name}.py": template("program.py.in", values)}


COUNT_OPTION = '    parser.add_argument("-n", "--count", type=int, metavar="N", help="end after so many events")\n'


def _what(made: list[Program]) -> str:
    return f"Prints events of {', '.join(dict.fromkeys(one.target.probe for one in made))}"


def python_values(tracer: Tracer, c_text: str, members: set[tuple[str, str]], what: str) -> dict[str, str]:
    """What every program has; of `members`, those that its C names are looked up when it starts."""
    known = {f"OFFSET_{struct.replace(' ', '_')}_{member}": (struct, member) for struct, member in members}
    wanted = sorted({known[name] for name in re.findall(r"\bOFFSET_(?:struct|union)_\w+", c_text)})
    return {
        "NAME": tracer.name,
        "PROGRAM": c_text.replace('"""', "'''").expandtabs(4).strip("\n"),
        "MEMBERS": repr(wanted),
        "FILTERS": ascii({name: list(getattr(tracer.filters, name)) for name in ("pid", "tid", "uid", "comm")}),
        "WHAT": ascii(what.replace("%", "%%")),
    }


def _sites(target: Target) -> Iterator[Target]:
    """A USDT probe whose sites keep their arguments in different places is as many programs."""
    place = target.place
    if target.shape is not Shape.OPERANDS or not isinstance(place, UserPlace):
        yield target
        return
    count = len(target.format.fields)
    for operands in dict.fromkeys(site.operands[:count] for site in place.sites):
        sites = tuple(site for site in place.sites if site.operands[:count] == operands)
        yield replace(target, place=replace(place, sites=sites))


def _members(tracer: Tracer) -> Iterable[tuple[str, str]]:
    """Every member that an expression of this tracer may name."""
    from tracescope.export.c.members import members

    return {("struct task_struct", "real_parent"), ("struct task_struct", "tgid"), *members(tracer), *_NAMESPACE}


_NAMESPACE = (
    ("struct task_struct", "nsproxy"), ("struct nsproxy", "pid_ns_for_children"), ("struct pid_namespace", "ns"),
    ("struct ns_common", "inum"),
)  # fmt: skip


def _program(tracer: Tracer, made: list[Program]) -> str:
    dialect = _Bcc()
    body = "".join(program.text for program in made)
    if tracer.counts:
        shared = key_struct(tracer_keys(tracer), hist=bool(tracer.hist))
        maps = dialect.hash_map("counts", "struct count_key", "u64", ENTRIES)
    else:
        shared, maps = structs(made), dialect.ring("events")
    if "stacks." in body:
        maps += dialect.stack_map("stacks", ENTRIES)
    head = head_text(tracer, f"{shared}\n{maps}", parent=not tracer.counts or "parent()" in body)
    head += BUCKET.replace("@INLINE@", "inline") if tracer.hist else ""
    head += "" if tracer.counts else FILL.replace("@INLINE@", "inline")
    used = helpers_used(body)
    return head + (f"\n/* What conditions are made of. */\n{used}" if used else "") + body + tree_parts(tracer)[0]


def head_text(tracer: Tracer, begin: str, *, parent: bool = True) -> str:
    """What comes before the programs: structs and maps as given, those of all programs, `wanted()`, `parent()`."""
    text = f"{begin}BPF_ARRAY(lost, u64, 1);    /* events that found no room */\n"
    more = cgroup_test(tracer.filters) + _containers(tracer)
    if tracer.filters.tree:
        text += "BPF_HASH(tree, u32, u8, 32768);    /* the threads that are followed */\n"
        more += "\tif (!tree.lookup(&tid))\n\t\treturn 0;\n"
    text += _MEMBER if parent or "member(" in more else ""
    text += _PARENT if parent else ""
    return text + _WANTED.format(more=more)


def tree_parts(tracer: Tracer) -> tuple[str, list[str], list[str]]:
    """The programs that follow a tree; the lines that attach them before the probes, and after them."""
    if not tracer.filters.tree:
        return "", [], []
    helpers = _helpers(tracer)
    text = "".join(
        follow_text(name, {field.name: load(field) for field in format_.fields if field.size == 4})
        for name, format_ in helpers
    )
    before = [_tracepoint(format_, name) for name, format_ in helpers if name != "follow_exit"]
    before += [f'b["tree"][ct.c_uint32({int(pid)})] = ct.c_uint8(1)' for pid in tracer.filters.tree]
    return text, before, [_tracepoint(format_, name) for name, format_ in helpers if name == "follow_exit"]


def _containers(tracer: Tracer) -> str:
    if not tracer.filters.namespace:
        return ""
    tests = " && ".join(f"namespace != {one.number}U" for one in tracer.filters.namespace)
    return (
        "\tu64 at = member(bpf_get_current_task() + OFFSET_struct_task_struct_nsproxy);\n"
        "\tat = member(at + OFFSET_struct_nsproxy_pid_ns_for_children);\n"
        "\tu32 namespace = member(at + OFFSET_struct_pid_namespace_ns + OFFSET_struct_ns_common_inum);\n"
        f"\tif ({tests})\n\t\treturn 0;\n"
    )


def _helpers(tracer: Tracer) -> list[tuple[str, EventFormat]]:
    if tracer.plan is None:
        raise Refused("descendants cannot be followed", "the events for it are not known here")
    helpers = [*tracer.plan.before, *tracer.plan.after]
    return [(one.function, one.format) for one in helpers if one.function.startswith("follow_")]


# The Python


def _class(name: str, members: Iterable[str]) -> str:
    inner = "".join(f"        {member},\n" for member in members)
    return f"class {name}(ct.Structure):\n    _fields_ = [\n{inner}    ]\n"


_HEAD = (
    '("time_ns", ct.c_uint64)', '("probe", ct.c_uint32)', '("pid", ct.c_uint32)', '("tid", ct.c_uint32)',
    '("ppid", ct.c_uint32)', '("uid", ct.c_uint32)', '("unread", ct.c_uint32)', '("comm", ct.c_char * 16)',
)  # fmt: skip


HEAD_CLASS = _class("Head", _HEAD)


def _tables(made: list[Program]) -> str:
    classes = [HEAD_CLASS]
    rows = []
    for one in made:
        name = "".join(word.capitalize() for word in one.struct.split("_"))
        name = f"{name}{one.number}" if name[:1].isalpha() else f"Event{one.number}"
        classes.append(_class(name, ['("head", Head)', *map(_ctypes, one.columns)]))
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


def _count_tables(tracer: Tracer, made: list[Program]) -> str:
    keys = [
        (key.column.name, key.title, key.kind.value if key.kind.is_stack else str(key.column.form))
        for key in tracer_keys(tracer)
    ]
    labels = [one.target.probe for one in made]
    assert all(not kind.is_stack or kind.value in ("kstack", "ustack") for kind in KeyKind)
    return f"PROBES = {labels!a}\nKEYS = {keys!a}\nHISTOGRAM = {bool(tracer.hist)}\n"


def _attach(tracer: Tracer, made: list[Program]) -> Iterator[str]:
    _, before, after = tree_parts(tracer)
    yield from before
    for one in made:
        if one.entry and one.target.end:
            # First the end: a call that is seen to begin is seen to end.
            yield from _attach_one(one.target.end, one.function)
            yield from _attach_one(one.target, one.entry)
        else:
            yield from _attach_one(one.target, one.function)
    yield from after


def _tracepoint(format_: EventFormat, function: str) -> str:
    return f'b.attach_tracepoint(tp="{format_.group}:{format_.name}", fn_name="{function}")'


def _attach_one(target: Target, function: str) -> Iterator[str]:
    match target.place:
        case TracepointPlace(name) if target.shape is Shape.WORDS:
            yield f"b.attach_raw_tracepoint(tp={name!a}, fn_name={function!a})"
        case TracepointPlace():
            yield f"b.attach_tracepoint(tp={f'{target.format.group}:{target.format.name}'!a}, fn_name={function!a})"
        case FunctionPlace(name, _, offset) if target.kind in (ProbeKind.KPROBE, ProbeKind.KRETPROBE):
            where = f", event_off={offset}" if offset else ""
            yield f"b.attach_{target.kind}(event={name!a}{where}, fn_name={function!a})"
        case FunctionPlace():
            yield f"pass  # BCC attaches {function} by its name"
        case UserPlace(path, sites, pid):
            returns = target.kind is ProbeKind.URETPROBE
            for site in sites:
                yield (
                    f"attach_user(b, {os.fsencode(path)!r}, {site.offset:#x}, {site.semaphore:#x}, "
                    f"{function!a}, {returns}, {pid})"
                )
        case PerfPlace(type_, config, period, frequency, one_cpu):
            every = f"sample_freq={frequency}" if frequency else f"sample_period={period}"
            cpu = ", cpu=0" if one_cpu else ""
            yield f"b.attach_perf_event(ev_type={type_}, ev_config={config:#x}, fn_name={function!a}, {every}{cpu})"
