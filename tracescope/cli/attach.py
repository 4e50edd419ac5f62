"""Attach probes and print their events until Ctrl-C, --duration, --count, or the end of CMD.

With `-- CMD` the command starts after everything is attached; only it and its descendants are traced.

    tracescope attach tracepoint:syscalls:sys_enter_execve
    tracescope attach 'tracepoint:syscalls:sys_*_execve' --json -- make
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tracescope.attach.backend_names import AUTO, BACKENDS
from tracescope.attach.targets.find import MANY
from tracescope.catalog.patterns import full_name
from tracescope.cli.count import add_counting, count, counted_of
from tracescope.cli.output import heading, note
from tracescope.cli.scope import add_backend, add_filters, add_limits, preferred_backend, traced_command
from tracescope.cli.session import Sink, trace
from tracescope.errors import Refused, UsageError
from tracescope.host import open_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.ask.keys import Counted
    from tracescope.attach.decode.events import Event
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.launch import Launched
    from tracescope.attach.plan import Filters
    from tracescope.attach.targets.target import Target
    from tracescope.host import Host
    from tracescope.recording import Recorder

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "probes", metavar="PROBE", nargs="+", help="a full name, or a glob such as 'tracepoint:sched:*exec'"
    )
    parser.add_argument("--pair", action="store_true", help="entry and return as one event, with its duration")
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        default="",
        help="only events that meet it: 'args.ret < 0 && comm == \"sshd\"'; "
        "of a system call's entry a text that is not in memory yet does not meet it, with --pair it does",
    )
    parser.add_argument(
        "--show",
        metavar="VALUE",
        action="append",
        default=[],
        help="read this too: args.file->f_path.dentry->d_name.name",
    )
    parser.add_argument("--yes", action="store_true", help=f"attach more than {MANY} probes without asking")
    parser.add_argument("--raw", action="store_true", help="read nothing behind the arguments: no paths, no strings")
    parser.add_argument(
        "--every", action="store_true", help="leave no event out to keep up: what is too much is lost and counted"
    )
    parser.add_argument(
        "--words", action="store_true", help="each event in the kernel's own words, as trace_pipe and trace-cmd show it"
    )
    add_filters(parser)
    add_counting(parser)
    add_limits(parser)
    add_backend(parser)
    parser.add_argument("--json", action="store_true", help="one event a line, as an object")
    parser.add_argument("--save", metavar="FILE", help="record the events, for tracescope replay")
    parser.add_argument(
        "--print-program",
        action="store_true",
        help="print what the backend is given (a program in C) and attach nothing",
    )
    parser.usage = "tracescope attach PROBE... [options] [-- CMD...]"


def run(args: argparse.Namespace) -> int:
    """Attach, print, detach."""
    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.open import open_plan
    from tracescope.attach.program import program_text
    from tracescope.attach.start import start_session
    from tracescope.attach.targets.find import find_targets

    host = open_host(args.host)
    targets = find_targets(host, [full_name(probe) for probe in args.probes], pair=args.pair)
    _guard(len(targets), agreed=args.yes)
    backend = preferred_backend(args)
    asked, counted = Asked(args.where, tuple(args.show)), counted_of(args)
    with traced_command(host, args) as (filters, child):
        if counted is not None:
            return _count(host, targets, counted, filters, asked, child, args, backend)
        if args.print_program and backend in (AUTO, "bcc", "libbpf"):
            sys.stdout.write(program_text(open_plan(host, targets, filters, asked=asked, bare=args.raw)))
            return 0
        # A person reads along; who keeps the events wants all of them, or the number of those that are missing.
        governed = not (args.json or args.save or args.every)
        session = start_session(
            host, targets, filters, asked=asked, bare=args.raw, backend=backend, governed=governed, words=args.words
        )
        if args.print_program:
            sys.stdout.write(session.program_text)
            return 0
        if session.backend != BACKENDS[0] and backend == AUTO:
            note(session.chosen)
        for text in (*host.notes, *session.plan.notes):
            note(text)
        return trace(session, child, args, _Printer(host, session, args))


def _count(
    host: Host, targets: Sequence[Target], counted: Counted, filters: Filters, asked: Asked, child: Launched | None,
    args: argparse.Namespace, backend: str,
) -> int:  # fmt: skip
    """Count in the kernel instead."""
    from tracescope.attach.counting.session import open_summary, open_summary_plan
    from tracescope.attach.program import summary_text
    from tracescope.attach.start import own_backend

    if args.save or args.show or args.words:
        raise UsageError(
            "--save, --show and --words are about single events", "here the kernel counts", "leave them out"
        )
    if args.print_program:
        sys.stdout.write(summary_text(open_summary_plan(host, targets, counted, filters, asked=asked)))
        return 0
    session = open_summary(host, targets, counted, filters, asked=asked, backend=own_backend(host, "counting", backend))
    for text in (*host.notes, *session.plan.plan.notes):
        note(text)
    return count(session, child, args)


def _guard(number: int, *, agreed: bool) -> None:
    """Ask before very many probes are attached: a glob is written in a second. Raises Refused."""
    if agreed or number <= MANY:
        return
    what = f"this attaches {number:,} probes"
    if not sys.stdin.isatty():
        raise Refused(what, "each of them costs the traced programs time", "--yes if that is meant")
    sys.stderr.write(f"{what}: go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused(what, "it was not agreed to", "--yes, or fewer: --comm and --where cost less than more probes")


class _Printer(Sink["Event"]):
    """Prints events as they come, and records them."""

    def __init__(self, host: Host, session: EventSession, args: argparse.Namespace) -> None:
        from tracescope.attach.decode.event_lines import COLUMNS, json_line, text_line

        self._session = session
        self._line = json_line if args.json else text_line
        self._json_line = json_line
        self._recorder: Recorder | None = None
        self.patient = not args.save
        if args.save:
            from tracescope.recording import Recorder, host_facts

            about = {"probes": [probe.name for probe in session.plan.probes], "command": args.run_command or None}
            self._recorder = Recorder(args.save, kind="attach", host=host_facts(host), session=about)
        self._share = 1.0
        self._remarked = 0
        self._quiet = args.json or args.run_command
        self._columns = "" if args.json else COLUMNS

    def ready(self) -> None:
        """Say what could not be attached, and how to stop."""
        for probe, error in self._session.failed:
            note(f"not attached: {probe.name}: {error}")
        self._note_remarks()
        if not self._quiet:
            attached = len(self._session.plan.probes) - len(self._session.failed)
            note(f"attached {attached} probe{'s' * (attached != 1)}: Ctrl-C detaches")
        if self._columns:
            heading(self._columns)

    def _note_remarks(self) -> None:
        for text in self._session.remarks[self._remarked :]:
            note(text)
        self._remarked = len(self._session.remarks)

    def show(self, events: Sequence[Event]) -> int:
        """Print them."""
        if self._recorder:
            for event in events:
                self._recorder.write(self._json_line(event))
        sys.stdout.write("".join([self._line(event) + "\n" for event in events]))
        return len(events)

    def pulse(self, lost: int) -> None:
        """What is recorded is on disk within a second; and say when events are left out."""
        governor = self._session.governor
        if governor is not None and governor.share < self._share:
            if self._share >= 1.0:
                note("events come faster than they can be printed: some are left out (--every: none)")
            self._share = governor.share
        if self._recorder:
            self._recorder.pulse(lost)

    def end(self, lost: int) -> None:
        """The last of the recording."""
        self._note_remarks()
        if self._recorder:
            self._recorder.close(lost)
