"""The tree of the Processes screen: who started whom. Dead children that are all alike are folded into one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracescope.printable import printable
from tracescope.processes import Process, ProcessTable, argv_words, duration_words
from tracescope.ui.look import fit
from tracescope.ui.process_filter import NO_FILTER, ProcessFilter
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("ProcessTree", "TreeRow", "tree_rows")

_ALIKE = 3
"""So many dead children of one program are shown, the latest ones."""
_LIFE = 8
_END = 14


class TreeRow(NamedTuple):
    """A process, or with `folded` the latest of so many dead ones that are not shown."""

    lines: str
    """What is drawn before it."""
    process: Process
    folded: int = 0


def tree_rows(table: ProcessTable, wanted: ProcessFilter = NO_FILTER) -> list[TreeRow]:
    """The processes that did something and are wanted, under their ancestors; oldest first."""
    shown = {
        process.serial: process
        for process in table
        if (process.forked or process.runs or process.end) and wanted.takes_process(process, table)
    }
    for process in list(shown.values()):
        shown.update((one.serial, one) for one in table.ancestors(process))
    children: dict[int | None, list[Process]] = {}
    for serial in sorted(shown):
        parent = shown[serial].parent
        children.setdefault(parent if parent in shown else None, []).append(shown[serial])
    rows: list[TreeRow] = []
    # Processes can be of any depth: a list instead of recursion. It gives back what was put in last.
    waiting = [(TreeRow("", *one), "") for one in reversed(_folded(children, None))]
    while waiting:
        row, rest = waiting.pop()
        rows.append(row)
        if not row.folded:
            below = _folded(children, row.process.serial)
            for child in reversed(below):
                turn, line = ("└─ ", "   ") if child is below[-1] else ("├─ ", "│  ")
                waiting.append((TreeRow(rest + turn, *child), rest + line))
    return rows


def _folded(children: dict[int | None, list[Process]], serial: int | None) -> list[tuple[Process, int]]:
    """The children of a process; those that are dead, childless and of one program only by the latest and a number."""
    alike: dict[str, list[Process]] = {}
    for child in children.get(serial, ()):
        if not child.alive and child.serial not in children:
            alike.setdefault(child.program, []).append(child)
    hidden = {child.serial: 0 for group in alike.values() for child in group[:-_ALIKE]}
    # The last one that is hidden stands for all of them; a single one can as well be shown.
    for group in alike.values():
        if len(group) > _ALIKE:
            hidden[group[-_ALIKE - 1].serial] = len(group) - _ALIKE
    found = []
    for child in children.get(serial, ()):
        count = hidden.get(child.serial, 1)
        if count:
            found.append((child, count if count > 1 else 0))
    return found


class ProcessTree(RowList):
    """Columns: the tree with pid and command, how it ended, how long it lived."""

    empty_text = "no process has done anything yet"

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[TreeRow] = ()
        self._held: int | None = None
        self._now_ns = 0
        self._short_lived_ns = 0

    @property
    def row_count(self) -> int:
        """Processes and folded rows."""
        return len(self._rows)

    @property
    def selected(self) -> Process | None:
        """The process under the cursor."""
        return self._rows[self.cursor].process if self._rows else None

    def show_tree(self, table: ProcessTable, wanted: ProcessFilter, now_ns: int) -> None:
        """Take what the table has; the cursor stays on its process."""
        self._rows = tree_rows(table, wanted)
        self._now_ns, self._short_lived_ns = now_ns, table.short_lived_ns
        places = (at for at, row in enumerate(self._rows) if row.process.serial == self._held)
        self.reset_rows(next(places, self.cursor))

    def watch_cursor(self, before: int, after: int) -> None:
        """Remember the process that the user chose."""
        self._held = self._rows[after].process.serial if self._rows else None
        super().watch_cursor(before, after)

    def header_parts(self, width: int) -> Iterator[Part]:
        """The titles."""
        life, end = _widths(width)
        yield fit("pid and command", width - life - end), ""
        yield (fit("end", end - 1) + " " if end else "") + fit("life", life, right=True), ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One process."""
        lines, process, folded = self._rows[index]
        life_width, end_width = _widths(width)
        room = width - life_width - end_width
        lines = fit(lines, min(len(lines), room // 2))
        text, style = (f"… {folded:,} more of {process.program}", "rows--dim") if folded else _words(process)
        yield lines, "rows--dim"
        yield fit(printable(text), room - len(lines) - 1) + " ", style
        if folded:
            return
        life = process.age_ns(self._now_ns)
        if end_width:
            good = process.alive or process.exit_words == "exit 0"
            style = "rows--good" if process.alive else "" if good else "rows--bad"
            yield fit(process.exit_words, end_width - 1) + " ", style
        short = not process.alive and life is not None and life < self._short_lived_ns
        text = "" if life is None else duration_words(life)
        yield fit(text, life_width, right=True), "rows--unstable" if short else ""


def _widths(width: int) -> tuple[int, int]:
    """The widths of life and end."""
    return (_LIFE, _END) if width >= 60 else (_LIFE, 0)


def _words(process: Process) -> tuple[str, str]:
    if process.runs:
        return f"{process.pid} {argv_words(process.runs[-1]) or process.program}", ""
    name = process.program or process.comm or "?"
    if process.there_before:
        return f"{process.pid} {name}  (there before)", "rows--dim"
    return f"{process.pid} ({name}, no exec)", ""
