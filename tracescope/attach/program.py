"""The C text of a plan, for BCC. Pure.

Every name in the text is made here, every number is an integer of the plan: no text of the user's or the kernel's
reaches the compiler, except event names of letters, digits and `_` in comments.
"""

from __future__ import annotations

import re
import sys

from tracescope.attach import program_exec
from tracescope.attach.plan import FieldLayout, Filters, Helper, Plan, PlannedProbe, Shape
from tracescope.model import EventFormat, Field

__all__ = ("RING_BYTES", "TREE_SIZE", "filter_text", "load", "program_text")

RING_BYTES = 16 << 20
"""The ring: 50 ms of 4 million small events a second."""
TREE_SIZE = 32768
"""The default limit of process ids."""

_HEAD = """\
/* Made by TraceScope, for BCC. One program a probe; every record starts with struct record. */

struct record {
    u64 time_ns;    /* CLOCK_MONOTONIC */
    u32 cpu;
    u32 probe;      /* which probe of the session */
    u32 pid;        /* of the process (tgid) */
    u32 tid;
    u32 ppid;
    u32 flags;      /* bit n: the bytes of dynamic field n could not be read */
    char comm[16];
};

struct count {
    u64 events;     /* handed over */
    u64 lost;       /* the ring was full */
};

BPF_RINGBUF_OUTPUT(events, %(ring)d / PAGE_SIZE);
BPF_PERCPU_ARRAY(counts, struct count, %(probes)d);
BPF_ARRAY(control, u32, 1);     /* 1 while the session runs: all probes begin and end together */
"""

_FILL = """
static inline void fill(struct record *record, u32 probe)
{
    u64 id = bpf_get_current_pid_tgid();

    record->time_ns = bpf_ktime_get_ns();
    record->cpu = bpf_get_smp_processor_id();
    record->probe = probe;
    record->pid = id >> 32;
    record->tid = id;
    record->ppid = parent();
    record->flags = 0;
    bpf_get_current_comm(record->comm, sizeof(record->comm));
}
"""

_NO_PARENT = """
static inline u32 parent(void)
{
    return 0;
}
"""

_PARENT = """
/* Offsets in struct task_struct, from this kernel's BTF. */
#define TASK_REAL_PARENT %d
#define TASK_TGID %d

static inline u32 parent(void)
{
    u64 task = 0;
    u32 tgid = 0;

    bpf_probe_read_kernel(&task, sizeof(task), (void *)(bpf_get_current_task() + TASK_REAL_PARENT));
    bpf_probe_read_kernel(&tgid, sizeof(tgid), (void *)(task + TASK_TGID));
    return tgid;
}
"""

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

_FIXED = """
/* %(name)s */
int %(function)s(u64 *ctx)
{
    struct { struct record head; u64 raw[%(words)d]; } *record;
    u32 probe = %(index)d;
    struct count *count = counts.lookup(&probe);

    if (!count || !wanted())
        return 0;
    record = events.ringbuf_reserve(sizeof(*record));
    if (!record) {
        count->lost++;
        return 0;
    }
    fill(&record->head, probe);
%(copy)s
    events.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    count->events++;
    return 0;
}
"""

_SCRATCH = """
/* Records that vary in size are put together here; programs on tracepoints never interrupt each other on a CPU. */
struct scratch {
    char bytes[%d];
};
BPF_PERCPU_ARRAY(scratch, struct scratch, 1);
"""

_DYNAMIC = """
/* %(name)s */
int %(function)s(u64 *ctx)
{
    struct { struct record head; u64 raw[%(words)d]; char text[%(text)d]; } *record;
    u32 probe = %(index)d, used = 0, size, where;
    int zero = 0;
    struct count *count = counts.lookup(&probe);

    record = (void *)scratch.lookup(&zero);
    if (!count || !record || !wanted())
        return 0;
    fill(&record->head, probe);
%(copy)s
%(append)s
    if (events.ringbuf_output(record, %(fixed)d + used, BPF_RB_NO_WAKEUP))
        count->lost++;
    else
        count->events++;
    return 0;
}
"""

_APPEND = """\
    where = *(u32 *)((char *)ctx + %(offset)d);
    size = where >> 16;
    if (size > %(cap)d)
        size = %(cap)d;
    if (bpf_probe_read_kernel(&record->text[used], size, (char *)ctx + %(base)d + (where & 0xffff)))
        record->head.flags |= %(bit)dU;
    used += size;"""

_TREE = """
/* Threads of the processes that are followed, by thread id. */
BPF_HASH(tree, u32, u8, %d);
"""

