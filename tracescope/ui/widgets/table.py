"""The probe table: one row a probe of a catalog's view, made only when it is drawn."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from tracescope.model import Answer
from tracescope.printable import printable
from tracescope.ui.attachable import attachable_as
from tracescope.ui.look import KIND_CLASS, fit, with_hits
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.catalog.query import Query
    from tracescope.catalog.store import Row
    from tracescope.catalog.view import View

__all__ = ("ProbeTable",)

_KIND, _WHERE, _TYPE, _ANSWER = 14, 16, 5, 7
_ANSWER_CLASS = {Answer.YES: "rows--good", Answer.NO: "rows--bad", Answer.UNKNOWN: "rows--unstable"}


class ProbeTable(RowList):
    """Columns: attached mark, kind, name, group or module, type letter, verdict; fewer when it is narrow."""

    def __init__(self) -> None:
        super().__init__()
        self.view: View | None = None
        self.attached: frozenset[str] = frozenset()
        self.marked: dict[str, None] = {}
        """The full names of the probes to attach together, in the order in which they were marked."""
        self._held: Hashable = None
        self._hits: re.Pattern[str] | None = None

    @property
    def row_count(self) -> int:
        """The rows of the view."""
        return 0 if self.view is None else len(self.view)

    @property
    def selected(self) -> Row | None:
        """The row under the cursor."""
        return self.view.row(self.cursor) if self.view is not None and self.row_count else None

    def show_view(self, view: View) -> None:
        """Take another view; the cursor stays on its probe when the view has it."""
        self.view = view
        self._hits = _hit_pattern(view.query)
        self.empty_text = (
            "nothing matches (n attaches by full name what no list holds: uprobes, timers)" if view.query.terms else ""
        )
        held = view.index(self._held) if self._held is not None else None
        self.reset_rows(held or 0)
        if held is None:
            self.scroll_rows(0)
            self._held = None
        self.post_message(self.Moved(self, self.cursor))

    def show_attached(self, probes: frozenset[str]) -> None:
        """Mark the probes that are attached now."""
        if probes != self.attached:
            self.attached = probes
            self.refresh()

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or unmark it, and move on."""
        row = self.selected
        if row is not None and self.view is not None:
            self._toggle(attachable_as(self.view.catalog, row))
            self.cursor += 1

    def toggle_marks(self, probes: Sequence[str]) -> None:
        """Mark all of these; unmark them when all of them are marked."""
        if self.marked.keys() >= set(probes):
            for probe in probes:
                del self.marked[probe]
        else:
            self.marked |= dict.fromkeys(probes)
        self.refresh()

    def clear_marks(self) -> None:
        """Unmark everything."""
        self.marked.clear()
        self.refresh()

    def _toggle(self, probe: str) -> None:
        if probe in self.marked:
            del self.marked[probe]
        else:
            self.marked[probe] = None
        self.refresh()

    def watch_cursor(self, before: int, after: int) -> None:
        """Remember the probe that the user chose."""
        row = self.selected
        self._held = row.key if row is not None else None
        super().watch_cursor(before, after)

    def header_parts(self, width: int) -> Iterator[Part]:
        """The column titles."""
        kind, where, letter, answer = _columns(width)
        yield " " + fit("kind", kind - 1) + " ", ""
        yield fit("name", width - 1 - kind - where - letter - answer), ""
        yield (fit("group/module", where - 1) + " " if where else "") + fit("type", letter) + fit("attach", answer), ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One probe."""
        assert self.view is not None
        row = self.view.row(index)
        kind, where, letter, answer = _columns(width)
        yield self._mark(row)
        yield fit(row.kind, kind - 1) + " ", KIND_CLASS.get(row.kind, "")
        name = fit(printable(row.name), width - 1 - kind - where - letter - answer - 1) + " "
        yield from with_hits(name, self._hits, "")
        yield fit(printable(row.group or row.module), where - 1) + " " if where else "", "rows--dim"
        yield fit(row.type, letter), ""
        if answer:
            verdict = self.view.catalog.verdict(row.kind, row.entry).answer if row.kind in KIND_CLASS else None
            yield (fit(verdict.value, answer), _ANSWER_CLASS[verdict]) if verdict else (" " * answer, "")

    def _mark(self, row: Row) -> Part:
        if self.view is None or not (self.attached or self.marked):
            return " ", ""
        name = attachable_as(self.view.catalog, row)
        if name in self.marked:
            return "✓", "rows--hit"
        return ("●", "rows--good") if name in self.attached else (" ", "")


def _columns(width: int) -> tuple[int, int, int, int]:
    """The widths of kind, group or module, type and verdict; the name takes the rest."""
    if width < 50:
        return 6, 0, 0, 0
    if width < 70:
        return _KIND, 12, 0, _ANSWER
    return _KIND, min(30, _WHERE + (width - 70) // 4), _TYPE, _ANSWER


def _hit_pattern(query: Query) -> re.Pattern[str] | None:
    """What to highlight: the words, and the fixed parts of globs."""
    words = [
        part
        for term in query.terms
        if not term.exclude and term.key in ("", "probe")
        for part in re.split(r"[*?]|\[.*?\]|.*:", term.text)
        if part
    ]
    return re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None
