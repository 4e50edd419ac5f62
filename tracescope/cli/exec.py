"""Show every exec, every failed one, and how each process ended, until Ctrl-C, --duration, --count, or the end of CMD.

With `-- CMD` the command starts after everything is attached; only it and its descendants are traced.

    tracescope exec
    tracescope exec --failed --uid www-data
    tracescope exec --format tree -- make -j8
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from tracescope.cli.output import heading, note, print_text
from tracescope.cli.scope import add_backend, add_filters, add_limits, preferred_backend, traced_command
from tracescope.cli.session import Sink, trace
from tracescope.host import open_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracescope.host import Host
    from tracescope.processes import ProcessEvent

__all__ = ("add_arguments", "run")


_COLUMNS = f"{'time':15} {'pid':>7} {'ppid':>7} {'comm':15} {'event':11} what"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_filters(parser)
    parser.add_argument("--failed", action="store_true", help="only execs that failed")
    parser.add_argument(
        "--strict", action="store_true", help="attach only the system calls' own tracepoints: no forks, no exits"
    )
    add_limits(parser)
    add_backend(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one event a line, as an object")
    form.add_argument("--format", choices=("text", "tree"), default="text", help="tree: at the end, who started whom")
    parser.add_argument("--save", metavar="FILE", help="record everything, for tracescope replay")
    parser.add_argument("--print-program", action="store_true", help="print the BPF program in C and attach nothing")
    parser.usage = "tracescope exec [options] [-- CMD...]"


def run(args: argparse.Namespace) -> int:
    """Attach, print, sum up."""
    from tracescope.attach.monitor.monitor import open_monitor, plan_monitor
    from tracescope.attach.monitor.program import monitor_text
    from tracescope.attach.start import own_backend

    host = open_host(args.host)
    modes = {"strict": args.strict, "failed_only": args.failed}
    with traced_command(host, args) as (filters, child):
        if args.print_program:
            sys.stdout.write(monitor_text(plan_monitor(host, filters, **modes)))
            return 0
        session = open_monitor(host, filters, **modes, backend=own_backend(host, "monitor", preferred_backend(args)))
        for text in (*host.notes, *session.plan.notes):
            note(text)
        return trace(session, child, args, _Printer(host, args))


class _Printer(Sink["ProcessEvent"]):
    """Prints events as they come, records them, and sums them up at the end."""

    def __init__(self, host: Host, args: argparse.Namespace) -> None:
        from tracescope.processes import ProcessTable
        from tracescope.recording import Recorder, host_facts

        self._host = host
        self._args = args
        self._table = ProcessTable(ncpus=os.cpu_count())
        self._recorder: Recorder | None = None
        self.patient = not args.save
        if args.save:
            session = {"command": args.run_command or None, "strict": args.strict, "failed": args.failed}
            self._recorder = Recorder(args.save, kind="exec", host=host_facts(host), session=session)

    def ready(self) -> None:
        """Learn who was there before."""
        from tracescope.attach.tracefs.running import running_processes

        for process in running_processes(self._host):
            self._table.known(process.pid, process.start_ns, process.comm, process.exe, process.ppid)
        if not (self._args.json or self._args.run_command):
            note("attached: Ctrl-C detaches")
        if not self._args.json and self._args.format == "text":
            heading(_COLUMNS)

    def show(self, events: Sequence[ProcessEvent]) -> int:
        """Print them; a fork is only of use to those who keep the whole."""
        from tracescope.processes import event_json_line, event_line

        for event in events:
            self._table.add(event)
        if self._recorder:
            for event in events:
                self._recorder.write(event_json_line(event))
        printed = [event for event in events if event.name != "fork"]
        if self._args.json:
            sys.stdout.write("".join([event_json_line(event) + "\n" for event in printed]))
        elif self._args.format == "text" and printed:
            print_text(*map(event_line, printed))
        return len(printed)

    def pulse(self, lost: int) -> None:
        """What is recorded is on disk within a second."""
        if self._recorder:
            self._recorder.pulse(lost)

    def end(self, lost: int) -> None:
        """The tree, the last of the recording, and the summary."""
        from tracescope.cli.process_tree import tree_lines
        from tracescope.processes import summarize, summary_line

        if self._args.format == "tree":
            print_text(*tree_lines(self._table))
        if self._recorder:
            self._recorder.close(lost)
        note(summary_line(summarize(self._table)))
