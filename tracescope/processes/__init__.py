"""What processes did: from exec, exit and fork events to programs, spawners and restart loops. Pure."""

from tracescope.processes.events import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    ForkEvent,
    ProcessEvent,
    rfc3339,
    time_of,
)
from tracescope.processes.failures import FailedExec
from tracescope.processes.lines import argv_words, event_line
from tracescope.processes.process import Process, program_of
from tracescope.processes.reading import event_from_json, events_from_json, events_from_lines
from tracescope.processes.sentence import loop_words, parent_words, summary_line
from tracescope.processes.shell import command_of, shell_command
from tracescope.processes.summary import Loop, ProgramSummary, Spawner, Summary, summarize
from tracescope.processes.table import ProcessTable
from tracescope.processes.view import Parent
from tracescope.processes.words import duration_words, exit_words, share_words, signal_name
from tracescope.processes.writing import event_json_line

__all__ = (
    "ExecEvent",
    "ExecFailed",
    "ExitEvent",
    "FailedExec",
    "ForkEvent",
    "Loop",
    "Parent",
    "Process",
    "ProcessEvent",
    "ProcessTable",
    "ProgramSummary",
    "Spawner",
    "Summary",
    "argv_words",
    "command_of",
    "duration_words",
    "event_from_json",
    "event_json_line",
    "event_line",
    "events_from_json",
    "events_from_lines",
    "exit_words",
    "loop_words",
    "parent_words",
    "program_of",
    "rfc3339",
    "share_words",
    "shell_command",
    "signal_name",
    "summarize",
    "summary_line",
    "time_of",
)
