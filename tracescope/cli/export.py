"""Write the probes as a program for another tracer: a bpftrace script, a BCC program, a libbpf project.

tracescope export tracepoint:syscalls:sys_enter_execve --as bpftrace
tracescope export tracepoint:syscalls:sys_enter_openat --pair --as libbpf -o DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.kernel.transport import Transport
from tracescope.catalog.patterns import full_name
from tracescope.cli.output import note
from tracescope.cli.scope import add_filters, filters_of
from tracescope.errors import UsageError
from tracescope.export.make import FORMS, export_files, open_tracer, write_files
from tracescope.host import Host, open_host

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("probes", metavar="PROBE", nargs="+", help="a full name, or a glob")
    parser.add_argument("--as", dest="form", required=True, choices=FORMS, help="for which tracer")
    parser.add_argument("-o", "--output", metavar="DIR", help="write files there instead of standard output")
    parser.add_argument("--target", metavar="VERSION", help="bpftrace's version: 0.11 to 0.27; else the installed one")
    parser.add_argument("--one-line", action="store_true", help="bpftrace as one line for a shell")
    parser.add_argument(
        "--transport",
        choices=("ring", "perf"),
        help="what carries events in BCC and libbpf; perf: also before Linux 5.8; else what the host has",
    )
    parser.add_argument("--pair", action="store_true", help="entry and return as one event, with its duration")
    parser.add_argument("--where", metavar="CONDITION", default="", help="only events that meet it")
    parser.add_argument("--show", metavar="VALUE", action="append", default=[], help="print this too")
    parser.add_argument("--count-by", metavar="KEYS", default="", help="count by comm, pid, args.fd, kstack …")
    parser.add_argument("--hist", metavar="VALUE", default="", help="a histogram in powers of two")
    parser.add_argument("--lhist", metavar="VALUE:LOW:HIGH:STEP", default="", help="in equal steps, for bpftrace")
    parser.add_argument("--sum", metavar="VALUE", default="", help="count, average and total, for bpftrace")
    parser.add_argument("--stack", choices=("kernel", "user", "both"), default="", help="count by these stacks too")
    add_filters(parser)
    parser.usage = f"tracescope export PROBE... --as {{{','.join(FORMS)}}} [-o DIR] [options]"


def run(args: argparse.Namespace) -> int:
    """Print the program, or write its files."""
    host = open_host(args.host)
    if args.transport and args.form == "bpftrace":
        raise UsageError("--transport is about BCC and libbpf", "bpftrace chooses by itself", "leave it out")
    transport = Transport[args.transport.upper()] if args.transport else None
    tracer = open_tracer(host, [full_name(probe) for probe in args.probes], _options(host, args), transport=transport)
    files = export_files(host, tracer, args.form, target=args.target or "", one_line=args.one_line)
    if args.output:
        for path in write_files(Path(args.output), files):
            note(f"written: {path}")
    elif len(files) == 1:
        sys.stdout.write(next(iter(files.values())))
    else:
        sys.stdout.write("".join(f"==> {name} <==\n{text}\n" for name, text in files.items()))
    return 0


def _options(host: Host, args: argparse.Namespace) -> AttachOptions:
    filters = filters_of(host, args)
    return AttachOptions(
        filters, args.pair, args.where, tuple(args.show), args.count_by, args.hist, args.lhist, args.sum, args.stack
    )
