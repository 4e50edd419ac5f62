"""`tracescope`: the browser without a command, else one of the commands.

Exit status: 0 done, 1 refused, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from tracescope import __version__
from tracescope.cli.output import complain
from tracescope.errors import Refused, TraceScopeError, UsageError
from tracescope.printable import printable

__all__ = ("build_parser", "main")

COMMANDS = {
    "list": ("list_probes", "list probes, in bpftrace's own words and layout"),
    "show": ("show", "show everything known of one probe"),
    "symbols": ("symbols", "list the kernel's symbols with their class, scope and verdict"),
    "choose": ("choose", "say which probe to take for a purpose, best first, and why"),
    "attach": ("attach", "attach probes and print their events"),
    "exec": ("exec", "show every exec, every failed one, and how each process ended"),
    "export": ("export", "write the probes as a program for bpftrace, BCC or libbpf"),
    "replay": ("replay", "show what a session recorded: its events, its processes, as CSV or for Perfetto"),
    "snapshot": ("snapshot", "write what this host shows to one zip, to be read on any machine"),
    "diff": ("diff", "say what differs between two hosts: probes, fields, prototypes, verdicts"),
    "doctor": ("doctor", "say what works on this host, what does not, why, and the fix"),
}
"""Each command: the module of this package that holds its `add_arguments` and `run`, and its line in the help."""

_WITH_COMMAND = ("attach", "exec")

_EPILOG = """\
exit status: 0 done, 1 refused (what, why, fix on standard error), 2 wrong usage, 130 interrupted
--host FILE reads a snapshot (zip or folder) instead of this machine: every command that reads takes it"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse itself loads shutil for that, at every start."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except OSError:
            columns = 80
        super().__init__(prog, width=columns - 2)


class _Parser(argparse.ArgumentParser):
    """Says beside what is wrong how to mend it."""

    def error(self, message: str) -> NoReturn:
        """Usage, what is wrong and the fix on standard error; exit status 2."""
        near = _near(message, [*self._option_string_actions, *(COMMANDS if self.prog == "tracescope" else ())])
        fix = f"did you mean {near}; " if near else ""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {printable(message)}\n  fix: {fix}{self.prog} --help\n")


class _CommandParser(_Parser):
    """Says itself what it does not know: the parser above it would point to its own help."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """As argparse, but nothing may be left over."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def _near(message: str, known: Sequence[str]) -> str:
    """The option or command that was meant by the word that `message` names."""
    from difflib import get_close_matches

    named = re.search(r"(?:unrecognized arguments: |invalid choice: ')([^\s'=]+)", message)
    return next(iter(get_close_matches(named[1], known, 1)), "") if named else ""


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line; only the modules of commands that it names are imported."""
    parser = _Parser(
        prog="tracescope",
        description="Explore everything that can be traced in a running Linux kernel, and attach with one key.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"tracescope {__version__}")
    _add_reading(parser)
    commands = parser.add_subparsers(
        prog="tracescope", title="commands", metavar="COMMAND", dest="command", parser_class=_CommandParser
    )
    for name, (module_name, text) in COMMANDS.items():
        module = import_module(f"tracescope.cli.{module_name}") if name in words else None
        command = commands.add_parser(
            name,
            help=text,
            description=module.__doc__ if module else None,
            formatter_class=_Help,
        )
        if module:
            _add_reading(command, default=argparse.SUPPRESS)
            module.add_arguments(command)
    return parser


def _add_reading(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The options of everything that reads; a command's default must not hide what stood before the command."""
    parser.add_argument("--host", metavar="ZIP|DIR", help="a snapshot instead of this machine", default=default)
    parser.add_argument(
        "--no-cache", action="store_true", help="read every source anew, and keep nothing", default=default
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never a traceback for what a user can meet."""
    if sys.stdout is None:
        complain(Refused("the output cannot be written", "standard output is closed", "leave it open, or > /dev/null"))
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that is not UTF-8 shows what it cannot encode as escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        complain(error)
        return 2
    except TraceScopeError as error:
        complain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) went away: that is its right.
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _drop_output()
        complain(Refused("the output cannot be written", os.strerror(error.errno)))
        return 1


def _run(arguments: list[str]) -> int:
    words, command = _split(arguments)
    args = build_parser(words).parse_args(words)
    args.run_command = command
    if command and args.command not in _WITH_COMMAND:
        raise UsageError(f"nothing goes behind `--` here: {' '.join(command)}", "only attach and exec start a command")
    if args.no_cache:
        from tracescope.catalog.cache import OFF

        os.environ[OFF] = "off"
    if args.command is None:
        return _browse(args.host)
    status: int = import_module(f"tracescope.cli.{COMMANDS[args.command][0]}").run(args)
    sys.stdout.flush()
    return status


def _drop_output() -> None:
    """What is still in the buffer has nowhere to go: no complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The words before `--`, and the command to run behind it."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _browse(host: str | None) -> int:
    from tracescope.host import open_host

    # The screen is drawn on standard error.
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        why = "standard input, output or error is not one"
        raise UsageError("the browser needs a terminal", why, "tracescope list --help")
    opened = open_host(host)
    from tracescope.ui.app import run

    return run(opened)
