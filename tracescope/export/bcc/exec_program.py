"""The exec tracer as a Python program for BCC. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.export.bcc import project
from tracescope.export.bcc.run import stream_text
from tracescope.export.bcc.tables import HEAD_CLASS
from tracescope.export.bcc.words import words
from tracescope.export.c.shared import FILL
from tracescope.export.exec_programs import about_text, bcc_text, structs_text, what_text
from tracescope.export.exec_tracer import calls_of, is_exec_pair
from tracescope.export.text import template
from tracescope.export.tracer import Tracer

__all__ = ("exec_program",)

_CONTEXTS = """
/* What the kernel hands over at a system call. */
struct trace_event_raw_sys_enter {
	u64 hidden;
	s64 id;
	u64 args[6];
};

struct trace_event_raw_sys_exit {
	u64 hidden;
	s64 id;
	s64 ret;
};
"""
_CLASSES = """\


class ExecEvent(ct.Structure):
    _fields_ = [
        ("head", Head),
        ("duration_ns", ct.c_uint64),
        ("ret", ct.c_int64),
        ("argv_size", ct.c_uint32),
        ("argv_cut", ct.c_uint32),
        ("fd", ct.c_int32),
        ("filename", ct.c_char * 256),
        ("argv", ct.c_char * 4096),
    ]


class ExitEvent(ct.Structure):
    _fields_ = [
        ("head", Head),
        ("lifetime_ns", ct.c_uint64),
        ("cpu_ns", ct.c_uint64),
        ("exit_code", ct.c_uint32),
        ("signal", ct.c_uint32),
    ]
"""
_STARTED = 'b.attach_raw_tracepoint(tp="sched_process_exec", fn_name="program_started")'
_ENDED = 'b.attach_raw_tracepoint(tp="sched_process_exit", fn_name="thread_ended")'


def _attach(tracer: Tracer) -> Iterator[str]:
    for end in ("exit", "enter"):
        for call in calls_of(tracer):
            yield f'b.attach_tracepoint(tp="syscalls:sys_{end}_{call}", fn_name="{end}_{call}")'
    yield _STARTED
    if not is_exec_pair(tracer):
        yield _ENDED


def exec_program(tracer: Tracer) -> dict[str, str]:
    """One file; raises Refused."""
    wanted = set(project.named_members(tracer))
    tags = {"atomic_t": ""}

    def offset(struct: str, member: str) -> str:
        if struct in tags:
            return "0"  # the only member of a typedef
        wanted.add((f"struct {struct}", member))
        return f"OFFSET_struct_{struct}_{member}"

    dialect = words(tracer.transport)
    programs = bcc_text(tracer, dialect, offset)
    c_text = (
        project.head_text(tracer, f"{structs_text()}\n{dialect.events([])}")
        + FILL.replace("@INLINE@", dialect.inline)
        + _CONTEXTS
        + programs
    )
    follow, before, after = project.tree_parts(tracer)
    lines = [*before, *_attach(tracer), *after]
    values = project.python_values(tracer, c_text + follow, wanted, what_text(tracer))
    values |= {
        "ABOUT": f"{about_text(tracer)}\n\n",
        "COUNT_OPTION": project.COUNT_OPTION,
        "TABLES": HEAD_CLASS + _CLASSES,
        "OUTPUT": stream_text("exec_stream.py.in", tracer.transport),
        "ATTACH": "".join(f"    {line}\n" for line in lines),
    }
    return {f"{tracer.name}.py": template("program.py.in", values)}
