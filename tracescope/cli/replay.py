"""Show what a session recorded (attach --save, exec --save).

Without options, on a terminal, the TUI opens with time control; else the events are printed as they were recorded.

    tracescope replay storm.rec --processes
    tracescope replay storm.rec --perfetto -o storm.json    # open in ui.perfetto.dev
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tracescope.cli.output import note, print_json, print_text
from tracescope.collecting import uncollected
from tracescope.errors import Damaged, Refused, from_oserror
from tracescope.recording import Recording, open_recording

if TYPE_CHECKING:
    from tracescope.processes import Summary

__all__ = ("add_arguments", "run")

_PROGRAMS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a recording")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one event a line, as an object")
    form.add_argument("--csv", action="store_true", help="one event a line, always the same columns")
    form.add_argument("--perfetto", action="store_true", help="a trace for ui.perfetto.dev and chrome://tracing")
    form.add_argument("--processes", action="store_true", help="what the processes add up to: programs, loops")
    parser.add_argument("--speed", type=_speed, metavar="N", help="print as it went, N times as fast (0.1, 1, 10)")
    parser.add_argument("-o", "--output", metavar="OUT", help="write to this new file instead of standard output")


def run(args: argparse.Namespace) -> int:
    """Open the TUI, or print."""
    recording = open_recording(args.file)
    chosen = args.json or args.csv or args.perfetto or args.processes or args.speed or args.output
    if not chosen and sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty():
        from tracescope.ui.app import replay

        return replay(recording)
    with _output(args.output):
        _print(recording, args)
        sys.stdout.flush()
    for text in recording.notes():
        note(text)
    lost = "unknown" if recording.lost is None else recording.lost
    sys.stderr.write(f"{recording.events} events, {lost} lost\n")
    return 0


def _print(recording: Recording, args: argparse.Namespace) -> None:
    events: Iterable[dict[str, Any]] = _paced(recording, args.speed) if args.speed else recording
    kind = recording.header.kind
    if args.csv or args.perfetto:
        from tracescope.recording_export import csv_lines, perfetto_lines

        for line in (csv_lines if args.csv else perfetto_lines)(kind, events):
            sys.stdout.write(line)
    elif args.processes:
        _print_processes(recording)
    else:
        show = print_json if args.json else _print_exec if kind == "exec" else _print_attach
        for event in events:
            show(event)
            if args.speed:
                sys.stdout.flush()


def _paced(events: Iterable[dict[str, Any]], speed: float) -> Iterator[dict[str, Any]]:
    """The events, each when its time has come; one without a readable time comes at once."""
    from tracescope.processes import time_of

    began, first = time.monotonic(), None
    for event in events:
        try:
            moment = time_of(event["time"])
        except (KeyError, TypeError, ValueError):
            yield event
            continue
        first = moment if first is None else first
        wait = (moment - first) / 1e9 / speed - (time.monotonic() - began)
        if wait > 0:
            time.sleep(wait)
        yield event


def _print_exec(data: dict[str, Any]) -> None:
    from tracescope.processes import event_from_json, event_line

    try:
        event = event_from_json(data)
    except Damaged as error:
        note(str(error))
        return
    if event.name != "fork":
        print_text(event_line(event))


def _print_attach(data: dict[str, Any]) -> None:
    from tracescope.attach.decode.event_lines import text_line
    from tracescope.attach.decode.events import Event
    from tracescope.processes import time_of

    try:
        values: dict[str, Any] = {key: data.get(key) for key in _EVENT_KEYS}
        line = text_line(Event(time_of(data["time"]), **values))
    except (AttributeError, KeyError, TypeError, ValueError):
        note("an event of this recording cannot be read")
        return
    print_text(line)


_EVENT_KEYS = ("cpu", "probe", "pid", "tid", "ppid", "comm", "args", "ret", "duration_ns", "words")


def _print_processes(recording: Recording) -> None:
    from tracescope.processes import ProcessTable, events_from_json, events_from_lines, summarize, summary_line

    if recording.header.kind != "exec":
        why = "it holds the events of probes, not of processes"
        raise Refused(f"{recording.path} has no processes", why, "record with tracescope exec --save FILE")
    table = ProcessTable(ncpus=recording.header.ncpus)
    unreadable = 0
    with uncollected():
        for events, rows in recording.decoded(events_from_lines):
            more, damaged = events_from_json(rows)
            unreadable += damaged
            for event in (*events, *more):
                table.add(event)
    if unreadable:
        note(f"{unreadable} events could not be read")
    summary = summarize(table)
    print_text(summary_line(summary))
    _print_programs(summary)


def _print_programs(summary: Summary) -> None:
    from tracescope.processes import duration_words, share_words

    print_text("")
    print_text(
        f"{'starts':>8} {'a minute':>9} {'failed':>7} {'alive':>6} {'cpu':>8} {'share':>6} {'median':>8}  program"
    )
    for row in summary.programs[:_PROGRAMS]:
        life = "-" if row.median_life_ns is None else duration_words(row.median_life_ns)
        rate = f"{row.starts_per_minute:,.0f}" if summary.settled else "-"
        numbers = f"{row.starts:8} {rate:>9} {row.failures:7} {row.alive:6}"
        times = f"{duration_words(row.cpu_ns):>8} {share_words(row.seen_share):>6} {life:>8}"
        exits = ", ".join(f"{count} {words}" for words, count in row.exits[:3])
        print_text(f"{numbers} {times}  {row.program or '(others)'}  {exits}".rstrip())
    if len(summary.programs) > _PROGRAMS:
        print_text(f"{len(summary.programs) - _PROGRAMS} more programs")


@contextmanager
def _output(path: str | None) -> Iterator[None]:
    """Standard output goes into a new file, for its owner alone."""
    if path is None:
        yield
        return
    try:
        file: IO[str] = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", newline=""
        )
    except FileExistsError:
        raise Refused(f"{path} is there already", "nothing is overwritten", "take another name") from None
    except OSError as error:
        raise from_oserror(error, str(Path(path))) from None
    before, sys.stdout = sys.stdout, file
    try:
        with file:
            yield
    finally:
        sys.stdout = before


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: 1 is as it went, 10 ten times as fast")
    return speed
