"""The C text of a probe whose events are counted in the kernel: a table by key and bucket. Pure.

Counting is exact: an element is added only where there is none, and CPUs count apart, by instructions that nothing can
interrupt. Only the smallest and the largest value may be missed, where a program on user code is interrupted by itself.
"""

from __future__ import annotations

from textwrap import dedent, indent

from tracescope.attach.ask.summary import VALUE_UNREAD, Key, KeyKind, Linear, Measure, SummaryPlan
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
from tracescope.attach.record.layout import Code, PlannedProbe

__all__ = ("summary_probe_text", "table_text")

_COUNT = """\
/* Made by TraceScope, for BCC. One program a probe; events are counted by key. */

struct count {
    u64 events;     /* counted */
    u64 lost;       /* the table was full */
    u64 skipped;
};

struct key {
    u32 probe;
    u32 unread;     /* bit n: part n could not be read; bit 31: the value */
%(parts)s};

struct total {
    u64 count;
%(sums)s};

BPF_TABLE("percpu_hash", struct key, struct total, totals, %(entries)d);
"""
_SUMS = """\
    %(type)s sum;
    %(type)s low;
    %(type)s high;
"""

_PROBE = """
/* %(name)s */
int %(function)s(u64 *ctx)
{
    u32 probe = %(index)d;
    struct count *count = counts.lookup(&probe);
    struct key key = {};
    struct total none = {}, *total;
%(variables)s
    if (!count || %(unwanted)s)
        return 0;
%(condition)s\
    key.probe = probe;
%(parts)s\
    total = totals.lookup_or_try_init(&key, &none);
    if (!total) {
        __sync_fetch_and_add(&count->lost, 1);
        %(out)s;
    }
%(add)s\
    __sync_fetch_and_add(&total->count, 1);
    __sync_fetch_and_add(&count->events, 1);
%(done)s\
    return 0;
}
"""

_NUMBER = """\
    {
%(statements)s        u64 number = %(value)s;

        if (%(failed)s)
            key.unread |= %(bit)dU;
        else
            key.part_%(number)d = number;
    }
"""
_TEXT = """\
    {
%(statements)s        u64 address = %(value)s;

        if (%(failed)s || bpf_probe_read_%(space)s_str(key.part_%(number)d, %(size)d, (void *)address) < 0)
            key.unread |= %(bit)dU;
    }
"""
_COMM = """\
    bpf_get_current_comm(key.part_%(number)d, sizeof(key.part_%(number)d));
"""
_KERNEL_STACK = """\
    key.part_%(number)d = stack_number(ctx, probe, 0);
"""
_USER_STACK = """\
    key.part_%(number)d[0] = stack_number(ctx, probe, BPF_F_USER_STACK);
    key.part_%(number)d[1] = bpf_get_current_pid_tgid() >> 32;
"""
_TEMPLATES = {
    KeyKind.NUMBER: _NUMBER,
    KeyKind.TEXT: _TEXT,
    KeyKind.COMM: _COMM,
    KeyKind.KERNEL_STACK: _KERNEL_STACK,
    KeyKind.USER_STACK: _USER_STACK,
}

_VALUE = """\
    {
%(statements)s        if (%(failed)s)
            key.unread |= %(bit)dU;
        else
            measured = %(value)s;
    }
"""
_ADD = """\
    if (!total->count || measured < total->low)
        total->low = measured;
    if (!total->count || measured > total->high)
        total->high = measured;
    __sync_fetch_and_add(&total->sum, measured);
"""

_POW2 = """
/* 1 for 0, 2 for 1, 3 for 2 and 3, and so on. */
static inline u64 power(u64 value)
{
    u64 bits = 2, more;

    if (!value)
        return 1;
%s    return bits;
}
"""
_STEP = """\
    more = (value >= 1ULL << %(half)d) * %(half)d;
    value >>= more;
    bits += more;
"""


