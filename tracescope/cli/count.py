"""`attach --count-by`, `--hist`, `--lhist`, `--sum`, `--stack`: what the kernel counts, printed at the end or often."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracescope.cli.output import note, print_json, print_text
from tracescope.cli.scope import positive, seconds
from tracescope.cli.session import START_TIMEOUT, more_files, terminable
from tracescope.errors import UsageError

if TYPE_CHECKING:
    from tracescope.attach.ask.keys import Counted
    from tracescope.attach.ask.summary import SummaryRow
    from tracescope.attach.counting.session import SummarySession
    from tracescope.attach.launch import Launched

__all__ = ("add_counting", "count", "counted_of")

_PAUSE = 0.05


def add_counting(parser: argparse.ArgumentParser) -> None:
    """The options that say what is counted in the kernel instead of handed over."""
    group = parser.add_argument_group("counting (in the kernel; nothing is handed over)")
    group.add_argument("--count-by", metavar="KEYS", help="count by comm, pid, args.fd, kstack …, with commas between")
    group.add_argument("--hist", metavar="VALUE", help="a histogram in powers of two: args.count, ret, duration_ns")
    group.add_argument("--lhist", metavar="VALUE:LOW:HIGH:STEP", help="a histogram in equal steps")
    group.add_argument("--sum", metavar="VALUE", help="count, total, average and range of a value")
    group.add_argument("--stack", choices=("kernel", "user", "both"), help="count by these stacks too")
    group.add_argument("--folded", action="store_true", help="print stacks as a flame graph takes them")
    group.add_argument("--top", type=positive, metavar="N", help="only the N largest")
    group.add_argument("--interval", type=seconds, metavar="S", help="print what came in every S seconds")


def counted_of(args: argparse.Namespace) -> Counted | None:
    """What is to be counted, or None when events are; raises UsageError with the place of what is wrong."""
    measures = [text for text in (args.hist, args.lhist, args.sum) if text]
    if len(measures) > 1:
        raise UsageError("--hist, --lhist and --sum are one each", "a session looks at one value", "leave one out")
    if not measures and args.count_by is None and not args.stack:
        return None
    if args.json and args.folded:
        raise UsageError("--folded is no JSON", "", "leave one out")
    from tracescope.attach.ask.keys import Counted, parse_keys, parse_linear
    from tracescope.attach.ask.summary import KeyKind, Pow2
    from tracescope.attach.expression.parse import parse

    kernel, user = KeyKind.KERNEL_STACK, KeyKind.USER_STACK
    stacks = {"kernel": (kernel,), "user": (user,), "both": (kernel, user), None: ()}[args.stack]
    keys = parse_keys(args.count_by or "", stacks)
    if args.lhist:
        return Counted(keys, *parse_linear(args.lhist))
    return Counted(keys, parse(measures[0]) if measures else None, Pow2() if args.hist else None)


def count(session: SummarySession, child: Launched | None, args: argparse.Namespace) -> int:
    """Run the session until its limit, the end of the command, or an interrupt; the exit status."""
    status = 0
    before: list[SummaryRow] = []
    with terminable():
        try:
            more_files()
            with session:
                session.wait_running(START_TIMEOUT)
                for probe, error in session.failed:
                    note(f"not attached: {probe.name}: {error}")
                if child:
                    child.release()
                before = _watch(session, child, args)
        except KeyboardInterrupt:
            status = 130
    _print(session, _new(session.summary(), before), args)
    counts = session.counts()
    sys.stdout.flush()
    if child and status == 0 and child.poll() is None:
        note(f"the command goes on as pid {child.pid}")
    sys.stderr.write(f"{counts.events} events, {counts.lost} lost\n")
    return status


def _watch(session: SummarySession, child: Launched | None, args: argparse.Namespace) -> list[SummaryRow]:
    """Wait for the end, printing what came in each interval; what was printed by then."""
    began = time.monotonic()
    printed: list[SummaryRow] = []
    due = began + args.interval if args.interval else None
    while not (
        (args.duration is not None and time.monotonic() - began >= args.duration)
        or (child and child.poll() is not None)
    ):
        time.sleep(_PAUSE)
        if due is not None and time.monotonic() >= due:
            rows = session.summary()
            _print(session, _new(rows, printed), args)
            sys.stdout.flush()
            printed, due = rows, due + args.interval
    return printed


def _new(rows: Sequence[SummaryRow], printed: Sequence[SummaryRow]) -> list[SummaryRow]:
    from tracescope.attach.ask.summary import difference

    return difference(rows, printed) if printed else list(rows)


def _print(session: SummarySession, rows: Sequence[SummaryRow], args: argparse.Namespace) -> None:
    from tracescope.attach.counting.text import folded_lines, row_json, summary_lines

    frames = session.symbols.frames
    if args.json:
        for row in sorted(rows, key=lambda row: -row.count)[: args.top]:
            print_json(row_json(session.plan, row, frames))
        return
    lines = (
        folded_lines(rows, frames)[: args.top] if args.folded else summary_lines(session.plan, rows, frames, args.top)
    )
    if lines:
        print_text(*lines)
