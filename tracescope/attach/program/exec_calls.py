"""The C text of the execve tracepoints: the text behind the pointers, read when it can be read. Pure.

At entry a page of the caller may not be in memory (a literal of the program file after fork): BPF cannot read it then.
The record waits, under its task, until the kernel itself has brought the page in: before the old memory goes
(`sched_prepare_exec`; without it the new program's stack is read, at `sched_process_exec`), or the failed call
returns. One event comes of it in any case; what stays unreadable is flagged, argument by argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from tracescope.attach.plan import Plan
from tracescope.attach.program.exec_text import ARGUMENT_BYTES, TEXT, TEXT_BYTES, reader_text
from tracescope.attach.program.head import hand_over
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.targets.target import Shape

__all__ = ("RECORD_BYTES", "TEXT_OFFSET", "common_text", "helper_text", "probe_text")

_RAW_WORDS = 6
_MASK = 16383
TEXT_OFFSET = HEADER.size + 8 * _RAW_WORDS
RECORD_BYTES = TEXT_OFFSET + TEXT.size + _MASK + 1 + 8
"""The scratch space of one record."""
_PENDING = 4096

_RECORD = """
struct exec_record {
    struct record head;
    u64 raw[%(words)d];
    struct text text;
    char bytes[%(bytes)d];
    u32 last;       /* what cannot be read now never will be; not handed over */
    u32 unused;
};

static inline int incomplete(struct exec_record *record)
{
    return (record->text.flags & (FILENAME_UNREAD | ARGV_UNREAD)) || record->text.unread[0] || record->text.unread[1];
}

static inline void hand_over(u64 *ctx, struct exec_record *record)
{
    u32 probe = record->head.probe;
    struct count *count = counts.lookup(&probe);

    if (!count)
        return;
    if (%(output)s)
        count->lost++;
    else
        count->events++;
}
"""

_PENDING_TEXT = """
/* Calls of which something could not be read at entry, by task: it stays the same when exec changes the thread id. */
struct pending {
    struct record head;
    u64 raw[%(words)d];
    struct text text;
};
BPF_HASH(pending, u64, struct pending, %(pending)d);

static inline struct exec_record *waiting(void)
{
    u64 task = bpf_get_current_task();
    struct pending *found = pending.lookup(&task);
    int place = SCRATCH_OF_EXEC;
    struct exec_record *record = (void *)scratch.lookup(&place);

    if (!found || !record)
        return 0;
    __builtin_memcpy(record, found, sizeof(*found));
    return record;
}
"""

_PROBE = """
/* %(name)s */
int %(function)s(u64 *ctx)
{
    int place = SCRATCH_OF_EXEC;
    struct exec_record *record = (void *)scratch.lookup(&place);

    if (!record || !wanted())
        return 0;
%(condition)s    fill(&record->head, %(index)d);
%(copy)s
    record->last = %(last)d;
    to_exec_text.call(ctx, 0);
    return 0;
}
"""

_READER = """
/* The loops are the verifier's work: one program has them, the others go on into it. */
int exec_text(u64 *ctx)
{
    int place = SCRATCH_OF_EXEC;
    struct exec_record *record = (void *)scratch.lookup(&place);

    if (!record)
        return 0;
    read_text(&record->text, record->bytes, %(pointers)s);
%(wait)s    hand_over(ctx, record);
    return 0;
}
"""

_WAIT = """\
    if (!record->last && incomplete(record)) {
        u64 task = bpf_get_current_task();

        if (!pending.update(&task, (struct pending *)record))
            return 0;
    }
"""

_HELPERS = {
    "exec_done": """
/* Offsets in struct task_struct and struct mm_struct, from this kernel's BTF. */
#define TASK_MM %(mm)d
#define MM_ARG_START %(arg_start)d
#define MM_ARG_END %(arg_end)d

int exec_done(u64 *ctx)
{
    u64 task = bpf_get_current_task(), memory = 0, start = 0, end = 0, size;
    struct exec_record *record = waiting();
    u32 used = 0;
    int length;

    if (!record)
        return 0;
    record->text.flags &= ~FILENAME_UNREAD;
    length = bpf_probe_read_kernel_str(record->bytes, %(argument)d, (char *)ctx + (%(filename)s & 0xffff));
    if (length > 0)
        used = length;
    else
        record->text.flags |= FILENAME_UNREAD;
    bpf_probe_read_kernel(&memory, sizeof(memory), (void *)(task + TASK_MM));
    bpf_probe_read_kernel(&start, sizeof(start), (void *)(memory + MM_ARG_START));
    bpf_probe_read_kernel(&end, sizeof(end), (void *)(memory + MM_ARG_END));
    size = end - start;
    if (size > %(text)d) {
        size = %(text)d;
        record->text.flags |= ARGV_CUT;
    }
    if (start && !bpf_probe_read_user(&record->bytes[used], size, (void *)start)) {
        record->text.flags |= FROM_MEMORY;
        used += size;
    } else {
        record->text.flags |= ARGV_UNREAD;
        record->text.argc = 0;
    }
    record->text.used = used;
    pending.delete(&task);
    hand_over(ctx, record);
    return 0;
}
""",
    # The kernel has read the arguments, and the old memory is still there; or the call failed, and nothing else will.
    "exec_again": """
int exec_again(u64 *ctx)
{
    u64 task = bpf_get_current_task();
    struct exec_record *record = waiting();

    if (!record)
        return 0;
    pending.delete(&task);
    record->last = 1;
    to_exec_text.call(ctx, 0);
    return 0;
}
""",
}


def common_text(plan: Plan) -> str:
    """What the programs on execve and execveat share."""
    size = f"{TEXT_OFFSET + TEXT.size} + (record->text.used & {_MASK})"
    numbers: dict[str, int | str] = {
        "words": _RAW_WORDS, "bytes": _MASK + 1, "mask": _MASK, "output": hand_over(plan.transport, "record", size),
    }  # fmt: skip
    text = "BPF_PROG_ARRAY(to_exec_text, 1);\n" + reader_text() + _RECORD % numbers
    if plan.completes_exec:
        text += _PENDING_TEXT % {**numbers, "pending": _PENDING}
    return text + _READER % {"pointers": _pointers_of_any(plan), "wait": _WAIT if plan.completes_exec else ""}


def probe_text(plan: Plan, probe: PlannedProbe, name: str, copy: str, condition: str) -> str:
    """The program on sys_enter_execve or sys_enter_execveat."""
    values = {"name": name, "function": probe.function, "index": probe.index, "copy": copy}
    return _PROBE % {**values, "condition": condition, "last": not plan.completes_exec}


def _pointers(probe: PlannedProbe) -> str:
    """Where `raw` holds filename, argv and envp: execveat has a descriptor in front."""
    (offset,) = (layout.offset for layout in probe.fields if layout.field.name == "filename")
    return f"&record->raw[{(offset - HEADER.size) // 8}]"


def helper_text(plan: Plan, function: str, values: Mapping[str, str]) -> str:
    """A silent program that completes waiting calls."""
    numbers = {"argument": ARGUMENT_BYTES, "text": TEXT_BYTES}
    offsets = asdict(plan.offsets) if plan.offsets else {}
    return _HELPERS[function] % {**values, **offsets, **numbers}


def _pointers_of_any(plan: Plan) -> str:
    """The same for a record of whichever of the two calls."""
    *others, last = [probe for probe in plan.probes if probe.shape is Shape.EXEC]
    choices = [f"record->head.probe == {probe.index} ? {_pointers(probe)} : " for probe in others]
    return "".join(choices) + _pointers(last)
