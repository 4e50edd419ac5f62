"""A choice among a few words, on one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tracescope.ui import keys

__all__ = ("Cycle",)


class Cycle(Widget, can_focus=True):
    """All the words, the chosen one marked; left and right choose."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.CYCLE)

    chosen: reactive[int] = reactive(0)

    @dataclass
    class Changed(Message):
        """Another word was chosen."""

        cycle: Cycle

        @property
        def control(self) -> Cycle:
            """The widget."""
            return self.cycle

    def __init__(self, words: Sequence[str], *, id: str | None = None) -> None:  # noqa: A002 - as Widget names it
        super().__init__(id=id)
        self._words = words

    @property
    def value(self) -> str:
        """The chosen word."""
        return self._words[self.chosen]

    def render(self) -> Content:
        """The words in a row."""
        mark = "reverse" if self.has_focus else "bold $text-primary"
        parts = [(f" {word} ", mark if at == self.chosen else "dim") for at, word in enumerate(self._words)]
        return Content.assemble(*parts)

    def watch_chosen(self) -> None:
        """Tell who listens."""
        self.post_message(self.Changed(self))

    def action_choose(self, step: int) -> None:
        """The next word, or the one before."""
        self.chosen = (self.chosen + step) % len(self._words)

    def on_click(self, event: events.Click) -> None:
        """A click on a word chooses it."""
        end = 0
        for at, word in enumerate(self._words):
            end += len(word) + 2
            if event.x < end:
                self.chosen = at
                return
