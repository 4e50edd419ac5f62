"""Say what works on this host, what does not, why, and the fix."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from tracescope.cli.output import print_json, print_text
from tracescope.doctor import Health, examine
from tracescope.host import open_host

__all__ = ("add_arguments", "run")

_MARKS = {Health.OK: "ok     ", Health.LIMITED: "limited", Health.BROKEN: "broken "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="one object a line")


def run(args: argparse.Namespace) -> int:
    """Print every check; it is no refusal when something is broken."""
    for check in examine(open_host(args.host)):
        if args.json:
            print_json(asdict(check))
            continue
        print_text(f"{_MARKS[check.health]}  {check.name:9}  {check.what}")
        if check.why:
            print_text(f"{'':20}why: {check.why}")
        if check.fix:
            print_text(f"{'':20}fix: {check.fix}")
    return 0
