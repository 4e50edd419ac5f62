"""What `attach`, `exec` and `export` ask alike on the command line: whose events, until when, through which backend."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tracescope.attach.backend_names import AUTO, BACKENDS
from tracescope.attach.plan import Filters
from tracescope.cli.output import note
from tracescope.errors import UsageError

if TYPE_CHECKING:
    from tracescope.attach.launch import Launched
    from tracescope.host import Host

__all__ = (
    "add_backend",
    "add_filters",
    "add_limits",
    "filters_of",
    "number",
    "positive",
    "preferred_backend",
    "seconds",
    "traced_command",
)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """The options that say whose events are wanted."""
    filters = parser.add_argument_group("filters (in the kernel; several values of one filter: any of them)")
    filters.add_argument("--pid", type=number, action="append", default=[], help="only this process")
    filters.add_argument(
        "--tree", type=number, action="append", default=[], metavar="PID", help="this process and its descendants"
    )
    filters.add_argument("--uid", type=_user, action="append", default=[], help="only this user (name or number)")
    filters.add_argument("--comm", action="append", default=[], help="only this command name (at most 15 bytes)")
    filters.add_argument(
        "--cgroup", action="append", default=[], metavar="PATH", help="only this control group and those below it"
    )
    filters.add_argument("--tid", type=number, action="append", default=[], help="only this thread")
    filters.add_argument(
        "--container", type=number, action="append", default=[], metavar="PID", help="only the pid namespace of PID"
    )


def filters_of(host: Host, args: argparse.Namespace) -> Filters:
    """The filters that were given; raises TraceScopeError for a control group or container that is not there."""
    from tracescope.attach.ask.cgroups import find_cgroup
    from tracescope.attach.ask.namespaces import find_namespace

    cgroups = tuple(find_cgroup(host, path) for path in args.cgroup)
    containers = tuple(find_namespace(host, pid) for pid in args.container)
    return Filters(
        tuple(args.pid), tuple(args.tree), tuple(args.uid), tuple(args.comm), cgroups, tuple(args.tid), containers
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The option that says what attaches."""
    parser.add_argument(
        "--backend",
        choices=(AUTO, *BACKENDS),
        help="what attaches; auto: the first that is there and can do this (setting: backend)",
    )


def preferred_backend(args: argparse.Namespace) -> str:
    """The backend of the command line, else that of the settings."""
    if args.backend is None:
        from tracescope.ui.config import read_config

        try:
            return read_config().backend
        except UsageError as error:
            note(str(error))
            return AUTO
    return str(args.backend)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The options that say when to stop."""
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after so many seconds")
    parser.add_argument("--count", type=positive, metavar="N", help="stop after so many events")


@contextmanager
def traced_command(host: Host, args: argparse.Namespace) -> Iterator[tuple[Filters, Launched | None]]:
    """The filters, and the command held back before its first instruction, if there is one."""
    from tracescope.attach.launch import launch

    filters = filters_of(host, args)
    if args.run_command and any((args.pid, args.tree)):
        raise UsageError("-- CMD traces the command alone", "--pid and --tree name other processes", "leave one out")
    for pid in (*args.pid, *args.tree, *args.tid):
        if host.live and not host.exists(f"/proc/{pid}"):
            note(f"there is no process {pid} now: only one that gets this number later is shown")
    child = launch(args.run_command) if args.run_command else None
    try:
        if child:
            filters = replace(filters, tree=(child.pid,))
        elif not (args.pid or args.tree):
            filters = replace(filters, but_not=(os.getpid(),))
        yield filters, child
    finally:
        if child:
            child.abandon()


def number(text: str) -> int:
    """A number that is not negative, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def positive(text: str) -> int:
    """A number above zero, for argparse."""
    if found := number(text):
        return found
    raise argparse.ArgumentTypeError("0 is too few: at least 1")


def seconds(text: str) -> float:
    """Seconds, not negative, for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if 0 <= found < math.inf:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def _user(text: str) -> int:
    from tracescope.attach.ask.options import user_id

    try:
        return user_id(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.what) from None
