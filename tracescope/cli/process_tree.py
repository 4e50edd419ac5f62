"""Processes as a tree of lines: who started whom, what it ran, how it ended. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracescope.processes import Process, ProcessTable, argv_words, duration_words

__all__ = ("tree_lines",)


def tree_lines(table: ProcessTable) -> Iterator[str]:
    """The processes that did something, each under the one that forked it. Not safe for a terminal."""
    children = table.children()
    shown = _shown(table)
    # Processes can be of any depth: a list instead of recursion. It gives back what was put in last.
    waiting = [(shown[serial], "", "") for serial in reversed(shown) if shown[serial].parent not in shown]
    while waiting:
        process, first, rest = waiting.pop()
        yield first + _line(process)
        below = [child for child in reversed(children.get(process.serial, [])) if child.serial in shown]
        for child in below:
            last = child is below[0]
            waiting.append((child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))


def _shown(table: ProcessTable) -> dict[int, Process]:
    """Those that an event was seen of, and the parents of the uppermost of them."""
    shown = {process.serial: process for process in table if process.forked or process.runs or process.end}
    parents = [table.process(process.parent) for process in shown.values() if process.parent not in shown]
    return {parent.serial: parent for parent in parents if parent and parent.pid != os.getpid()} | shown


def _line(process: Process) -> str:
    words = [f"{process.pid} {_command(process)}"]
    if not process.alive:
        words.append(process.exit_words)
        if process.life_ns is not None:
            words.append(duration_words(process.life_ns))
        words.append(f"cpu {duration_words(process.cpu_ns)}")
    return ", ".join(words)


def _command(process: Process) -> str:
    if process.runs:
        return argv_words(process.runs[-1])
    name = process.program or process.comm or "?"
    return f"({name}, not traced from its start)" if process.there_before else f"({name})"
