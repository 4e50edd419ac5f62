"""The structs that programs and reader share. Pure."""

from __future__ import annotations

from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.kernel.transport import Transport
from tracescope.export.c.carried import Column
from tracescope.export.c.keys import Key, keys_of
from tracescope.export.c.program import Program
from tracescope.export.tracer import Tracer

__all__ = ("HEAD_STRUCT", "header", "header_text", "key_struct", "structs", "tracer_keys")

HEAD_STRUCT = """\
/* What every event begins with. */
struct event_head {
	__u64 time_ns;	/* CLOCK_MONOTONIC */
	__u32 probe;
	__u32 pid;	/* of the process (tgid) */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 unread;	/* bit n: value n could not be read */
	char comm[16];
};
"""
_HEADER = """\
/* What {name}.bpf.c and {name}.c share. Written by TraceScope. */
#ifndef {guard}
#define {guard}

#define MAX_FILTERS 16
{sizes}
/* A thread's name, to be compared as two words. */
struct comm_name {{
	union {{
		char bytes[16];
		__u64 words[2];
	}};
}};

{body}
#endif
"""


_RING_SIZE = "#define RING_BYTES (4 << 20) /* of all CPUs together; a power of two */\n"
_PERF_SIZE = "#define PERF_PAGES 64 /* of each CPU; a power of two */\n"


def header(tracer: Tracer, made: list[Program]) -> str:
    """The header file."""
    body = key_struct(tracer_keys(tracer), hist=bool(tracer.hist)) if tracer.counts else structs(made)
    return header_text(tracer, body)


def header_text(tracer: Tracer, body: str) -> str:
    """The header file with these structs."""
    if tracer.counts:
        sizes = "#define STACK_DEPTH 127\n" if any(key.kind.is_stack for key in tracer_keys(tracer)) else ""
    else:
        sizes = _RING_SIZE if tracer.transport is Transport.RING else _PERF_SIZE
    return _HEADER.format(name=tracer.name, guard=f"{tracer.name.upper()}_H", body=body, sizes=sizes)


def tracer_keys(tracer: Tracer) -> list[Key]:
    """The keys as the first probe has them; raises UsageError where another's differ."""
    return keys_of(tracer, scope_of(tracer.targets[0], tracer.btf))


def structs(made: list[Program]) -> str:
    """`struct event_head` and the events."""
    return HEAD_STRUCT + "".join(f"\n{_event(program)}" for program in made)


def _event(program: Program) -> str:
    members = "".join(f"\t{column.declaration}\n" for column in program.columns)
    return f"struct {program.struct} {{\n\tstruct event_head head;\n{members}}};\n"


def key_struct(keys: list[Key], *, hist: bool) -> str:
    """What is counted by."""
    lines = ["\t__u32 probe;", f"\t__u32 bucket;{'' if hist else chr(9) + '/* always 0 */'}"]
    for key in keys:
        lines.append(f"\t{_member(key.column)}")
        if key.kind is KeyKind.USER_STACK:
            lines.append(f"\t__u64 {key.column.name}_pid;")
    inner = "\n".join(lines)
    comment = "/* What is counted by; no gaps between the members, or what lies in them would count too. */"
    return f"{comment}\nstruct count_key {{\n{inner}\n}};\n"


def _member(column: Column) -> str:
    return column.declaration
