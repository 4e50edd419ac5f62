"""The probe table: one row a probe of a catalog's view, made only when it is drawn."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from tracescope.model import Answer
from tracescope.printable import printable
from tracescope.ui.look import KIND_CLASS, fit
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
        self.empty_text = "nothing matches" if view.query.terms else ""
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
        yield ("●", "rows--good") if row.probe in self.attached else (" ", "")
        yield fit(row.kind, kind - 1) + " ", KIND_CLASS.get(row.kind, "")
        yield from self._name_parts(fit(printable(row.name), width - 1 - kind - where - letter - answer - 1) + " ")
        yield fit(printable(row.group or row.module), where - 1) + " " if where else "", "rows--dim"
        yield fit(row.type, letter), ""
        if answer:
            verdict = self.view.catalog.verdict(row.kind, row.entry).answer if row.kind in KIND_CLASS else None
            yield (fit(verdict.value, answer), _ANSWER_CLASS[verdict]) if verdict else (" " * answer, "")

    def _name_parts(self, name: str) -> Iterator[Part]:
        at = 0
        for hit in self._hits.finditer(name) if self._hits else ():
            yield name[at : hit.start()], ""
            yield hit.group(), "rows--hit"
            at = hit.end()
        yield name[at:], ""


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
