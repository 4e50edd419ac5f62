"""The C text that every probe's program has: whose events are wanted, entry and return, the condition. Pure.

Where entry and return are one event the words of the entry wait in a map, by thread, until the return.
"""

from __future__ import annotations

import re
from textwrap import dedent, indent

from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.targets.words import KEPT, copy_text, result_value
from tracescope.model import EventFormat

__all__ = (
    "begin_text",
    "comment",
    "condition_text",
    "definitions_text",
    "done_text",
    "end_variables",
    "leave",
    "unwanted",
)

_BEGIN = """
/* %(name)s: the words wait for the end */
struct begun_%(index)d {
    u64 time_ns;
    u64 raw[%(words)d];
};
BPF_TABLE("lru_hash", u64, struct begun_%(index)d, begun_%(index)d, 16384);

int %(function)s(u64 *ctx)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct begun_%(index)d now = {}, *begun = &now;

    if (!wanted())
        return 0;
%(copy)s
    begun->time_ns = bpf_ktime_get_ns();
    begun_%(index)d.update(&thread, begun);
    return 0;
}
"""

_END = """\
    u64 thread = bpf_get_current_pid_tgid();
    struct begun_%(index)d *begun = begun_%(index)d.lookup(&thread);
    s64 ret = %(ret)s;
    u64 duration = begun ? bpf_ktime_get_ns() - begun->time_ns : 0;
"""


def begin_text(probe: PlannedProbe) -> str:
    """The program at the entry, where both ends are one event; else nothing."""
    if not probe.end:
        return ""
    copy = copy_text(probe.target, probe.raw, KEPT)
    values = {"name": comment(probe.format), "index": probe.index, "words": max(1, probe.words)}
    return _BEGIN % {**values, "function": probe.begin, "copy": copy}


def end_variables(probe: PlannedProbe) -> str:
    """The variables `begun` (what waited, or NULL), `ret` and `duration`, where both ends are one event."""
    return _END % {"index": probe.index, "ret": result_value(probe.end)} if probe.end else ""


def unwanted(probe: PlannedProbe) -> str:
    """An expression that is true for an event that nobody asked for."""
    return "!begun" if probe.end else "!wanted()"


def leave(probe: PlannedProbe) -> str:
    """Leave without an event: what waited is not wanted any more."""
    return f"return begun_{probe.index}.delete(&thread), 0" if probe.end else "return 0"


def done_text(probe: PlannedProbe) -> str:
    """What waited has had its end."""
    return f"    begun_{probe.index}.delete(&thread);\n" if probe.end else ""


def condition_text(probe: PlannedProbe) -> str:
    """Statements that leave when the condition is not met."""
    code = probe.condition
    if code is None:
        return ""
    return (
        f"{indent(dedent(code.statements), '    ')}    if ({code.failed} || !({code.value}))\n        {leave(probe)};\n"
    )


def definitions_text(probe: PlannedProbe) -> str:
    """The functions that the condition and the captures of a probe call."""
    codes = [probe.condition, *(capture.code for capture in probe.captures)]
    return "".join(code.definitions for code in codes if code is not None)


def comment(format_: EventFormat) -> str:
    """The event's name for a comment: letters, digits and `_`, with `?` for all else."""
    return re.sub(r"\W", "?", f"{format_.group} {format_.name}", flags=re.ASCII).replace("?", ":", 1)
