"""A clear refusal: what cannot be done, why, and how to mend it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from tracescope.errors import AttachError, TraceScopeError
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.detail_text import error_text

__all__ = ("RefusalScreen",)


class RefusalScreen(ModalScreen[None]):
    """What, why, fix, and the whole compiler or verifier log where there is one."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.TEXT, Binding("enter", "close", "Close", show=False)]

    def __init__(self, error: TraceScopeError) -> None:
        super().__init__()
        self._error = error

    def compose(self) -> ComposeResult:
        """One box."""
        text = error_text(self._error)
        if isinstance(self._error, AttachError) and self._error.log:
            log = "\n".join(map(printable, self._error.log.splitlines()))
            text = Content.assemble(text, "\n\n", (log, "dim"))
        with VerticalScroll(id="refusal"):
            yield Static(text, markup=False)
        yield Footer(compact=True)

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()

    def action_copy(self) -> None:
        """Copy the words."""
        self.app.copy_to_clipboard(str(self._error))
        self.notify("copied", markup=False)
