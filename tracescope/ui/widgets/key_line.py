"""The keys at the foot of a screen: as many as fit, the most useful first; help always."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

__all__ = ("KeyLine",)

_ALWAYS = ("help", "command_palette")
_PALETTE_FROM = 100
"""Cells below which the palette's key is left to those who know it."""


class KeyLine(Footer):
    """A footer that leaves out what would be cut off, and is made anew only when its keys are others."""

    def __init__(self) -> None:
        super().__init__(compact=True)
        self._made: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """The keys of the footer, in its order, without those that do not fit."""
        room = self.app.size.width
        keys = [key for key in super().compose() if room >= _PALETTE_FROM or _action(key) != "command_palette"]
        room -= sum(_width(key) for key in keys if _action(key) in _ALWAYS)
        for key in keys:
            fixed = _action(key) in _ALWAYS
            room -= 0 if fixed else _width(key)
            if fixed or room >= 0:
                yield key

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Keys came, went, or are switched on or off."""
        if screen is not self.screen or not self.app.app_focus:
            return
        active = (active for active in screen.active_bindings.values() if active.binding.show)
        made = (self.app.size.width, *((one.binding.action, one.binding.key, one.enabled) for one in active))
        if made != self._made:
            self._made = made
            super().bindings_changed(screen)

    def on_resize(self) -> None:
        """More or fewer keys fit."""
        self.bindings_changed(self.screen)


def _action(key: Widget) -> str:
    return key.action.rpartition(".")[2] if isinstance(key, FooterKey) else ""


def _width(key: Widget) -> int:
    """Key, space, description, space."""
    return len(key.key_display) + len(key.description) + 2 if isinstance(key, FooterKey) else 0
