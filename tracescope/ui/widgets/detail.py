"""The detail pane: everything known of the selected probe, scrollable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tracescope.errors import TraceScopeError
from tracescope.ui.detail_text import detail_text, error_text

if TYPE_CHECKING:
    from tracescope.catalog.detail import Detail

__all__ = ("DetailPane",)


class DetailPane(VerticalScroll):
    """Shows a Detail, or why there is none. Drawn again when the width changes: the memory picture depends on it."""

    def __init__(self, *, unfold: bool = False) -> None:
        super().__init__()
        self._unfold = unfold
        self._detail: Detail | TraceScopeError | None = None
        self._attach_line = Content("")

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static("", markup=False)

    def show(self, detail: Detail | TraceScopeError | None, attach: Content | None = None) -> None:
        """Take another probe's detail, with what the attach key does, and start at its top."""
        self._detail = detail
        self._attach_line = attach or Content("")
        self._draw()
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        """The picture fits the width."""
        self._draw()

    def _draw(self) -> None:
        detail = self._detail
        if detail is None:
            text = Content("")
        elif isinstance(detail, TraceScopeError):
            text = error_text(detail)
        else:
            text = detail_text(detail, self.scrollable_content_region.width, self._attach_line, unfold=self._unfold)
        self.query_one(Static).update(text)
