"""The application that shows a recording: one screen, no host, no sources."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from tracescope.errors import Refused
from tracescope.recording import Recording
from tracescope.ui import keys
from tracescope.ui.app import TICK, TraceScope
from tracescope.ui.commands import Commands
from tracescope.ui.config import Config
from tracescope.ui.look import THEME
from tracescope.ui.process_replay import Replay
from tracescope.ui.screens.help import HelpScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.screens.replay import ReplayScreen

__all__ = ("ReplayApp", "replay_of")


class ReplayApp(App[int], inherit_bindings=False):
    """The Processes screen, fed from a file."""

    TITLE = "TraceScope"
    CSS_PATH = TraceScope.CSS_PATH
    BINDINGS: ClassVar[list[BindingType]] = [key for key in keys.APP if key.action in ("help", "quit")]
    COMMANDS = App.COMMANDS | {Commands}
    HORIZONTAL_BREAKPOINTS = TraceScope.HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = TraceScope.VERTICAL_BREAKPOINTS
    COMMAND_PALETTE_DISPLAY = TraceScope.COMMAND_PALETTE_DISPLAY

    def __init__(self, replay: Replay, config: Config) -> None:
        super().__init__()
        self.replay = replay
        self._config = config
        self._screen = ReplayScreen(replay)

    def get_default_screen(self) -> ReplayScreen:
        """There is no other."""
        return self._screen

    def on_mount(self) -> None:
        """Settings, then time begins."""
        self.register_theme(THEME)
        self.theme = self._config.theme if self._config.theme in self.available_themes else THEME.name
        self.set_keymap(self._config.keys)
        self.run_worker(self.replay.measure, thread=True)
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        self.replay.pull()
        self._screen.update()
        error, self.replay.error = self.replay.error, None
        if error is not None:
            self.push_screen(RefusalScreen(error))

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(HelpScreen(self._config.keys))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """A key that opens the screen that is open already is no key."""
        return action != "help" or not isinstance(self.screen, HelpScreen)


def replay_of(recording: Recording) -> Replay:
    """The feed of a recording; Refused when it holds no processes."""
    if recording.header.kind != "exec":
        fix = f"tracescope replay --json {recording.path}"
        raise Refused(f"{recording.path} has no processes to show", "it holds the events of probes", fix)
    return Replay(recording)
