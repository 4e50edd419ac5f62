"""The C text of a probe whose events are handed over one by one. Pure.

A record of one size is reserved in the ring and filled there; one that varies is put together in scratch space first.
"""

from __future__ import annotations

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.plan import Plan
from tracescope.attach.program.captures import capture_text
from tracescope.attach.program.cold import keep_text
from tracescope.attach.program.ends import (
    begin_text,
    comment,
    condition_text,
    definitions_text,
    done_text,
    end_variables,
    leave,
    unwanted,
)
from tracescope.attach.program.head import hand_over
from tracescope.attach.record.layout import HEADER, FieldLayout, PlannedProbe
from tracescope.attach.targets.target import Shape
from tracescope.attach.targets.words import copy_text

__all__ = ("probe_text", "scratch_text")

_SCRATCH = """
/* Records that vary in size are put together here, each program's in its own place: one may interrupt another. */
struct scratch {
    char bytes[%d];
};
BPF_PERCPU_ARRAY(scratch, struct scratch, %d);
#define SCRATCH_OF_EXEC %d
"""

_PROBE = """
/* %(name)s */
int %(function)s(u64 *ctx)
{
    struct { struct record head; u64 raw[%(words)d]; %(room)s} *record;
    u32 probe = %(which)s;
    struct count *count = counts.lookup(&probe);
%(variables)s
    if (!count || %(unwanted)s)
        return 0;
%(condition)s\
    if (thinned(count))
        %(out)s;
%(take)s\
    fill(&record->head, probe);
%(copy)s
%(captures)s\
%(keep)s%(give)s%(done)s\
    return 0;
}
"""

_RESERVE = """\
    record = events.ringbuf_reserve(sizeof(*record));
    if (!record) {
        count->lost++;
        %s;
    }
"""
_SUBMIT = """\
    events.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    count->events++;
"""
_TAKE_SCRATCH = """\
    record = (void *)scratch.lookup(&%s);
    if (!record)
        %s;
"""
_OUTPUT = """\
    if (%s)
        count->lost++;
    else
        count->events++;
"""

_APPEND = """\
    where = *(u32 *)((char *)ctx + %(offset)d);
    size = where >> 16;
    if (size > %(cap)d)
        size = %(cap)d;
    if (bpf_probe_read_kernel(&record->text[used], size, (char *)ctx + %(base)d + (where & 0xffff)))
        record->head.flags |= %(bit)dU;
    used += size;
"""


def scratch_text(plan: Plan, exec_bytes: int) -> str:
    """The scratch space for the largest record that is not made in the ring itself."""
    sizes = [_size(plan, probe) + probe.text_size for probe in plan.probes if _in_scratch(plan, probe)]
    sizes += [exec_bytes for probe in plan.probes if probe.shape is Shape.EXEC]
    return _SCRATCH % (max(sizes), len(plan.probes) + 1, len(plan.probes)) if sizes else ""


def _in_scratch(plan: Plan, probe: PlannedProbe) -> bool:
    """True for a record that is put together first; only the ring buffer has room to be filled in place."""
    return probe.dynamic_parts > 0 or plan.transport is not Transport.RING


def _size(plan: Plan, probe: PlannedProbe) -> int:
    return probe.fixed_size if plan.record_size is None else plan.record_size


def probe_text(plan: Plan, probe: PlannedProbe) -> str:
    """The program of one probe, and of its entry when both ends are one event."""
    size, used, scratch = _size(plan, probe), probe.dynamic_parts > 0, _in_scratch(plan, probe)
    length = f"{probe.fixed_size} + used" if used else "sizeof(*record)"
    values = {
        "name": comment((probe.end or probe.target).format),
        "function": probe.function,
        "which": "bpf_get_attach_cookie(ctx)" if probe.shared else probe.index,
        "words": (size - HEADER.size) // 8,
        "room": f"char text[{probe.text_size}]; " if used else "",
        "unwanted": unwanted(probe),
        "variables": _variables(probe),
        "condition": condition_text(probe),
        "out": leave(probe),
        "take": _TAKE_SCRATCH % ("probe", leave(probe)) if scratch else _RESERVE % leave(probe),
        "copy": _copied(probe),
        "captures": "".join(capture_text(probe, number) for number in range(len(probe.captures))),
        "keep": keep_text(probe),
        "give": _OUTPUT % hand_over(plan.transport, "record", length) if scratch else _SUBMIT,
        "done": done_text(probe),
    }
    return definitions_text(probe) + begin_text(probe) + _PROBE % values


def _variables(probe: PlannedProbe) -> str:
    lines = []
    if probe.dynamic_parts:
        lines.append("    u64 used = 0;\n")
    if probe.dynamic:
        lines.append("    u32 size, where;\n")
    return "".join(lines) + end_variables(probe)


def _copied(probe: PlannedProbe) -> str:
    if not probe.end:
        copy = copy_text(probe.target, probe.raw)
        parts = [_append(probe, bit, layout) for bit, layout in enumerate(probe.dynamic)]
        return "\n".join((copy, *parts)).rstrip("\n")
    lines = [f"    record->raw[{word}] = begun->raw[{word}];" for word in range(probe.words)]
    lines += [f"    record->raw[{probe.words}] = ret;", f"    record->raw[{probe.words + 1}] = duration;"]
    return "\n".join(lines)


def _append(probe: PlannedProbe, bit: int, layout: FieldLayout) -> str:
    field = layout.field
    base = field.offset + field.size if field.location == "__rel_loc" else 0
    return _APPEND % {"offset": field.offset, "cap": probe.cap, "base": base, "bit": 1 << min(bit, 31)}
