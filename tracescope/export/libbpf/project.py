"""A tracer as a libbpf project: CO-RE programs in C, their loader, a Makefile. Pure."""

from __future__ import annotations

import re

from tracescope.export.c.dialect import Dialect
from tracescope.export.c.events import header
from tracescope.export.c.filters import cgroup_test
from tracescope.export.c.helpers import helpers_used
from tracescope.export.c.program import Program
from tracescope.export.c.programs import ENTRIES, programs
from tracescope.export.c.shared import BUCKET, FILL
from tracescope.export.c.tree import libbpf_tree
from tracescope.export.exec_tracer import is_exec
from tracescope.export.libbpf import loader
from tracescope.export.libbpf.words import words
from tracescope.export.text import template
from tracescope.export.tracer import Tracer
from tracescope.model import ProbeKind

__all__ = ("head_text", "project")

_HEAD = """\
/* {name}: written by TraceScope.{notes}
 *
 * CO-RE: types come from vmlinux.h, and libbpf moves every access to a member of the kernel's structs to where the
 * running kernel has it.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
{usdt}
#include "{name}.h"

char LICENSE[] SEC("license") = "GPL";

__u64 lost = 0; /* events that found no room */
{maps}
"""
_WANTED = """
/* Whose events are handed over. The loader fills this in before the programs are loaded. */
const volatile __u32 self = 0; /* the loader: what it prints must not be traced and printed again */
const volatile __u32 pids[MAX_FILTERS] = {{}}, pid_count = 0;
const volatile __u32 tids[MAX_FILTERS] = {{}}, tid_count = 0;
const volatile __u32 uids[MAX_FILTERS] = {{}}, uid_count = 0;
const volatile struct comm_name comms[MAX_FILTERS] = {{}};
const volatile __u32 comm_count = 0;

static __always_inline bool one_of(const volatile __u32 *list, u32 count, u32 value)
{{
	for (u32 at = 0; at < MAX_FILTERS && at < count; at++)
		if (list[at] == value)
			return true;
	return !count;
}}

static __always_inline bool named(void)
{{
	struct comm_name comm = {{}};

	bpf_get_current_comm(&comm, sizeof(comm));
	for (u32 at = 0; at < MAX_FILTERS && at < comm_count; at++)
		if (comms[at].words[0] == comm.words[0] && comms[at].words[1] == comm.words[1])
			return true;
	return !comm_count;
}}

static __always_inline bool wanted(void)
{{
	u64 id = bpf_get_current_pid_tgid();

	if (id >> 32 == self)
		return false;
{more}	return one_of(pids, pid_count, id >> 32) && one_of(tids, tid_count, id) &&
	       one_of(uids, uid_count, bpf_get_current_uid_gid()) && named();
}}
"""
_PARAMETERS = """
/* Older versions of bpf_tracing.h end at the fifth. */
#ifndef PT_REGS_PARM6
#if defined(__TARGET_ARCH_x86)
#define PT_REGS_PARM6(ctx) ((ctx)->r9)
#elif defined(__TARGET_ARCH_arm64)
#define PT_REGS_PARM6(ctx) (((const struct user_pt_regs *)(ctx))->regs[5])
#define PT_REGS_PARM7(ctx) (((const struct user_pt_regs *)(ctx))->regs[6])
#define PT_REGS_PARM8(ctx) (((const struct user_pt_regs *)(ctx))->regs[7])
#endif
#endif
"""


def project(tracer: Tracer) -> dict[str, str]:
    """The files by name; raises Refused, UsageError."""
    if is_exec(tracer):
        from tracescope.export.libbpf.exec_project import exec_project

        return exec_project(tracer)
    dialect = words(tracer)
    made = programs(tracer, dialect)
    name = tracer.name
    return {
        f"{name}.bpf.c": _bpf_c(tracer, dialect, made),
        f"{name}.h": header(tracer, made),
        f"{name}.c": loader.loader(tracer, made),
        "Makefile": template("Makefile", {"NAME": name}),
        "README.md": loader.readme(tracer, made),
    }


def _bpf_c(tracer: Tracer, dialect: Dialect, made: list[Program]) -> str:
    counts = tracer.counts
    body = "".join(program.text for program in made)
    usdt = "#include <bpf/usdt.bpf.h>\n" if any(one.target.kind is ProbeKind.USDT for one in made) else ""
    maps = (
        f"\n{dialect.hash_map('counts', 'struct count_key', 'u64', ENTRIES)}"
        if counts
        else f"\n{dialect.events([one.struct for one in made])}"
    )
    if "&stacks" in body:
        maps += f"\n{dialect.stack_map('stacks', ENTRIES)}"
    tree, tree_programs = libbpf_tree(dialect) if tracer.filters.tree else ("", "")
    notes = "".join(f"\n * {note}" for note in tracer.notes)
    text = head_text(
        tracer, dialect, maps, notes=notes, tree=tree, includes=usdt, parent=not counts or "parent()" in body
    )
    text += _PARAMETERS if re.search(r"PT_REGS_PARM[678]", body) else ""
    text += BUCKET.replace("@INLINE@", dialect.inline) if tracer.hist else ""
    text += "" if counts else FILL.replace("@INLINE@", dialect.inline)
    used = helpers_used(body)
    return text + (f"\n/* What conditions are made of. */\n{used}" if used else "") + body + tree_programs


def head_text(
    tracer: Tracer, dialect: Dialect, maps: str, *, notes: str, tree: str, includes: str = "", parent: bool = True
) -> str:
    """What comes before the programs: includes, maps, `wanted()`, `parent()`."""
    more = "\tif (!followed())\n\t\treturn false;\n" if tree else ""
    more += cgroup_test(tracer.filters) + _containers(tracer)
    text = _HEAD.format(name=tracer.name, usdt=includes, maps=maps, notes=notes)
    return text + tree + _WANTED.format(more=more) + (dialect.parent if parent else "")


def _containers(tracer: Tracer) -> str:
    wanted = tracer.filters.namespace
    if not wanted:
        return ""
    tests = " && ".join(f"namespace != {one.number}U" for one in wanted)
    return (
        "\tstruct task_struct *task = (struct task_struct *)bpf_get_current_task();\n"
        "\tu32 namespace = BPF_CORE_READ(task, nsproxy, pid_ns_for_children, ns.inum);\n"
        f"\tif ({tests})\n\t\treturn false;\n"
    )
