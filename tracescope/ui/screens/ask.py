"""One question: a box with an input line."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tracescope.ui import keys
from tracescope.ui.widgets.key_line import KeyLine

__all__ = ("AskScreen",)


class AskScreen(ModalScreen[str | None]):
    """Gives what was typed, or None."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.ASK)

    def __init__(self, question: str, suggested: str = "") -> None:
        super().__init__()
        self._question = question
        self._suggested = suggested

    def compose(self) -> ComposeResult:
        """Question, input, keys."""
        with Vertical(id="ask"):
            yield Static(Content(self._question), markup=False)
            yield Input(self._suggested, compact=True, select_on_focus=False)
        yield KeyLine()

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_close(self) -> None:
        """No answer."""
        self.dismiss(None)
