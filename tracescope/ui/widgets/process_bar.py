"""The head of the Processes screen: state and counts, starts a second as a sparkline, and the summary in words."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Sparkline, Static

__all__ = ("ProcessBar",)


class ProcessBar(Vertical):
    """One line of counts; below it the sentence, in as many lines as it needs."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = Static("", id="process-counts", markup=False)
        self._rate = Sparkline([0], id="starts")
        self._summary = Static("", id="summary", markup=False)
        self._sentence = ""

    def compose(self) -> ComposeResult:
        """Counts left, rate right, sentence below."""
        with Horizontal():
            yield self._counts
            yield self._rate
        yield self._summary

    @property
    def room(self) -> int:
        """Characters that fit into four lines, with what is left empty where lines are broken."""
        return 4 * max(0, self.size.width - 16)

    def show(self, counts: Content, summary: str, starts: Sequence[int]) -> None:
        """Take the newest numbers and words."""
        self._counts.update(counts, layout=False)
        if summary != self._sentence:
            self._sentence = summary
            self._summary.update(Content(summary))
        if self._rate.data != starts:
            self._rate.data = starts
