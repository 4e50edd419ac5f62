"""The summary as one line that a person reads first: which program, how often, how much CPU, whose fault."""

from __future__ import annotations

from tracescope.printable import printable
from tracescope.processes.summary import Loop, Summary
from tracescope.processes.view import Parent
from tracescope.processes.words import duration_words, share_words

__all__ = ("loop_words", "parent_words", "summary_line")

_NAMED_LOOPS = 2
# Below this a rate a minute says more than was seen.
_FEW_STARTS = 10


def summary_line(summary: Summary, room: int | None = None) -> str:
    """The loops by name, else how much there is; safe for a terminal. The second loop only if `room` characters do."""
    if summary.loops:
        words = [loop_words(loop, summary) for loop in summary.loops[:_NAMED_LOOPS]]
        if room is not None and len("; ".join(words)) > room:
            del words[1:]
        rest = len(summary.loops) - len(words)
        if rest > 0:
            words.append(f"{rest} more loop{'s' if rest > 1 else ''}")
        return "; ".join(words)
    words = [_starts(summary.recent_starts, summary.starts_per_minute, summary)]
    if summary.cpu_share:
        words.append(f"{share_words(summary.cpu_share)} of CPU in what has ended")
    return ", ".join([*words, "no loop"])


def loop_words(loop: Loop, summary: Summary) -> str:
    """One loop: "`/usr/bin/stress`, 4,312 starts a minute, 83 % of CPU, all spawned by `app` (pid 812), …"."""
    words = [f"`{printable(loop.program)}`", _starts(loop.starts, loop.starts_per_minute, summary)]
    if loop.cpu_share:
        words.append(f"{share_words(loop.cpu_share)} of CPU")
    words += [
        _origin(loop),
        f"median life {duration_words(loop.median_life_ns)}",
        f"{share_words(loop.share)} {loop.exit_words}",
    ]
    return f"{', '.join(words)}: {'restart loop' if loop.failing else 'started in a loop'}"


def parent_words(parent: Parent) -> str:
    """`app` (pid 812); without a known program `pid 812`."""
    return f"`{printable(parent.program)}` (pid {parent.pid})" if parent.program else f"pid {parent.pid}"


def _origin(loop: Loop) -> str:
    part = "all" if loop.parent_share == 1 else share_words(loop.parent_share)
    if loop.parent is None:
        return f"{part} in cgroup {loop.cgroup_id}"
    return f"{part} {'spawned by' if loop.direct else 'descended from'} {parent_words(loop.parent)}"


def _starts(count: int, per_minute: float, summary: Summary) -> str:
    if count < _FEW_STARTS or not summary.settled:
        return f"{count} start{'' if count == 1 else 's'} so far"
    return f"{per_minute:,.0f} starts a minute"
