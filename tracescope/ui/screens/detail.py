"""The selected probe's detail on the whole screen, flag tables unfolded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer

from tracescope.errors import TraceScopeError
from tracescope.ui import keys
from tracescope.ui.widgets.detail import DetailPane

if TYPE_CHECKING:
    from tracescope.catalog.detail import Detail

__all__ = ("DetailScreen",)


class DetailScreen(Screen[None]):
    """One probe, whole."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.TEXT, keys.TYPES]

    def __init__(self, probe: str, detail: Detail | TraceScopeError, open_types: Callable[[], None]) -> None:
        super().__init__()
        self._probe = probe
        self._detail = detail
        self._open_types = open_types

    def compose(self) -> ComposeResult:
        """The pane, and the keys."""
        yield DetailPane(unfold=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Fill the pane."""
        self.query_one(DetailPane).show(self._detail)

    def action_close(self) -> None:
        """Back to the browser."""
        self.dismiss()

    def action_types(self) -> None:
        """Open the types of the arguments."""
        self._open_types()

    def action_copy(self) -> None:
        """Copy the probe's full name."""
        self.app.copy_to_clipboard(self._probe)
        self.notify(f"copied {self._probe}", markup=False)
