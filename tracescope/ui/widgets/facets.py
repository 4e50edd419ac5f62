"""The facets: what the view is made of, with counts. Choosing one edits the filter line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from textual import events
from textual.message import Message

from tracescope.printable import printable
from tracescope.ui.look import KIND_CLASS, fit
from tracescope.ui.widgets.rows import Part, RowList

__all__ = ("Facets",)

_TITLES = {"kind": "Kinds", "group": "Groups", "module": "Modules", "type": "Symbol types"}
_SHORT = 8
"""So many values of a section are shown before it is opened fully."""


class _Line(NamedTuple):
    key: str
    value: str
    """Empty for the section's title, `…` for the line that opens the rest."""
    number: int


class Facets(RowList):
    """A tree of two levels: sections and their values."""

    header_lines = 0

    @dataclass
    class Toggled(Message):
        """The user wants the filter term `key:value` put in or taken out."""

        key: str
        value: str

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, list[tuple[str, int]]] = {}
        self._lines: list[_Line] = []
        self._terms: frozenset[str] = frozenset()
        self._folded: set[str] = set()
        self._full: set[str] = set()

    @property
    def row_count(self) -> int:
        """Titles, values and `more` lines."""
        return len(self._lines)

    def show_counts(self, counts: dict[str, list[tuple[str, int]]], query_text: str) -> None:
        """Take new counts; terms of the query are marked."""
        self._counts = counts
        self._terms = frozenset(query_text.split())
        self._arrange()

    def _arrange(self) -> None:
        at = self._lines[self.cursor][:2] if self._lines else None
        self._lines = [line for key, title in _TITLES.items() for line in self._section(key)]
        place = next((index for index, line in enumerate(self._lines) if line[:2] == at), 0)
        self.reset_rows(place)

    def _section(self, key: str) -> Iterator[_Line]:
        values = self._counts.get(key, [])
        if not values:
            return
        yield _Line(key, "", len(values))
        if key in self._folded:
            return
        shown = values if key in self._full or len(values) <= _SHORT + 1 else values[:_SHORT]
        yield from (_Line(key, value, count) for value, count in shown)
        if len(shown) < len(values):
            yield _Line(key, "…", len(values) - len(shown))

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """A title or a value with its count."""
        key, value, count = self._lines[index]
        if not value:
            sign = "▸" if key in self._folded else "▾"
            yield fit(f"{sign} {_TITLES[key]}", width), "rows--header"
        elif value == "…":
            yield fit(f"    … {count:,} more", width), "rows--dim"
        else:
            number = f" {count:,} "
            mark = "●" if f"{key}:{value}" in self._terms else " "
            yield f" {mark} ", "rows--hit"
            yield fit(printable(value), width - len(number) - 3), KIND_CLASS.get(value, "") if key == "kind" else ""
            yield number, "rows--dim"

    def action_choose(self) -> None:
        """Open or close a section, or toggle the filter term of a value."""
        if not self._lines:
            return
        key, value, _ = self._lines[self.cursor]
        if value == "…":
            self._full.add(key)
            self._arrange()
        elif value:
            self.post_message(self.Toggled(key, value))
        else:
            self._folded ^= {key}
            self._arrange()

    def on_click(self, event: events.Click) -> None:
        """One click chooses: there is nothing else to do with a facet."""
        event.prevent_default()
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self.scroll_offset.y < self.row_count:
            self.cursor = offset.y + self.scroll_offset.y
            self.action_choose()
