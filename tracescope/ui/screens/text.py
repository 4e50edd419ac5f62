"""A screen of text that scrolls: the base of help, sources, program and event detail."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.look import amount
from tracescope.ui.widgets.key_line import KeyLine

__all__ = ("TextScreen",)


class TextScreen(Screen[None]):
    """A title and a text. What `y` copies is the text as it is shown, unless `copied` says otherwise."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.TEXT)
    AUTO_FOCUS = "VerticalScroll"

    def __init__(self, title: str, text: Content, *, copied: str | None = None) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._copied = text.plain if copied is None else copied

    def compose(self) -> ComposeResult:
        """Title, text, keys."""
        yield Static(Content(printable(self._title)), classes="title", markup=False)
        with VerticalScroll():
            yield Static(self._text, id="text", markup=False)
        yield KeyLine()

    def show_text(self, text: Content) -> None:
        """Another text in its place."""
        self._text, self._copied = text, text.plain
        if self.is_mounted:
            self.query_one("#text", Static).update(text)

    def action_close(self) -> None:
        """Back to the screen before."""
        self.dismiss()

    def action_copy(self) -> None:
        """Copy the whole text."""
        self.app.copy_to_clipboard(self._copied)
        self.notify(f"copied {amount(self._copied.count(chr(10)) + 1, 'line')}", markup=False)
