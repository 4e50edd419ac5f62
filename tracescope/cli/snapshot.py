"""Write what this host shows (symbols, events, types, output of tools) to one zip: what other commands take as --host.

Take it as root: what is forbidden to you is missing in it, and the command says so. Kernel addresses are kept: by them
boot-time code, for one, is told apart. They also tell an attacker where the kernel lies (KASLR): --no-addresses writes
zeros instead, for a file that is given away. The host's name is in tools/uname.txt. Only you can read the file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tracescope.cli.output import note, print_text
from tracescope.host import open_host
from tracescope.printable import printable
from tracescope.snapshot import write_snapshot
from tracescope.snapshot_text import snapshot_lines

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", metavar="FILE.zip", type=Path, help="the zip to write")
    parser.add_argument("--force", action="store_true", help="replace FILE.zip when it is there")
    parser.add_argument("--no-addresses", action="store_true", help="write every kernel address as zero")


def run(args: argparse.Namespace) -> int:
    """Write the snapshot, say what is in it and what is not."""
    host = open_host(args.host)
    progress = _show_progress if sys.stderr.isatty() else _no_progress
    try:
        report = write_snapshot(host, args.file, progress, addresses=not args.no_addresses, force=args.force)
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        host.close()
    for text in host.notes:
        note(text)
    for line in snapshot_lines(report):
        print_text(line)
    return 0


def _no_progress(path: str, done: int, total: int) -> None:
    """A log needs no progress."""


def _show_progress(path: str, done: int, total: int) -> None:
    if done % 50 == 0 or path.startswith("/tools/"):
        sys.stderr.write(f"\r\x1b[K{done * 100 // total:3} %  {printable(path)[:60]}")
        sys.stderr.flush()
