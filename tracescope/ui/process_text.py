"""Everything known of one process or one program, as text with styles. All of it goes through `printable`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from textual.content import Content

from tracescope.printable import printable
from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    Loop,
    Process,
    ProcessTable,
    ProgramSummary,
    Summary,
    argv_words,
    duration_words,
    exit_words,
    loop_words,
    parent_words,
    program_of,
    rfc3339,
    share_words,
)
from tracescope.ui.look import amount
from tracescope.ui.process_feed import Outcome

__all__ = ("latest_runs", "outcome_text", "process_text", "program_text")

_LATEST = 20
_BAD = "$text-error"


def program_text(row: ProgramSummary, summary: Summary, table: ProcessTable) -> Content:
    """A program: its loops, numbers, ends, parents, and its latest processes."""
    blocks = [[Content.styled(loop_words(loop, summary), _BAD)] for loop in _loops(row, summary)]
    blocks.append(list(_numbers(row)))
    if row.exits:
        blocks.append([_title("how they ended"), *(Content(f"{count:>9,}  {words}") for words, count in row.exits)])
    if row.parents:
        lines = (
            Content(f"{starts:>9,}  {'(unknown)' if parent is None else parent_words(parent)}")
            for parent, starts in row.parents[:_LATEST]
        )
        blocks.append([_title("started by"), *lines])
    runs = latest_runs(row.program, table)
    if runs:
        lines = (Content(f"{process.pid:>9}  {printable(argv_words(run))}") for process, run in runs)
        blocks.append([_title("latest"), *lines])
    return _joined(blocks)


def latest_runs(program: str, table: ProcessTable) -> list[tuple[Process, ExecEvent]]:
    """The latest processes that ran a program, newest first, each with the exec."""
    found = [(process, run) for process in table for run in process.runs if program_of(run) == program]
    return sorted(found, key=lambda pair: -pair[1].time_ns)[:_LATEST]


def outcome_text(outcome: Outcome, table: ProcessTable) -> Content:
    """An outcome: for a failed exec what was tried, then its process."""
    process = outcome.process
    if outcome.walk is None and process is not None:
        return process_text(process, table)
    lines = list(_event(outcome.event)) if isinstance(outcome.event, (ExecEvent, ExecFailed)) else []
    if outcome.walk is not None:
        lines.insert(0, _fact("outcome", outcome.walk.words(), "" if outcome.walk.found else _BAD))
        lines += [_fact("tried", place) for place in outcome.walk.places]
    rest = process_text(process, table) if process is not None else Content("")
    return _joined([[_title("the failed exec"), *lines], [rest]])


def process_text(process: Process, table: ProcessTable) -> Content:
    """A process: who it is, what it ran, how it ended, who started it."""
    blocks = [list(_identity(process))]
    blocks += [[_title("ran"), *_event(run)] for run in reversed(process.runs)]
    blocks.append([_title("started by"), *_ancestry(process, table)])
    return _joined(blocks)


def _identity(process: Process) -> Iterator[Content]:
    yield _fact("pid", f"{process.pid}" + (f" (in its namespace {process.ns_pid})" if process.ns_pid else ""))
    if process.there_before:
        yield _fact("seen since", "it was there before the monitor; what it did until then is not known")
    yield _fact("program", process.program or process.comm or "(unknown)")
    for name, value in (("comm", process.comm), ("uid", process.uid), ("cgroup id", process.cgroup_id)):
        if value is not None:
            yield _fact(name, str(value))
    if process.adopted_by:
        yield _fact("adopted by", f"pid {process.adopted_by}")
    good = process.alive or process.exit_words == "exit 0"
    yield _fact("state", process.exit_words, "" if good else _BAD)
    end = process.end
    if end is None:
        return
    for name, ns in (("life", process.life_ns), ("since fork", end.age_ns), ("CPU", end.cpu_ns)):
        if ns is not None:
            yield _fact(name, duration_words(ns))
    if end.user_ns is not None and end.system_ns is not None:
        yield _fact("user, system", f"{duration_words(end.user_ns)}, {duration_words(end.system_ns)}")
    if end.max_rss is not None:
        yield _fact("most memory", f"{end.max_rss / (1 << 20):,.1f} MiB")


def _event(event: ExecEvent | ExecFailed) -> Iterator[Content]:
    yield _fact("time", rfc3339(event.time_ns))
    yield _fact("requested", _readable(None if event.filename_error else event.filename))
    if isinstance(event, ExecEvent):
        if event.interpreter:
            yield _fact("interpreter", event.interpreter)
        if event.exe and event.exe != event.filename:
            yield _fact("file", event.exe)
        if event.comm_before is not None and event.comm_before != event.comm:
            yield _fact("comm", f"{event.comm_before} → {event.comm}")
    if event.duration_ns is not None:
        yield _fact("call took", duration_words(event.duration_ns))
    if event.argv is None:
        yield _fact("argv", _readable(None))
        return
    cut = f", cut: {event.argv_size or 0:,} bytes in all" if event.argv_truncated else ""
    yield _fact("argv", amount(len(event.argv), "argument") + cut)
    for index, word in enumerate(event.argv):
        yield _fact(f"[{index}]", _readable(word), "dim")


def _ancestry(process: Process, table: ProcessTable) -> Iterator[Content]:
    ancestors = table.ancestors(process)
    if not ancestors:
        yield Content.styled("  (not known)", "dim")
    for depth, one in enumerate(ancestors):
        before = "  (there before)" if one.there_before else "" if one.alive else f"  ({exit_words(one.end)})"
        words = argv_words(one.runs[-1]) if one.runs else one.program or one.comm or "?"
        own = "  (this monitor)" if one.pid == os.getpid() and one.there_before else ""
        yield Content.assemble(f"{'  ' * min(depth, 20)}  {one.pid} {printable(words)}", (before + own, "dim"))


def _loops(row: ProgramSummary, summary: Summary) -> Iterator[Loop]:
    return (loop for loop in summary.loops if loop.program == row.program)


def _numbers(row: ProgramSummary) -> Iterator[Content]:
    yield _fact("starts", f"{row.starts:,} ({row.starts_per_minute:,.0f} a minute of late)")
    if row.forks:
        yield _fact("without exec", f"{row.forks:,}")
    yield _fact("failed", f"{row.failures:,}", _BAD if row.failures else "")
    yield _fact("alive, ended", f"{row.alive:,}, {row.ended:,} ({row.short_lived:,} short-lived)")
    share = f"{share_words(row.seen_share)} of what all programs here used of late"
    machine = "" if row.cpu_share is None else f"{share_words(row.cpu_share)} of the machine, "
    yield _fact("CPU", f"{duration_words(row.cpu_ns)} in all; {machine}{share}")
    if row.median_life_ns is not None and row.p95_life_ns is not None:
        median, most = duration_words(row.median_life_ns), duration_words(row.p95_life_ns)
        yield _fact("life", f"median {median}, 95 % under {most}")


def _readable(word: str | None) -> str:
    return "(could not be read)" if word is None else word


def _title(text: str) -> Content:
    return Content.styled(text, "dim underline")


def _fact(name: str, value: str, style: str = "") -> Content:
    return Content.assemble((f"{name:>14}  ", "$text-primary"), (printable(value), style))


def _joined(blocks: list[list[Content]]) -> Content:
    return Content("\n\n").join(Content("\n").join(block) for block in blocks if block)
