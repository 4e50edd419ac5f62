"""Attach probes and print their events until Ctrl-C, --duration, --count, or the end of CMD.

With `-- CMD` the command starts after everything is attached; only it and its descendants are traced.

    tracescope attach tracepoint:syscalls:sys_enter_execve
    tracescope attach 'tracepoint:syscalls:sys_*_execve' --json -- make
"""

from __future__ import annotations

import argparse
import pwd
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from tracescope.attach.plan import Filters
from tracescope.attach.probes import find_formats
from tracescope.catalog.patterns import full_name
from tracescope.cli.output import note, print_json, print_text
from tracescope.errors import UsageError
from tracescope.host import open_host

if TYPE_CHECKING:
    from tracescope.attach.events import Event
    from tracescope.attach.launch import Launched
    from tracescope.attach.session import Session

__all__ = ("add_arguments", "run")

_PAUSE = 0.05
_START_TIMEOUT = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("probes", metavar="PROBE", nargs="+", help="a full name, or a glob such as 'tracepoint:sched:*exec'")
    filters = parser.add_argument_group("filters (in the kernel; several values of one filter: any of them)")
    filters.add_argument("--pid", type=_number, action="append", default=[], help="only this process")
    filters.add_argument("--tree", type=_number, action="append", default=[], metavar="PID", help="this process and its descendants")
    filters.add_argument("--uid", type=_user, action="append", default=[], help="only this user (name or number)")
    filters.add_argument("--comm", action="append", default=[], help="only this command name (at most 15 bytes)")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after so many seconds")
    parser.add_argument("--count", type=_number, metavar="N", help="stop after so many events")
    parser.add_argument("--json", action="store_true", help="one event a line, as an object")
    parser.add_argument("--print-program", action="store_true", help="print the BPF program in C and attach nothing")
    parser.usage = "tracescope attach PROBE... [options] [-- CMD...]"


def run(args: argparse.Namespace) -> int:
    """Attach, print, detach."""
    from tracescope.attach.launch import launch
    from tracescope.attach.open import open_plan, open_session
    from tracescope.attach.program import program_text

    host = open_host(args.host)
    formats = find_formats(host, [full_name(probe) for probe in args.probes])
    filters = Filters(tuple(args.pid), tuple(args.tree), tuple(args.uid), tuple(args.comm))
    if args.print_program:
        sys.stdout.write(program_text(open_plan(host, formats, filters)))
        return 0
    if args.run_command and any((args.pid, args.tree)):
        raise UsageError("-- CMD traces the command alone", "--pid and --tree name other processes", "leave one out")
    child = launch(args.run_command) if args.run_command else None
    try:
        if child:
            filters = Filters((), (child.pid,), filters.uid, filters.comm)
        session = open_session(host, formats, filters)
        for text in (*host.notes, *session.plan.notes):
            note(text)
        with _interrupts():
            return _trace(session, child, args)
    finally:
        if child:
            child.abandon()


def _trace(session: Session, child: Launched | None, args: argparse.Namespace) -> int:
    from tracescope.attach.events import event_json

    show: Callable[[Event], None] = (lambda event: print_json(event_json(event))) if args.json else _print_text
    printed, status = 0, 0
    try:
        with session:
            session.wait_running(_START_TIMEOUT)
            for probe, error in session.failed:
                note(f"not attached: {probe.name}: {error}")
            if child:
                child.release()
            elif not args.json:
                note(f"attached {len(session.plan.probes) - len(session.failed)} probes: Ctrl-C detaches")
            for record in _records(session, child, args):
                show(session.decode(record))
                printed += 1
                if printed == args.count:
                    break
            sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    if not args.count or printed < args.count:
        # What was still on its way when the session ended.
        for record in session.take():
            show(session.decode(record))
            printed += 1
    sys.stdout.flush()
    counts = session.counts()
    if counts.dropped:
        note(f"{counts.dropped} events came faster than they could be printed")
    sys.stderr.write(f"{printed} events, {counts.lost + counts.dropped} lost\n")
    if child and status == 0 and child.poll() is None:
        note(f"the command goes on as pid {child.pid}")
    return status


def _records(session: Session, child: Launched | None, args: argparse.Namespace) -> Iterator[bytes]:
    """Records as they come, until the time is up or the command has ended."""
    end = None if args.duration is None else time.monotonic() + args.duration
    while True:
        over = (end is not None and time.monotonic() >= end) or (child is not None and child.poll() is not None)
        records = session.take()
        yield from records
        if over:
            return
        if records:
            sys.stdout.flush()
        else:
            time.sleep(_PAUSE)


def _print_text(event: Event) -> None:
    from tracescope.attach.events import event_words

    ppid = "-" if event.ppid is None else event.ppid
    moment = datetime.fromtimestamp(event.time_ns // 1000 / 1e6).strftime("%H:%M:%S.%f")
    where = f"{moment} {event.cpu:3} {event.pid:7} {event.tid:7} {ppid:>7}"
    print_text(f"{where} {event.comm:15} {event.probe.removeprefix('tracepoint:')} {event_words(event)}".rstrip())


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM ends the session like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _user(text: str) -> int:
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"there is no user {text!r}") from None
