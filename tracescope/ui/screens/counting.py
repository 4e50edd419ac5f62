"""What a session counts in the kernel: tables, histograms and stacks, read anew twice a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tracescope.ui.look import amount
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from tracescope.attach.counting.session import SummarySession

__all__ = ("CountingScreen",)

_SECONDS = 0.5
_TOP = 200


class CountingScreen(TextScreen):
    """Leaving it detaches the session."""

    def __init__(self, session: SummarySession) -> None:
        super().__init__("counting in the kernel", Content(""))
        self._session = session
        self._said: set[str] = set()

    def compose(self) -> ComposeResult:
        """What is counted, the counts, keys."""
        yield Static("", id="counting", classes="title", markup=False)
        with VerticalScroll():
            yield Static("", id="text", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Look at once, and then regularly."""
        self.set_interval(_SECONDS, self.update_counts)
        self.update_counts()

    def update_counts(self) -> None:
        """Read the kernel's tables and show them."""
        from tracescope.attach.counting.text import summary_lines

        session = self._session
        counts = session.counts()
        head = f"{session.state}  {amount(counts.events, 'event')}  {counts.lost:,} lost"
        self.query_one("#counting", Static).update(Content(f"counting in the kernel  ● {head}"))
        lines = summary_lines(session.plan, session.summary(), session.symbols.frames, _TOP)
        self._copied = "\n".join(lines)
        self.query_one("#text", Static).update(Content(self._copied or self._nothing()))
        for probe, error in session.failed:
            if probe.name not in self._said:
                self._said.add(probe.name)
                self.notify(f"{probe.name}: {error}", severity="error", markup=False)

    def _nothing(self) -> str:
        error = self._session.error
        return f"{error}" if error is not None else "nothing yet"

    def action_close(self) -> None:
        """Detach, and back to the screen before."""
        self.app.run_worker(self._session.stop, thread=True, group="sessions")
        self.dismiss()
