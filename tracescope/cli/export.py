"""Write the probes as a program for another tracer: a bpftrace script, a BCC program, a libbpf project.

tracescope export tracepoint:syscalls:sys_enter_execve --as bpftrace
tracescope export tracepoint:syscalls:sys_enter_openat --pair --as libbpf -o DIR
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path

from tracescope.attach.plan import Filters
from tracescope.catalog.patterns import full_name
from tracescope.cli.output import note
from tracescope.cli.session import add_filters
from tracescope.errors import Refused, TraceScopeError, UsageError, from_oserror
from tracescope.export.tracer import Tracer
from tracescope.host import Host, open_host

__all__ = ("add_arguments", "run")

_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:[.-].*)?", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("probes", metavar="PROBE", nargs="+", help="a full name, or a glob")
    parser.add_argument(
        "--as", dest="form", required=True, choices=("bpftrace", "bcc", "libbpf"), help="for which tracer"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="write files there instead of standard output")
    parser.add_argument("--target", metavar="VERSION", help="bpftrace's version: 0.11 to 0.27; else the installed one")
    parser.add_argument("--one-line", action="store_true", help="bpftrace as one line for a shell")
    parser.add_argument("--pair", action="store_true", help="entry and return as one event, with its duration")
    parser.add_argument("--where", metavar="CONDITION", default="", help="only events that meet it")
    parser.add_argument("--show", metavar="VALUE", action="append", default=[], help="print this too")
    parser.add_argument("--count-by", metavar="KEYS", default="", help="count by comm, pid, args.fd, kstack …")
    parser.add_argument("--hist", metavar="VALUE", default="", help="a histogram in powers of two")
    add_filters(parser)


def run(args: argparse.Namespace) -> int:
    """Print the program, or write its files."""
    host = open_host(args.host)
    files = _files(host, _tracer(host, args), args)
    if args.output:
        _write(Path(args.output), files)
    elif len(files) == 1:
        sys.stdout.write(next(iter(files.values())))
    else:
        sys.stdout.write("".join(f"==> {name} <==\n{text}\n" for name, text in files.items()))
    return 0


def _tracer(host: Host, args: argparse.Namespace) -> Tracer:
    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.ask.cgroups import find_cgroup
    from tracescope.attach.ask.namespaces import find_namespace
    from tracescope.attach.open import kernel_types, open_plan
    from tracescope.attach.targets.find import find_targets

    targets = tuple(find_targets(host, [full_name(probe) for probe in args.probes], pair=args.pair))
    cgroups = tuple(find_cgroup(host, path) for path in args.cgroup)
    containers = tuple(find_namespace(host, pid) for pid in args.container)
    filters = Filters(
        tuple(args.pid), tuple(args.tree), tuple(args.uid), tuple(args.comm), cgroups, tuple(args.tid), containers
    )
    types, show = kernel_types(host), tuple(args.show)
    plan = open_plan(host, targets, filters, asked=Asked(args.where, show), types=types)
    words = targets[0].probe.rpartition(":")[2]
    name = re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_") or "tracer"
    name = name if name[0].isalpha() else f"trace_{name}"
    return Tracer(name, targets, filters, args.where, show, args.count_by, args.hist, plan, types)


def _files(host: Host, tracer: Tracer, args: argparse.Namespace) -> dict[str, str]:
    """The texts by file name."""
    if args.form == "bpftrace":
        from tracescope.export.bpftrace import one_liner, script

        version = _version(args.target) if args.target else _installed(host)
        text = one_liner(tracer, version) if args.one_line else script(tracer, version)
        return {f"{tracer.name}.{'sh' if args.one_line else 'bt'}": text}
    if args.target or args.one_line:
        raise UsageError("--target and --one-line are about bpftrace", f"this is {args.form}", "leave them out")
    try:
        module = import_module(f"tracescope.export.{args.form}")
    except ModuleNotFoundError as error:
        if error.name != f"tracescope.export.{args.form}":
            raise
        raise Refused(f"this TraceScope cannot write for {args.form}", "", "--as bpftrace") from None
    files: dict[str, str] = module.project(tracer)
    return files


def _version(text: str) -> tuple[int, int]:
    found = _VERSION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no version of bpftrace", "", "--target 0.23")
    return int(found[1]), int(found[2])


def _installed(host: Host) -> tuple[int, int]:
    """The version of the host's bpftrace; the newest that is written for where there is none."""
    from tracescope.export.bpftrace import NEWEST

    try:
        words = host.run("bpftrace", "--version").decode("ascii", "replace").split()
    except TraceScopeError:
        return NEWEST
    found = _VERSION.fullmatch(words[-1]) if words else None
    return (int(found[1]), int(found[2])) if found else NEWEST


def _write(folder: Path, files: dict[str, str]) -> None:
    """All files or none: nothing that is there already is written over."""
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise Refused(f"{folder / there[0]} is there already", "nothing is written over", "name another folder with -o")
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            note(f"written: {path}")
    except OSError as error:
        raise from_oserror(error, str(error.filename or folder)) from None
