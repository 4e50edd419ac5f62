"""One question that is answered yes or no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tracescope.ui import keys
from tracescope.ui.widgets.key_line import KeyLine

__all__ = ("ConfirmScreen",)


class ConfirmScreen(ModalScreen[bool]):
    """Gives the answer."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.CONFIRM)

    def __init__(self, question: Content) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Question, keys."""
        with Vertical(id="ask"):
            yield Static(self._question, markup=False)
        yield KeyLine()

    def action_answer(self, answer: bool) -> None:
        """Yes or no."""
        self.dismiss(answer)
