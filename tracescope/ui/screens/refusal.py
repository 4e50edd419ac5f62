"""A clear refusal: what cannot be done, why, and how to mend it; the whole log one key away."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tracescope.errors import AttachError, TraceScopeError
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.detail_text import error_text
from tracescope.ui.look import amount
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.widgets.key_line import KeyLine

__all__ = ("RefusalScreen",)


class RefusalScreen(ModalScreen[None]):
    """What, why, fix."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.REFUSAL)

    def __init__(self, error: TraceScopeError) -> None:
        super().__init__()
        self._error = error
        self._log = error.log if isinstance(error, AttachError) else ""

    def compose(self) -> ComposeResult:
        """One box."""
        text = error_text(self._error)
        if self._log:
            lines = amount(len(self._log.splitlines()), "line")
            text = Content.assemble(text, "\n\n", ("l", "bold $text-primary"), (f"  the log, {lines}", "dim"))
        with VerticalScroll(id="refusal"):
            yield Static(text, markup=False)
        yield KeyLine()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Not every error has a log."""
        return action != "log" or bool(self._log)

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()

    def action_log(self) -> None:
        """Show the whole output of the compiler or the verifier."""
        text = Content("\n".join(printable(line.expandtabs()) for line in self._log.splitlines()))
        self.app.push_screen(TextScreen(self._error.what, text, copied=self._log))

    def action_copy(self) -> None:
        """Copy the words."""
        self.app.copy_to_clipboard(str(self._error))
        self.notify("copied", markup=False)