def table_text(plan: SummaryPlan) -> str:
    """The table and its key, and what finds a value's bucket."""
    parts = [f"    {_PARTS[slot.kind] % {'number': at, 'size': slot.size}}\n" for at, slot in enumerate(plan.slots)]
    parts.append("    s64 bucket;\n" if plan.scale else "")
    sums = _SUMS % {"type": _type(plan)} if plan.valued else ""
    text = _COUNT % {"parts": "".join(parts), "sums": sums, "entries": plan.entries}
    if plan.scale is None or isinstance(plan.scale, Linear):
        return text
    return text + _POW2 % "".join(_STEP % {"half": half} for half in (32, 16, 8, 4, 2, 1))


_PARTS = {
    KeyKind.NUMBER: "u64 part_%(number)d;",
    KeyKind.TEXT: "char part_%(number)d[%(size)d];",
    KeyKind.COMM: "char part_%(number)d[%(size)d];",
    KeyKind.KERNEL_STACK: "u64 part_%(number)d;",
    KeyKind.USER_STACK: "u64 part_%(number)d[2];",
}


def summary_probe_text(plan: SummaryPlan, probe: PlannedProbe) -> str:
    """The program of one probe, and of its entry when both ends are one event."""
    reading = plan.readings[probe.index]
    parts = "".join(_part(number, key) for number, key in enumerate(reading.keys))
    variables = end_variables(probe)
    if reading.value:
        parts += _value(plan, reading.value)
        variables += f"    {_type(plan)} measured = 0;\n"
    codes = [*(key.code for key in reading.keys), reading.value.code if reading.value else None]
    values = {
        "name": comment((probe.end or probe.target).format),
        "function": probe.function,
        "index": probe.index,
        "variables": variables,
        "unwanted": unwanted(probe),
        "condition": condition_text(probe),
        "parts": parts,
        "out": leave(probe),
        "add": _ADD if reading.value else "",
        "done": done_text(probe),
    }
    definitions = "".join(code.definitions for code in codes if code)
    return definitions_text(probe) + definitions + begin_text(probe) + _PROBE % values


def _part(number: int, key: Key) -> str:
    values: dict[str, object] = {"number": number, "bit": 1 << number}
    if key.code:
        values |= _code(key.code) | {"size": key.size, "space": "user" if key.user else "kernel"}
    return _TEMPLATES[key.kind] % values


def _code(code: Code) -> dict[str, object]:
    return {"statements": indent(dedent(code.statements), "        "), "value": code.value, "failed": code.failed}


def _type(plan: SummaryPlan) -> str:
    return "s64" if plan.signed else "u64"


def _value(plan: SummaryPlan, value: Measure) -> str:
    text = _VALUE % {**_code(value.code), "bit": 1 << VALUE_UNREAD}
    if plan.scale is None:
        return text
    bucket = _linear(plan.scale, signed=plan.signed) if isinstance(plan.scale, Linear) else _power(signed=plan.signed)
    return f"{text}    if (!(key.unread & {1 << VALUE_UNREAD}U))\n        key.bucket = {bucket};\n"


def _power(*, signed: bool) -> str:
    return "measured < 0 ? 0 : power(measured)" if signed else "power(measured)"


def _linear(scale: Linear, *, signed: bool) -> str:
    """An expression for the bucket; unsigned values are compared with bounds that are not negative."""
    low, high = (scale.low, scale.high) if signed else (max(scale.low, 0), max(scale.high, 0))
    type_ = "s64" if signed else "u64"
    below = f"measured < ({type_}){_word(low)} ? 0 : " if signed or low else ""
    inside = f"1 + ((u64)measured - {_word(scale.low)}) / {_word(scale.step)}"
    return f"{below}measured >= ({type_}){_word(high)} ? {scale.buckets + 1} : {inside}"


def _word(number: int) -> str:
    """A number modulo 2**64."""
    return f"{number % (1 << 64)}ULL"
