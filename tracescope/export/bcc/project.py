"""A tracer as one Python program for BCC, with its C inside. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.program.filters import follow_text
from tracescope.attach.targets.target import Shape, Target, UserPlace
from tracescope.attach.targets.words import load
from tracescope.errors import Refused
from tracescope.export.bcc.attach import attach_lines, tracepoint_line
from tracescope.export.bcc.run import stream_text
from tracescope.export.bcc.tables import count_tables, event_tables
from tracescope.export.bcc.words import MEMBER, PARENT, words
from tracescope.export.c.events import key_struct, structs, tracer_keys
from tracescope.export.c.filters import cgroup_test
from tracescope.export.c.helpers import helpers_used
from tracescope.export.c.program import Program, probes_of
from tracescope.export.c.programs import ENTRIES, programs
from tracescope.export.c.shared import BUCKET, FILL
from tracescope.export.exec_tracer import is_exec
from tracescope.export.text import template
from tracescope.export.tracer import Tracer
from tracescope.model import EventFormat, ProbeKind

__all__ = ("COUNT_OPTION", "head_text", "named_members", "project", "python_values", "tree_parts")

_TRAMPOLINES = """
/* BCC attaches these by their names. Since it takes functions of modules, the module is part of the name. */
#ifdef MODULE_KFUNC_PROBE
#define FENTRY(module, function) kfunc__##module##__##function
#define FEXIT(module, function) kretfunc__##module##__##function
#else
#define FENTRY(module, function) kfunc__##function
#define FEXIT(module, function) kretfunc__##function
#endif
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


def project(tracer: Tracer) -> dict[str, str]:
    """One file, NAME.py; raises Refused, UsageError."""
    if is_exec(tracer):
        from tracescope.export.bcc.exec_program import exec_program

        return exec_program(tracer)
    tracer = replace(tracer, targets=tuple(one for target in tracer.targets for one in _sites(target)))
    made = programs(tracer, words(tracer.transport))
    c_text = _program(tracer, made)
    values = python_values(tracer, c_text, set(named_members(tracer)), _what(made))
    _, before, after = tree_parts(tracer)
    lines = [*before, *attach_lines(made), *after]
    values |= {
        "ABOUT": "".join(f"{note}\n" for note in (*tracer.notes, "") if tracer.notes),
        "COUNT_OPTION": "" if tracer.counts else COUNT_OPTION,
        "TABLES": count_tables(tracer, made) if tracer.counts else event_tables(made),
        "OUTPUT": template("counts.py.in", {}) if tracer.counts else stream_text("stream.py.in", tracer.transport),
        "ATTACH": "".join(f"    {line}\n" for line in lines),
    }
    return {f"{tracer.name}.py": template("program.py.in", values)}


COUNT_OPTION = '    parser.add_argument("-n", "--count", type=int, metavar="N", help="end after so many events")\n'


def _what(made: list[Program]) -> str:
    return f"Prints events of {', '.join(probes_of(made))}"


def python_values(tracer: Tracer, c_text: str, members: set[tuple[str, str]], what: str) -> dict[str, str]:
    """What every program has; of `members`, those that its C names are looked up when it starts."""
    known = {f"OFFSET_{struct.replace(' ', '_')}_{member}": (struct, member) for struct, member in members}
    wanted = sorted({known[name] for name in re.findall(r"\bOFFSET_(?:struct|union)_\w+", c_text)})
    return {
        "NAME": tracer.name,
        "PROGRAM": c_text.replace('"""', "'''").expandtabs(4).strip("\n"),
        "MEMBERS": repr(wanted),
        "FILTERS": ascii({name: list(getattr(tracer.filters, name)) for name in ("pid", "tid", "uid", "comm")}),
        "SINCE": "5.8" if tracer.transport is Transport.RING and not tracer.counts else "5.5",
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


def named_members(tracer: Tracer) -> Iterable[tuple[str, str]]:
    """Every member that an expression of this tracer may name."""
    from tracescope.export.c.members import members

    return {("struct task_struct", "real_parent"), ("struct task_struct", "tgid"), *members(tracer), *_NAMESPACE}


_NAMESPACE = (
    ("struct task_struct", "nsproxy"), ("struct nsproxy", "pid_ns_for_children"), ("struct pid_namespace", "ns"),
    ("struct ns_common", "inum"),
)  # fmt: skip


def _program(tracer: Tracer, made: list[Program]) -> str:
    dialect = words(tracer.transport)
    body = "".join(program.text for program in made)
    if tracer.counts:
        shared = key_struct(tracer_keys(tracer), hist=bool(tracer.hist))
        maps = dialect.hash_map("counts", "struct count_key", "u64", ENTRIES)
    else:
        shared, maps = structs(made), dialect.events([one.struct for one in made])
    if "stacks." in body:
        maps += dialect.stack_map("stacks", ENTRIES)
    head = head_text(tracer, f"{shared}\n{maps}", parent=not tracer.counts or "parent()" in body)
    head += BUCKET.replace("@INLINE@", dialect.inline) if tracer.hist else ""
    head += "" if tracer.counts else FILL.replace("@INLINE@", dialect.inline)
    head += _TRAMPOLINES if any(one.target.kind in (ProbeKind.FENTRY, ProbeKind.FEXIT) for one in made) else ""
    used = helpers_used(body)
    return head + (f"\n/* What conditions are made of. */\n{used}" if used else "") + body + tree_parts(tracer)[0]


def head_text(tracer: Tracer, begin: str, *, parent: bool = True) -> str:
    """What comes before the programs: structs and maps as given, those of all programs, `wanted()`, `parent()`."""
    text = f"{begin}BPF_ARRAY(lost, u64, 1);    /* events that found no room */\n"
    more = cgroup_test(tracer.filters) + _containers(tracer)
    if tracer.filters.tree:
        text += "BPF_HASH(tree, u32, u8, 32768);    /* the threads that are followed */\n"
        more += "\tif (!tree.lookup(&tid))\n\t\treturn 0;\n"
    text += MEMBER if parent or "member(" in more else ""
    text += PARENT if parent else ""
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
    before = [tracepoint_line(format_, name) for name, format_ in helpers if name != "follow_exit"]
    before += [f'b["tree"][ct.c_uint32({int(pid)})] = ct.c_uint8(1)' for pid in tracer.filters.tree]
    return text, before, [tracepoint_line(format_, name) for name, format_ in helpers if name == "follow_exit"]


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
