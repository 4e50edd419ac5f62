"""A snapshot being written, then what is in it."""

from __future__ import annotations

from pathlib import Path

from textual import on, work
from textual.content import Content
from textual.widgets import Static
from textual.worker import get_current_worker

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import printable
from tracescope.snapshot import SnapshotReport, write_snapshot
from tracescope.snapshot_text import snapshot_lines
from tracescope.ui.detail_text import error_text
from tracescope.ui.messages import SnapshotEnded, WorkDone
from tracescope.ui.screens.text import TextScreen

__all__ = ("SnapshotScreen",)


class _Left(Exception):
    """The user left the screen: nothing stays behind."""


class SnapshotScreen(TextScreen):
    """Closing it before the end gives the snapshot up."""

    def __init__(self, host: Host, file: Path) -> None:
        super().__init__(f"snapshot of {host.label}", Content("begins …"))
        self._host = host
        self._file = file

    def on_mount(self) -> None:
        """Begin."""
        self._write()

    @work(thread=True, group="snapshot")
    def _write(self) -> None:
        worker = get_current_worker()

        def progress(path: str, done: int, total: int) -> None:
            if worker.is_cancelled:
                raise _Left
            self.post_message(WorkDone(path, done, total))

        try:
            ended: SnapshotReport | TraceScopeError = write_snapshot(self._host, self._file, progress)
        except TraceScopeError as error:
            ended = error
        except _Left:
            return
        self.post_message(SnapshotEnded(ended))

    @on(WorkDone)
    def _show_progress(self, event: WorkDone) -> None:
        self._show(Content(f"{event.done * 100 // event.total:3} %  {printable(event.path)}"))

    @on(SnapshotEnded)
    def _show_end(self, event: SnapshotEnded) -> None:
        if isinstance(event.report, TraceScopeError):
            self._show(error_text(event.report))
        else:
            self._show(Content("\n".join(map(printable, snapshot_lines(event.report)))))

    def _show(self, text: Content) -> None:
        self._copied = text.plain
        self.query_one("#text", Static).update(text)
