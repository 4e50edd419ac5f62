"""The C text that all programs of a session share: the header of records and how it is filled, the maps. Pure."""

from __future__ import annotations

from dataclasses import asdict

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.plan import Plan
from tracescope.attach.record.offsets import Offsets

__all__ = ("RING_BYTES", "counts_text", "fill_text", "hand_over", "head_text", "parent_text")

RING_BYTES = 16 << 20
"""The ring: 50 ms of 4 million small events a second."""

_RECORD = """\
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
    u64 skipped;    /* wanted, but `control` lets only a share through */
};
"""
_EVENTS = {
    Transport.RING: f"\nBPF_RINGBUF_OUTPUT(events, {RING_BYTES} / PAGE_SIZE);\n",
    Transport.PERF: "\nBPF_PERF_OUTPUT(events);\n",
}
_COUNTS = """\
BPF_PERCPU_ARRAY(counts, struct count, %d);
BPF_ARRAY(control, u32, 1);     /* 0: not yet, or no more; ~0: every event; between: their share */
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

# A call of a helper for each of them takes twice as long. Before 5.17 a shorter name leaves the end of a longer one.
_FILL_TYPED = """
static inline u64 nul_in(u64 text)
{
    u64 nuls = (text - 0x0101010101010101ULL) & ~text & 0x8080808080808080ULL;

    return nuls & -nuls;
}

static inline void fill(struct record *record, u32 probe)
{
    u64 task = current_task(), nul, *comm = (u64 *)record->comm;

    record->time_ns = bpf_ktime_get_ns();
    record->cpu = bpf_get_smp_processor_id();
    record->probe = probe;
    record->pid = *(u32 *)(task + TASK_TGID);
    record->tid = *(u32 *)(task + TASK_PID);
    record->ppid = parent();
    record->flags = 0;
    comm[0] = *(u64 *)(task + TASK_COMM);
    comm[1] = *(u64 *)(task + TASK_COMM + 8);
    nul = nul_in(comm[0]);
    comm[1] &= nul ? 0 : nul_in(comm[1]) - 1;
    comm[0] &= nul - 1;
}
"""

_NO_PARENT = """
static inline u32 parent(void)
{
    return 0;
}
"""

_OFFSETS = """
/* Offsets in struct task_struct, from this kernel's BTF. */
#define TASK_REAL_PARENT %(real_parent)d
#define TASK_TGID %(tgid)d
#define TASK_PID %(pid)d
#define TASK_COMM %(comm)d
"""

_PARENT = """
static inline u32 parent(void)
{
    u64 task = 0;
    u32 tgid = 0;

    bpf_probe_read_kernel(&task, sizeof(task), (void *)(bpf_get_current_task() + TASK_REAL_PARENT));
    bpf_probe_read_kernel(&tgid, sizeof(tgid), (void *)(task + TASK_TGID));
    return tgid;
}
"""

_PARENT_TYPED = """
/* bpf_get_current_task_btf: a pointer with its type, to read through without a call. */
static u64 (*current_task)(void) = (void *)158;

static inline u32 parent(void)
{
    return *(u32 *)(*(u64 *)(current_task() + TASK_REAL_PARENT) + TASK_TGID);
}
"""

_POINTER = """
/* Makes two comparisons out of what the compiler would make one of that the verifier does not understand. */
#define FORGET(variable) asm volatile("" : "+r"(variable))

static inline u64 pointer_at(u64 at)
{
    u64 value = 0;

    bpf_probe_read_kernel(&value, sizeof(value), (void *)at);
    return value;
}
"""

_THINNED = """
/* True for an event that is left out so that the reader can keep up. */
static inline int thinned(struct count *count)
{
    int zero = 0;
    u32 *share = control.lookup(&zero);

    if (!share || *share == ~0U || bpf_get_prandom_u32() <= *share)
        return 0;
    count->skipped++;
    return 1;
}
"""


def hand_over(transport: Transport, record: str, size: str) -> str:
    """An expression that hands over `size` bytes of a record; not 0 when there is no room. It takes `ctx`."""
    if transport is Transport.RING:
        return f"events.ringbuf_output({record}, {size}, BPF_RB_NO_WAKEUP)"
    return f"events.perf_submit(ctx, {record}, {size})"


def head_text(plan: Plan) -> str:
    """Header, ring and counters of a session that hands over records."""
    return _RECORD + _EVENTS[plan.transport] + counts_text(len(plan.probes)) + _POINTER + _THINNED


def counts_text(probes: int) -> str:
    """The maps that every session has: `struct count` by probe, and the switch."""
    return _COUNTS % probes


def parent_text(offsets: Offsets | None) -> str:
    """The function `parent()`: the parent's process id, or 0 where nobody knows."""
    if offsets is None:
        return _NO_PARENT
    return _OFFSETS % asdict(offsets) + (_PARENT_TYPED if offsets.typed else _PARENT)


def fill_text(offsets: Offsets | None) -> str:
    """The functions that fill a record's header."""
    return parent_text(offsets) + (_FILL_TYPED if offsets and offsets.typed else _FILL)
