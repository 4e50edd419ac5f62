"""The C text of the execve tracepoints: the text behind the pointers, read when it can be read. Pure.

At entry a page of the caller may not be in memory (a literal of the program file after fork): BPF cannot read it then.
The record waits, under its task, until the kernel itself has brought the page in: before the old memory goes
(`sched_prepare_exec`; without it the new program's stack is read, at `sched_process_exec`), or the failed call
returns. One event comes of it in any case; what stays unreadable is flagged, argument by argument.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import asdict
from enum import IntFlag

from tracescope.attach.plan import Plan
from tracescope.attach.program.head import hand_over
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.targets.target import Shape

__all__ = ("RECORD_BYTES", "TEXT", "TEXT_OFFSET", "ExecFlag", "common_text", "helper_text", "probe_text", "reader_text")

# What is kept: arguments; bytes of one, with its NUL; bytes after which no further one is begun; variables counted.
_ARGS, _ARGUMENT_BYTES, _TEXT_BYTES, _ENVP = 128, 4096, 8192, 512
_RAW_WORDS = 6
_MASK = 16383
TEXT = struct.Struct("=IIII2Q")
"""`struct text`: flags, argc, envc, used, unread."""
TEXT_OFFSET = HEADER.size + 8 * _RAW_WORDS
RECORD_BYTES = TEXT_OFFSET + TEXT.size + _MASK + 1 + 8
"""The scratch space of one record."""
_PENDING = 4096


class ExecFlag(IntFlag):
    """What `struct text` says about itself."""

    FILENAME_UNREAD = 1
    ARGV_UNREAD = 2
    """The array of pointers could not be read to its end."""
    ARGV_CUT = 4
    """More arguments, or a longer one, than are kept."""
    ENVP_UNREAD = 8
    ENVP_CUT = 16
    FROM_MEMORY = 32
    """The arguments are those that the new program found on its stack."""


_READ_TEXT = """
#define FILENAME_UNREAD %(FILENAME_UNREAD)d
#define ARGV_UNREAD %(ARGV_UNREAD)d     /* the array of pointers */
#define ARGV_CUT %(ARGV_CUT)d
#define ENVP_UNREAD %(ENVP_UNREAD)d
#define ENVP_CUT %(ENVP_CUT)d
#define FROM_MEMORY %(FROM_MEMORY)d     /* as the new program found them */

struct text {
    u32 flags;
    u32 argc;
    u32 envc;
    u32 used;       /* bytes of text: file name and arguments, each with its NUL */
    u64 unread[2];  /* bit n: argument n could not be read and is not in the text */
};

/* The number of variables: eight pointers at once, and one by one where they end next to memory that cannot be read. */
static inline void count_envp(struct text *text, u64 envp)
{
    u64 some[8];
    u32 step, at;

    if (!envp)
        return;
#pragma clang loop unroll(disable)
    for (step = 0; step < %(envp)d / 8; step++) {
        if (bpf_probe_read_user(some, sizeof(some), (void *)(envp + 8 * (u64)text->envc)))
            break;
#pragma clang loop unroll(full)
        for (at = 0; at < 8; at++) {
            if (!some[at])
                return;
            text->envc++;
        }
    }
#pragma clang loop unroll(disable)
    for (at = 0; at < 8; at++) {
        if (bpf_probe_read_user(some, 8, (void *)(envp + 8 * (u64)text->envc))) {
            text->flags |= ENVP_UNREAD;
            return;
        }
        if (!some[0])
            return;
        text->envc++;
    }
    text->flags |= ENVP_CUT;
}

/* Read all that the pointers at `at` lead to: file name, argv, envp. What the loops find goes to memory and not to
   variables: the verifier forgets memory, so one turn of a loop looks to it like the next. */
static inline void read_text(struct text *text, char *bytes, u64 *at)
{
    u64 argv = at[1], envp = at[2], pointer = 0;
    u32 used, index;
    int size;
    char last;

    __builtin_memset(text, 0, sizeof(*text));
    size = bpf_probe_read_user_str(bytes, %(argument)d, (void *)at[0]);
    if (size > 0)
        text->used = size;
    else
        text->flags |= FILENAME_UNREAD;
#pragma clang loop unroll(disable)
    for (index = 0; index <= %(args)d; index++) {
        text->argc = index;
        pointer = 0;
        if (argv && bpf_probe_read_user(&pointer, sizeof(pointer), (void *)(argv + 8 * index))) {
            text->flags |= ARGV_UNREAD;
            break;
        }
        used = text->used;
        if (!pointer)
            break;
        if (index == %(args)d || used >= %(text)d) {
            text->flags |= ARGV_CUT;
            break;
        }
        size = bpf_probe_read_user_str(&bytes[used], %(argument)d, (void *)pointer);
        if (size <= 0) {
            text->unread[(index >> 6) & 1] |= 1ULL << (index & 63);
            continue;
        }
        text->used = used + size;
        last = 0;
        if (size == %(argument)d && !bpf_probe_read_user(&last, 1, (void *)(pointer + %(argument)d - 1)) && last)
            text->flags |= ARGV_CUT;
    }
    if (%(counted)d)
        count_envp(text, envp);
}
"""

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


def reader_text(*, counted: bool = True) -> str:
    """`struct text` and what fills it from the pointers of a call: file name, argv, and envp if counted."""
    numbers = {"counted": int(counted), "argument": _ARGUMENT_BYTES, "args": _ARGS, "envp": _ENVP, "text": _TEXT_BYTES}
    return _READ_TEXT % {**{str(flag.name): int(flag) for flag in ExecFlag}, **numbers}


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
    numbers = {"argument": _ARGUMENT_BYTES, "text": _TEXT_BYTES}
    offsets = asdict(plan.offsets) if plan.offsets else {}
    return _HELPERS[function] % {**values, **offsets, **numbers}


def _pointers_of_any(plan: Plan) -> str:
    """The same for a record of whichever of the two calls."""
    *others, last = [probe for probe in plan.probes if probe.shape is Shape.EXEC]
    choices = [f"record->head.probe == {probe.index} ? {_pointers(probe)} : " for probe in others]
    return "".join(choices) + _pointers(last)
