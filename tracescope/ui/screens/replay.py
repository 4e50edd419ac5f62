"""The Processes screen of a recording, with its time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from tracescope.ui import keys
from tracescope.ui.look import amount
from tracescope.ui.process_replay import Replay
from tracescope.ui.screens.processes import ProcessesScreen
from tracescope.ui.widgets.outcomes import clock_words
from tracescope.ui.widgets.status import StatusLine

__all__ = ("ReplayScreen",)

_WHILE_TYPING = ("pause", "speed", "jump", "begin", "end")
"""Their keys are the filter line's as long as something is typed there."""


class ReplayScreen(ProcessesScreen):
    """What the screen showed when it was recorded."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.REPLAY)

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay, str(replay.recording.path))
        self._replay = replay
        self._time = Static("", id="position", markup=False)

    def compose(self) -> ComposeResult:
        """The position stands above the status."""
        for widget in super().compose():
            if isinstance(widget, StatusLine):
                yield self._time
            yield widget

    def update(self) -> None:
        """Draw the position, too."""
        super().update()
        self._time.update(Content.assemble(*self._position()), layout=False)

    def state_words(self) -> tuple[str, str]:
        """This is the past."""
        return "● replay", "$text-primary"

    def extra_words(self) -> tuple[str, str]:
        """What of the file could not be shown."""
        unreadable = self._replay.unreadable
        return (amount(unreadable, "unreadable event") if unreadable else "", "$text-warning")

    def _position(self) -> Iterator[tuple[str, str]]:
        replay = self._replay
        if replay.behind:
            yield "» catching up ", "$text-warning"
        elif replay.over:
            yield "■ the end ", "$text-warning"
        else:
            yield ("▶ playing ", "$text-success") if replay.playing else ("❚❚ held ", "$text-warning")
        yield f"{replay.speed:g}×  ", ""
        yield f"{_minutes(replay.now_ns - replay.begin_ns)}", "bold"
        if replay.end_ns is not None:
            yield f" of {_minutes(replay.end_ns - replay.begin_ns)}", ""
        yield f"  {clock_words(replay.now_ns)}", "dim"
        if replay.over:
            yield "".join(f"  {note}" for note in replay.recording.notes()), "$text-warning"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The time's keys rest while one types."""
        if action in _WHILE_TYPING:
            return not self.typing
        return super().check_action(action, parameters)

    def action_pause(self) -> None:
        """Hold the time, or let it go on."""
        self._replay.pause()

    def action_speed(self, factor: float) -> None:
        """Play faster or slower."""
        self._replay.change_speed(factor)

    def action_jump(self, seconds: int) -> None:
        """Go on or back."""
        self._replay.jump(seconds)

    def action_begin(self) -> None:
        """Go to the beginning."""
        self._replay.seek(self._replay.begin_ns)

    def action_end(self) -> None:
        """Go to the end."""
        self._replay.seek(sys.maxsize)


def _minutes(ns: int) -> str:
    minutes, seconds = divmod(max(ns, 0) / 1e9, 60)
    return f"{minutes:02.0f}:{seconds:04.1f}"
