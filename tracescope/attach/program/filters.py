"""The C text of the filters: `wanted()` says whether the current thread's events are handed over. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tracescope.attach.plan import Filters, Namespace

__all__ = ("FOLLOW", "TREE_SIZE", "comm_words", "filter_text", "follow_text")

TREE_SIZE = 32768
"""The default limit of process ids."""

_WANTED = """
static inline int wanted(void)
{
    int zero = 0;
    u32 *on = control.lookup(&zero);

    if (!on || !*on)
        return 0;
%s    return 1;
}
"""

_TREE = """
/* Threads of the processes that are followed, by thread id. */
BPF_HASH(tree, u32, u8, %d);
"""

_LEFT_OUT = """
/* Processes that are left out. They are no part of the text: TraceScope leaves out itself, and is compiled once. */
BPF_ARRAY(left_out, u32, %d);
"""
_UNLESS_LEFT_OUT = (
    "int place_%(at)d = %(at)d;",
    "u32 *other_%(at)d = left_out.lookup(&place_%(at)d);",
    "if (other_%(at)d && *other_%(at)d == self)",
    "    return 0;",
)

FOLLOW = {
    "follow_fork": """
int follow_fork(u64 *ctx)
{
    u32 parent = bpf_get_current_pid_tgid(), child = %(child_pid)s;
    u8 *found = tree.lookup(&parent), one = 1;

    if (found)
        tree.update(&child, &one);
    return 0;
}
""",
    # A thread that is not the leader takes the leader's id in exec.
    "follow_exec": """
int follow_exec(u64 *ctx)
{
    u32 before = %(old_pid)s, after = %(pid)s;
    u8 *found = tree.lookup(&before), one = 1;

    if (found && before != after) {
        tree.update(&after, &one);
        tree.delete(&before);
    }
    return 0;
}
""",
    "follow_exit": """
int follow_exit(u64 *ctx)
{
    u32 thread = bpf_get_current_pid_tgid();

    tree.delete(&thread);
    return 0;
}
""",
}


def filter_text(filters: Filters) -> str:
    """The function `wanted()`, which says whether the current thread's events are handed over, and its maps.

    Whoever loads the text puts `filters.tree` and `filters.but_not` into the maps (`kernel.tree`).
    """
    left_out = _LEFT_OUT % len(filters.but_not) if filters.but_not else ""
    return (_TREE % TREE_SIZE if filters.tree else "") + left_out + _WANTED % _conditions(filters)


def _conditions(filters: Filters) -> str:
    """The lines of `wanted()` that let one event of many through."""
    lines = []
    if filters.pid:
        lines += ["u32 pid = bpf_get_current_pid_tgid() >> 32;", _none_of("pid", filters.pid)]
    if filters.but_not:
        lines.append("u32 self = bpf_get_current_pid_tgid() >> 32;")
        lines += [line % {"at": at} for at in range(len(filters.but_not)) for line in _UNLESS_LEFT_OUT]
    if filters.tid:
        lines += ["u32 thread = bpf_get_current_pid_tgid();", _none_of("thread", filters.tid)]
    if filters.namespace:
        lines += _namespaces(filters.namespace)
    if filters.uid:
        lines += ["u32 uid = bpf_get_current_uid_gid();", _none_of("uid", filters.uid)]
    if filters.cgroup:
        conditions = (f"bpf_get_current_ancestor_cgroup_id({level}) != {id_}ULL" for id_, level in filters.cgroup)
        lines += [f"if ({' && '.join(conditions)})", "    return 0;"]
    if filters.comm:
        words = [comm_words(comm) for comm in dict.fromkeys(filters.comm)]
        either = " && ".join(f"!(comm[0] == {first:#x}ULL && comm[1] == {second:#x}ULL)" for first, second in words)
        lines += ["u64 comm[2] = {};", "bpf_get_current_comm(comm, sizeof(comm));", f"if ({either})", "    return 0;"]
    if filters.tree:
        lines += ["u32 tid = bpf_get_current_pid_tgid();", "if (!tree.lookup(&tid))", "    return 0;"]
    return "".join(f"    {line}\n" for line in lines)


def _namespaces(wanted: tuple[Namespace, ...]) -> list[str]:
    """The number at the end of a chain of pointers from the task."""
    *pointers, last = wanted[0].path
    lines = ["u64 at = bpf_get_current_task();", "u32 namespace = 0;"]
    lines += [f"bpf_probe_read_kernel(&at, sizeof(at), (void *)(at + {int(offset)}));" for offset in pointers]
    lines.append(f"bpf_probe_read_kernel(&namespace, sizeof(namespace), (void *)(at + {int(last)}));")
    return [*lines, _none_of("namespace", tuple(one.number for one in wanted))]


def _none_of(name: str, numbers: tuple[int, ...]) -> str:
    conditions = " && ".join(f"{name} != {int(number)}U" for number in dict.fromkeys(numbers))
    return f"if ({conditions})\n        return 0;"


def comm_words(comm: str) -> tuple[int, int]:
    """A command name as the two words that it fills in the kernel: 15 bytes and a NUL."""
    data = comm.encode("utf-8", "surrogateescape")[:15].ljust(16, b"\0")
    return int.from_bytes(data[:8], sys.byteorder), int.from_bytes(data[8:], sys.byteorder)


def follow_text(function: str, values: Mapping[str, str]) -> str:
    """A silent program that keeps the map of followed threads; `values` are loads of the event's fields by name."""
    return FOLLOW[function] % values
