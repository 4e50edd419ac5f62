"""The C text of system calls of which something is not in memory when they begin: read again when they return. Pure.

At entry a page that nobody has touched cannot be read by BPF; the kernel brings it in while it serves the call. The
record waits meanwhile, under its thread, and is handed over at the return, once and with the time of the entry. What
could be read at entry stays as it was then. Where there is no room to wait, it is handed over at once.
"""

from __future__ import annotations

from tracescope.attach.plan import Plan
from tracescope.attach.program.captures import capture_text, slot
from tracescope.attach.program.ends import comment
from tracescope.attach.program.head import hand_over
from tracescope.attach.record.layout import HEADER, PlannedProbe

__all__ = ("cold_text", "keep_text", "returned_text")

_EFAULT = -14
_MAP_BYTES = 1 << 20
_FEWEST, _MOST = 64, 1024

_COLD = """
/* Records of calls of which something was not in memory at entry, by thread. */
struct cold {
    char bytes[%d];
};
BPF_HASH(cold, u64, struct cold, %d);
/* How many there are at most: nearly always none, and every return of every call asks. */
BPF_ARRAY(cold_count, u64, 1);
/* Those that have waited for long are handed over by TraceScope itself: twice the record's time, and 1 when it was. */
BPF_HASH(taken, u64, u64, %d);

/* What waits for this thread's call to return; nearly always 0. */
static inline void *cold_record(void)
{
    int zero = 0;
    u64 caller, *waiters = cold_count.lookup(&zero);

    if (!waiters || !*waiters)
        return 0;
    caller = bpf_get_current_pid_tgid();
    return cold.lookup(&caller);
}

static inline void cold_over(void)
{
    int zero = 0;
    u64 caller = bpf_get_current_pid_tgid(), *waiters = cold_count.lookup(&zero);

    cold.delete(&caller);
    if (waiters)
        __sync_fetch_and_add(waiters, -1);
}
"""

_KEEP = """\
    if (%s) {
        u64 caller = bpf_get_current_pid_tgid(), *waiters;
        int zero = 0;

        waiters = cold_count.lookup(&zero);
        if (waiters) {
            __sync_fetch_and_add(waiters, 1);
            if (!cold.insert(&caller, (struct cold *)record))
                return 0;
            __sync_fetch_and_add(waiters, -1);
        }
    }
"""

_RETURNED = """
BPF_PROG_ARRAY(returns, %d);

/* On the return of every call: goes on into the program of the call that waited. */
int raw_returned(u64 *ctx)
{
    struct record *found = cold_record();

    if (found)
        returns.call(ctx, found->probe);
    return 0;
}
"""
_RETURN = """
/* %(name)s has returned */
int %(function)s(u64 *ctx)
{
    struct { struct record head; u64 raw[%(words)d]; char text[%(room)d]; } *found = cold_record(), *record;
    u64 caller = bpf_get_current_pid_tgid(), used = 0, from = 0, *mark;
    u32 probe = %(index)d;
    struct count *count;

    if (!found || found->head.probe != probe)
        return 0;
    mark = taken.lookup(&caller);
    if (mark && *mark >> 1 == found->head.time_ns) {
        if (*mark & 1)
            cold_over();
        return 0;
    }
    count = counts.lookup(&probe);
    record = (void *)scratch.lookup(&probe);
    if (!count || !record)
        return 0;
    record->head = found->head;
%(copy)s    {
        /* The arguments are where they were at entry. */
        u64 *ctx = (u64 *)((char *)found + %(context)d);

%(captures)s    }
    if (%(output)s)
        count->lost++;
    else
        count->events++;
    cold_over();
    return 0;
}
"""
_AGAIN = """\
    if ((s64)found->raw[%d] == %d)
%s    else
"""
_AS_IT_WAS = """\
    {
        long length = found->raw[%(slot)d];

        if (length > 0) {
            FORGET(length);
            if (length > %(size)d)
                length = %(size)d;
            bpf_probe_read_kernel(&record->text[used], length, &found->text[from]);
            used += length;
            from += length;
        }
    }
"""


def cold_text(plan: Plan) -> str:
    """The map where records wait; nothing where none ever does."""
    size = plan.waiting_bytes
    entries = min(_MOST, max(_FEWEST, _MAP_BYTES // size)) if size else 0
    return _COLD % (size, entries, entries) if size else ""


def keep_text(probe: PlannedProbe) -> str:
    """Statements that let the record wait, and leave, when something could not be read that later can."""
    if not probe.waits:
        return ""
    unread = (f"(s64)record->raw[{slot(probe, number)}] == {_EFAULT}" for number in _numbers(probe))
    return _KEEP % " || ".join(unread)


def returned_text(plan: Plan) -> str:
    """The programs where calls return; nothing where no record ever waits.

    Where one is at the return of all calls, whoever loads the text puts that of each probe that waits into the map
    `returns`, at its index.
    """
    texts = [_return(plan, probe) for probe in plan.probes if probe.waits]
    if texts and not plan.returns:
        texts.append(_RETURNED % len(plan.probes))
    return "".join(texts)


def _return(plan: Plan, probe: PlannedProbe) -> str:
    words = probe.words + len(probe.captures)
    values = {
        "name": comment(probe.format),
        "function": plan.again(probe),
        "index": probe.index,
        "words": words,
        "room": probe.text_size,
        "copy": "".join(f"    record->raw[{word}] = found->raw[{word}];\n" for word in range(words)),
        "context": HEADER.size - 8,
        "captures": "".join(_capture(probe, number) for number in range(len(probe.captures))),
        "output": hand_over(plan.transport, "record", f"{probe.fixed_size} + used"),
    }
    return _RETURN % values


def _capture(probe: PlannedProbe, number: int) -> str:
    capture = probe.captures[number]
    if not capture.dynamic:
        return ""
    text = _AS_IT_WAS % {"slot": slot(probe, number), "size": capture.size}
    if not capture.again:
        return text
    return _AGAIN % (slot(probe, number), _EFAULT, capture_text(probe, number)) + text


def _numbers(probe: PlannedProbe) -> list[int]:
    return [number for number, capture in enumerate(probe.captures) if capture.again]
