"""The filter line: an input of one row with the number of hits at its end."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from tracescope.ui import keys

__all__ = ("FilterInput", "FilterLine")


class FilterInput(Input):
    """An input that hands over to the list below it."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.FILTER)

    class Left(Message):
        """The user goes on to the list."""

    def action_leave(self) -> None:
        """Go to the list."""
        self.post_message(self.Left())

    def action_clear(self) -> None:
        """Empty the line; go to the list when it is empty already."""
        if self.value:
            self.value = ""
        else:
            self.post_message(self.Left())


class FilterLine(Horizontal):
    """`/` , the input, and what it found."""

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """The three parts."""
        yield Static("/", id="slash", markup=False)
        yield FilterInput(placeholder=self._placeholder, compact=True, select_on_focus=False)
        yield Static("", id="hits", markup=False)

    @property
    def input(self) -> FilterInput:
        """Where the text is typed."""
        return self.query_one(FilterInput)

    def show_hits(self, text: str) -> None:
        """Say how much the filter leaves."""
        hits = self.query_one("#hits", Static)
        wider = len(text) > hits.size.width
        hits.update(Content(text), layout=wider)
