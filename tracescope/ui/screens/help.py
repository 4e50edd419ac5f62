"""The help screen."""

from __future__ import annotations

from collections.abc import Mapping

from tracescope.ui.help import help_text
from tracescope.ui.screens.text import TextScreen

__all__ = ("HelpScreen",)


class HelpScreen(TextScreen):
    """What everything means."""

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__("help: what the words, letters and keys mean", help_text(keymap))
