"""The selected probe's detail on the whole screen, flag tables unfolded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen

from tracescope.errors import TraceScopeError
from tracescope.ui import keys
from tracescope.ui.widgets.detail import DetailPane
from tracescope.ui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from tracescope.catalog.detail import Detail

__all__ = ("DetailActions", "DetailScreen")


class DetailActions(NamedTuple):
    """What the browser does with the selected probe."""

    open_types: Callable[[], None]
    attach: Callable[[], None]
    export: Callable[[], None]


class DetailScreen(Screen[None]):
    """One probe, whole."""

    BINDINGS: ClassVar[list[BindingType]] = [keys.ATTACH, keys.EXPORT_KEY, *keys.TEXT, keys.TYPES]

    def __init__(self, probe: str, detail: Detail | TraceScopeError, attach: Content, actions: DetailActions) -> None:
        super().__init__()
        self._probe = probe
        self._detail = detail
        self._attach_line = attach
        self._actions = actions

    def compose(self) -> ComposeResult:
        """The pane, and the keys."""
        yield DetailPane(unfold=True)
        yield KeyLine()

    def on_mount(self) -> None:
        """Fill the pane."""
        self.query_one(DetailPane).show(self._detail, self._attach_line)

    def action_close(self) -> None:
        """Back to the browser."""
        self.dismiss()

    def action_types(self) -> None:
        """Open the types of the arguments."""
        self._actions.open_types()

    def action_attach(self) -> None:
        """As in the browser."""
        self._actions.attach()

    def action_export(self) -> None:
        """As in the browser."""
        self._actions.export()

    def action_copy(self) -> None:
        """Copy the probe's full name."""
        self.app.copy_to_clipboard(self._probe)
        self.notify(f"copied {self._probe}", markup=False)
