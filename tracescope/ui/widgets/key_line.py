"""The keys at the foot of a screen: as many as fit, the most useful first; help always."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

__all__ = ("KeyLine", "ShownKey")

_HELP, _PALETTE = "help", "command_palette"
_PALETTE_FROM = 100
"""Cells below which the palette's key is left to those who know it."""
_EDGE = "▏"
_FUNCTION = re.compile(r"f\d+")


class ShownKey(NamedTuple):
    """A key, how it is written, what it does."""

    key: str
    display: str
    description: str
    action: str
    enabled: bool
    tooltip: str

    @property
    def width(self) -> int:
        """Key, space, description, space."""
        return len(self.display) + len(self.description) + 2


class KeyLine(Widget):
    """One line of text, drawn anew only when its keys are others: no widget a key, so nothing is laid out again."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[ShownKey, ...] = ()
        """What is shown, from the left; the palette's key, the last, stands on the right."""
        self._pointed: ShownKey | None = None

    def on_mount(self) -> None:
        """Follow the screen's keys."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        """The screen goes on without it."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def on_resize(self) -> None:
        """More or fewer keys fit."""
        self._changed(self.screen)

    def _changed(self, screen: Screen[object]) -> None:
        """Keys came, went, or are switched on or off."""
        if screen is self.screen and self.app.app_focus:
            keys = tuple(self._fitting())
            if keys != self.keys:
                self.keys, self._pointed = keys, None
                self.refresh()

    def _fitting(self) -> Iterator[ShownKey]:
        room = self.app.size.width
        keys = [key for key in self._active() if room >= _PALETTE_FROM or key.action != _PALETTE]
        always = (_HELP, _PALETTE)
        room -= sum(key.width for key in keys if key.action in always)
        for key in keys:
            fixed = key.action in always
            room -= 0 if fixed else key.width
            if fixed or room >= 0:
                yield key

    def _active(self) -> Iterator[ShownKey]:
        """One key an action, in the order of the bindings."""
        active = self.screen.active_bindings
        palette = active.get(self.app.COMMAND_PALETTE_BINDING)
        done = set()
        for one in [one for one in active.values() if one.binding.show] + ([palette] if palette else []):
            binding = one.binding
            action = binding.action.rpartition(".")[2]
            if action not in done:
                done.add(action)
                # Where a text is typed, only the function key of `?` and F1 is left: its sign is no help there.
                display = binding.key if _FUNCTION.fullmatch(binding.key) else self.app.get_key_display(binding)
                tooltip = one.tooltip or binding.description
                yield ShownKey(binding.key, display, binding.description, action, one.enabled, tooltip)

    def render(self) -> Content:
        """Keys stand out; those that are switched off are dim."""
        parts: list[tuple[str, str]] = []
        for key in self.keys:
            if key.action == _PALETTE:
                parts.append((" " * (self._palette_at(key) - sum(len(text) for text, _ in parts)), ""))
                parts.append((_EDGE, "$foreground 20%"))
            parts += self._drawn(key)
        return Content.assemble(*parts)

    def _drawn(self, key: ShownKey) -> Iterator[tuple[str, str]]:
        more = " on $block-hover-background" if key is self._pointed else ""
        dim = "" if key.enabled else "dim "
        yield key.display, f"{dim}bold $footer-key-foreground{more}"
        yield f" {key.description}", f"{dim}$footer-description-foreground{more}"
        yield " ", ""

    def _palette_at(self, key: ShownKey) -> int:
        """Where its edge is: its text ends where the line ends."""
        return self.size.width - key.width

    def key_at(self, x: int) -> ShownKey | None:
        """The key at a cell of the line."""
        end = 0
        for key in self.keys:
            start = self._palette_at(key) if key.action == _PALETTE else end
            end = start + key.width
            if start <= x < end:
                return key
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Say what the key does."""
        self._point(self.key_at(event.x))

    def on_leave(self) -> None:
        """Nothing stands out any more."""
        self._point(None)

    def _point(self, key: ShownKey | None) -> None:
        if key is not self._pointed:
            self._pointed = key
            self.tooltip = key.tooltip if key else None
            self.refresh()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A click is the key."""
        key = self.key_at(event.x)
        if key is None:
            return
        if key.enabled:
            self.app.simulate_key(key.key)
        else:
            self.app.bell()
