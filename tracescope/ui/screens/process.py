"""The screens of one process, one outcome and one program; `y` copies a command that a shell can run."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.content import Content

from tracescope.errors import TraceScopeError
from tracescope.processes import ExecEvent, ExecFailed, Process, ProcessTable, ProgramSummary, Summary, command_of
from tracescope.ui.process_feed import Outcome
from tracescope.ui.process_text import latest_runs, outcome_text, process_text, program_text
from tracescope.ui.screens.text import TextScreen

__all__ = ("CommandScreen", "copy_command", "outcome_screen", "process_screen", "program_screen", "run_of")

Run = ExecEvent | ExecFailed


class CommandScreen(TextScreen):
    """A text, and the exec whose command `y` copies."""

    def __init__(self, title: str, text: Content, run: Run | None) -> None:
        super().__init__(title, text)
        self._run = run

    def action_copy(self) -> None:
        """Copy the command."""
        copy_command(self.app, self._run)


def program_screen(row: ProgramSummary, summary: Summary, table: ProcessTable) -> CommandScreen:
    """The screen of one program."""
    return CommandScreen(row.program or "all other programs", program_text(row, summary, table), run_of(row, table))


def process_screen(process: Process, table: ProcessTable) -> CommandScreen:
    """The screen of one process."""
    return CommandScreen(f"process {process.pid}", process_text(process, table), run_of(process, table))


def outcome_screen(outcome: Outcome, table: ProcessTable) -> CommandScreen:
    """The screen of one row of the live list."""
    return CommandScreen(f"process {outcome.event.pid}", outcome_text(outcome, table), run_of(outcome, table))


def run_of(row: ProgramSummary | Process | Outcome, table: ProcessTable) -> Run | None:
    """The exec that a row is about, the latest when there are several."""
    if isinstance(row, Outcome):
        return row.event if isinstance(row.event, (ExecEvent, ExecFailed)) else None
    if isinstance(row, Process):
        return row.runs[-1] if row.runs else None
    latest = latest_runs(row.program, table)
    return latest[0][1] if latest else None


def copy_command(app: App[Any], run: Run | None) -> None:
    """Copy an exec's command, or say why it cannot be written down."""
    if run is None:
        app.notify("no exec was seen: there is no command to copy", severity="warning", markup=False)
        return
    try:
        command = command_of(run)
    except TraceScopeError as error:
        app.notify(str(error), severity="warning", markup=False)
    else:
        app.copy_to_clipboard(command)
        app.notify("copied the command for a shell", markup=False)
