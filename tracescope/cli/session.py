"""What `attach` and `exec` share: a session run to its end, its events handed to a sink."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from tracescope.cli.output import note
from tracescope.collecting import Collecting

if TYPE_CHECKING:
    from tracescope.attach.event_session import RecordSession
    from tracescope.attach.launch import Launched

__all__ = ("START_TIMEOUT", "Interrupt", "Sink", "more_files", "terminable", "trace")

EventT = TypeVar("EventT")

_PAUSE = 0.05
_AT_ONCE = 2000
_MANY = 20_000
# Seconds that a few milliseconds of work took, and how long this thread takes its full share then.
_STARVED, _HURRY = 0.25, 5.0
_STEP = 64
# So long what still waits is printed when the time is up; the rest is counted as lost. Seconds.
_LAST_EVENTS = 5.0
START_TIMEOUT = 60.0


class Sink(ABC, Generic[EventT]):
    """Where a session's events go."""

    patient = True
    """What is traced may go first, however long that takes; not so where events must be on disk within a second."""

    def ready(self) -> None:
        """Everything is attached."""

    @abstractmethod
    def show(self, events: Sequence[EventT]) -> int:
        """Take some events; how many of them count as events."""

    def pulse(self, lost: int) -> None:
        """Called several times a second, with the number of events lost so far."""

    def end(self, lost: int) -> None:
        """The session is over."""


def trace(session: RecordSession[EventT], child: Launched | None, args: argparse.Namespace, sink: Sink[EventT]) -> int:
    """Run the session until its limit, the end of the command, or an interrupt; the exit status."""
    printed, status = 0, 0
    with terminable() as interrupt:
        try:
            more_files()
            with session:
                session.wait_running(START_TIMEOUT)
                sink.ready()
                if child:
                    child.release()
                interrupt.waits = True
                for records in _records(session, child, args, sink, interrupt):
                    printed += sink.show([*map(session.decode, records)])
                    if printed == args.count:
                        break
        except KeyboardInterrupt:
            status = 130
    if interrupt.came:
        status = 130
    left = 0
    if not args.count or printed < args.count:
        # What was still on its way when the session ended; of a command everything is wanted.
        shown, left = _show_rest(session, sink, None if child and not interrupt.came else _LAST_EVENTS)
        printed += shown
    counts = session.counts()
    dropped = counts.dropped + left
    lost = counts.lost + dropped
    sink.end(lost)
    sys.stdout.flush()
    if dropped:
        note(f"{dropped} events came faster than they could be printed")
    if counts.skipped:
        note(f"{counts.skipped} events were left out, so that the rest could be printed in time")
    if child and status == 0 and child.poll() is None:
        note(f"the command goes on as pid {child.pid}")
    sys.stderr.write(f"{printed} events, {lost} lost\n")
    return status


def _show_rest(session: RecordSession[EventT], sink: Sink[EventT], seconds: float | None) -> tuple[int, int]:
    """Show what is waiting, for so long at most: how many were shown, and how many were left."""
    end = None if seconds is None else time.monotonic() + seconds
    records, shown = session.take(), 0
    for start in range(0, len(records), _STEP):
        if end is not None and time.monotonic() > end:
            return shown, len(records) - start
        shown += sink.show([*map(session.decode, records[start : start + _STEP])])
    return shown, 0


def _records(
    session: RecordSession[EventT],
    child: Launched | None,
    args: argparse.Namespace,
    sink: Sink[EventT],
    interrupt: Interrupt,
) -> Iterator[list[bytes]]:
    """Some records at a time, until the time is up, the command has ended, or somebody interrupts."""
    end = None if args.duration is None else time.monotonic() + args.duration
    # A limit is kept to the event.
    step = 1 if args.count else _STEP
    with _Background(stands_back=sink.patient) as background, Collecting() as collecting:
        while True:
            over = (end is not None and time.monotonic() >= end) or (child is not None and child.poll() is not None)
            records = session.take(_AT_ONCE)
            for start in range(0, len(records), step):
                background.look()
                yield records[start : start + step]
            if over or interrupt.came:
                return
            if len(records) < _AT_ONCE:
                sys.stdout.flush()
                # Not for each event as it comes: many at once cost the machine less.
                time.sleep(_PAUSE)
            background.look()
            collecting.update(busy=True)
            counts = session.counts()
            sink.pulse(counts.lost + counts.dropped)
            background.adjust(counts.waiting)


def more_files() -> None:
    """Two descriptors a probe: as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Background:
    """What is traced goes first: this thread takes only CPU that nobody wants, until too much is waiting for it."""

    def __init__(self, *, stands_back: bool) -> None:
        self._thread = threading.get_native_id()
        self._usual = self._now = os.sched_getscheduler(self._thread)
        # Without this right nobody comes back.
        self._looked, self._until = time.monotonic(), 0.0
        self._may = stands_back and os.geteuid() == 0 and self._usual == os.SCHED_OTHER

    def look(self) -> None:
        """Stand back no more for a while, where a few milliseconds of work took long: the machine is full.

        Nobody lets this thread run then, and it holds the interpreter's lock, which the reader wants too.
        """
        now = time.monotonic()
        if now - self._looked > _STARVED:
            self._until = now + _HURRY
            self.adjust(_MANY + 1)
        self._looked = now

    def adjust(self, waiting: int) -> None:
        """Stand back, or not, with so many records that nobody has taken."""
        hurry = waiting > _MANY or time.monotonic() < self._until
        policy = self._usual if hurry else os.SCHED_IDLE
        if self._may and policy != self._now:
            os.sched_setscheduler(self._thread, policy, os.sched_param(0))
            self._now = policy

    def __enter__(self) -> Self:
        self.adjust(0)
        return self

    def __exit__(self, *_: object) -> None:
        self.adjust(_MANY + 1)


class Interrupt:
    """SIGINT and SIGTERM: raised as KeyboardInterrupt; while somebody `waits` for it, the first one is only noted.

    So what is being shown is shown whole, and nothing that was taken is left out.
    """

    def __init__(self) -> None:
        self.waits = False
        self.came = False

    def __call__(self, *_: object) -> None:
        """The handler."""
        if not self.waits or self.came:
            raise KeyboardInterrupt
        self.came = True


@contextmanager
def terminable() -> Iterator[Interrupt]:
    """SIGTERM ends the session like Ctrl-C."""
    interrupt = Interrupt()
    before = {signal_: signal.getsignal(signal_) for signal_ in (signal.SIGINT, signal.SIGTERM)}
    for signal_, handler in before.items():
        # Who ignores Ctrl-C goes on doing so: a job in the background of a script.
        if signal_ == signal.SIGTERM or handler is not signal.SIG_IGN:
            signal.signal(signal_, interrupt)
    try:
        yield interrupt
    finally:
        for signal_, handler in before.items():
            signal.signal(signal_, handler)