_FOLLOW = {
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


def program_text(plan: Plan) -> str:
    """The whole program as C."""
    offsets = plan.offsets
    parts = [_HEAD % {"ring": RING_BYTES, "probes": len(plan.probes)}, filter_text(plan.filters)]
    parts.append(_PARENT % (offsets.real_parent, offsets.tgid) if offsets else _NO_PARENT)
    parts.append(_FILL)
    parts.extend(_scratch(plan.probes))
    if any(probe.shape is Shape.EXEC for probe in plan.probes):
        parts.append(program_exec.common_text(plan))
    parts.extend(_probe(plan, probe) for probe in plan.probes)
    helpers = {helper.function: helper for helper in (*plan.before, *plan.after)}
    parts.extend(_helper(plan, helper) for helper in helpers.values())
    return "".join(parts)


def filter_text(filters: Filters) -> str:
    """The function `wanted()`, which says whether the current thread's events are handed over, and its map."""
    return (_TREE % TREE_SIZE if filters.tree else "") + _WANTED % _conditions(filters)


def _conditions(filters: Filters) -> str:
    """The lines of `wanted()` that let one event of many through."""
    lines = []
    if filters.pid:
        lines += ["u32 pid = bpf_get_current_pid_tgid() >> 32;", _none_of("pid", filters.pid)]
    if filters.uid:
        lines += ["u32 uid = bpf_get_current_uid_gid();", _none_of("uid", filters.uid)]
    if filters.cgroup:
        conditions = (f"bpf_get_current_ancestor_cgroup_id({level}) != {id_}ULL" for id_, level in filters.cgroup)
        lines += [f"if ({' && '.join(conditions)})", "    return 0;"]
    if filters.comm:
        words = [_words(comm) for comm in dict.fromkeys(filters.comm)]
        either = " && ".join(f"!(comm[0] == {first:#x}ULL && comm[1] == {second:#x}ULL)" for first, second in words)
        lines += ["u64 comm[2] = {};", "bpf_get_current_comm(comm, sizeof(comm));", f"if ({either})", "    return 0;"]
    if filters.tree:
        lines += ["u32 tid = bpf_get_current_pid_tgid();", "if (!tree.lookup(&tid))", "    return 0;"]
    return "".join(f"    {line}\n" for line in lines)


def _none_of(name: str, numbers: tuple[int, ...]) -> str:
    conditions = " && ".join(f"{name} != {int(number)}U" for number in dict.fromkeys(numbers))
    return f"if ({conditions})\n        return 0;"


def _words(comm: str) -> tuple[int, int]:
    """A command name as the two words that it fills in the kernel: 15 bytes and a NUL."""
    data = comm.encode("utf-8", "surrogateescape")[:15].ljust(16, b"\0")
    return int.from_bytes(data[:8], sys.byteorder), int.from_bytes(data[8:], sys.byteorder)


def _scratch(probes: tuple[PlannedProbe, ...]) -> list[str]:
    sizes = [probe.fixed_size + probe.cap * len(probe.dynamic) for probe in probes if probe.dynamic]
    sizes += [program_exec.RECORD_BYTES for probe in probes if probe.shape is Shape.EXEC]
    return [_SCRATCH % max(sizes)] if sizes else []


def _probe(plan: Plan, probe: PlannedProbe) -> str:
    words = (probe.fixed_size if plan.record_size is None else plan.record_size) // 8 - 6
    values: dict[str, object] = {"name": _comment(probe.format), "function": probe.function, "index": probe.index}
    values |= {"words": words, "copy": _copy(probe.raw)}
    if probe.shape is Shape.EXEC:
        return program_exec.probe_text(plan, probe, _comment(probe.format), _copy(probe.raw))
    if not probe.dynamic:
        return _FIXED % values
    values["text"] = probe.cap * len(probe.dynamic)
    values["fixed"] = probe.fixed_size
    values["append"] = "\n".join(_append(probe, bit, layout) for bit, layout in enumerate(probe.dynamic))
    return _DYNAMIC % values


def _comment(format_: EventFormat) -> str:
    return re.sub(r"\W", "?", f"{format_.group} {format_.name}", flags=re.ASCII).replace("?", ":", 1)


def _copy(size: int) -> str:
    """Statements that copy `size` bytes of the tracepoint's record, from byte 8 on; never past its end."""
    lines = [f"    record->raw[{word}] = ctx[{word + 1}];" for word in range(size // 8)]
    at = size // 8 * 8
    for width in (4, 2, 1):
        if size - at >= width:
            type_ = f"u{8 * width}"
            lines.append(f"    *({type_} *)((char *)record->raw + {at}) = *({type_} *)((char *)ctx + {at + 8});")
            at += width
    return "\n".join(lines)


def _append(probe: PlannedProbe, bit: int, layout: FieldLayout) -> str:
    field = layout.field
    base = field.offset + field.size if field.location == "__rel_loc" else 0
    return _APPEND % {"offset": field.offset, "cap": probe.cap, "base": base, "bit": 1 << min(bit, 31)}


def _helper(plan: Plan, helper: Helper) -> str:
    values = {field.name: load(field) for field in helper.format.fields if field.size == 4}
    template = _FOLLOW.get(helper.function)
    return template % values if template else program_exec.helper_text(plan, helper.function, values)


def load(field: Field) -> str:
    """An expression that reads a 4-byte field from the tracepoint's record."""
    return f"*(u32 *)((char *)ctx + {field.offset})"
