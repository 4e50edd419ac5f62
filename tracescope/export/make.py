"""From probes and options to the files of an export: what the command line and the screen share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.kernel.transport import Transport
from tracescope.errors import Refused, TraceScopeError, UsageError, from_oserror
from tracescope.export.tracer import Tracer
from tracescope.host import Host

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog
    from tracescope.sources.btf import Btf

__all__ = ("FORMS", "export_files", "open_tracer", "write_files")

FORMS = ("bpftrace", "bcc", "libbpf")
_EXEC = re.compile(r"tracepoint:syscalls:sys_(?:enter|exit)_(execve|execveat)")
_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:[.-].*)?", re.ASCII)


def open_tracer(
    host: Host,
    probes: Sequence[str],
    options: AttachOptions,
    catalog: Catalog | None = None,
    transport: Transport | None = None,
) -> Tracer:
    """The tracer of these full names; raises TraceScopeError. Reads the host: belongs into a thread.

    Its events come by `transport`, or by the best that this host has.
    """
    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.open import kernel_types, open_plan
    from tracescope.attach.targets.btf import with_types
    from tracescope.attach.targets.find import find_targets
    from tracescope.attach.targets.target import Shape

    types = kernel_types(host)
    names, calls = _exec_pairs(probes) if options.pair else (list(probes), [])
    found = find_targets(host, names, pair=options.pair, catalog=catalog) if names else []
    for call in calls:
        # A session has no such pair: a call that succeeds returns to another program.
        enter, end = find_targets(host, call, catalog=catalog)
        found.append(replace(enter, end=end))
    targets = tuple(with_types(target, types) for target in found)
    alone = [replace(target, end=None) if target.shape is Shape.EXEC else target for target in targets]
    asked = Asked() if calls else Asked(options.where, options.show)
    plan = open_plan(host, alone, options.filters, asked=asked, types=types)
    words = targets[0].probe.rpartition(":")[2]
    name = re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_") or "tracer"
    name = name if name[0].isalpha() else f"trace_{name}"
    return Tracer(
        name, targets, options.filters, options.where, options.show, _keys(options), options.hist, plan, types,
        count=options.count, lhist=options.lhist, sum=options.sum, transport=transport or _transport(host, types),
    )  # fmt: skip


def _exec_pairs(probes: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Other names, and both ends of execve and execveat where one is named."""
    found = {name: _EXEC.fullmatch(name) for name in dict.fromkeys(probes)}
    calls = dict.fromkeys(match[1] for match in found.values() if match)
    ends = [(f"tracepoint:syscalls:sys_enter_{call}", f"tracepoint:syscalls:sys_exit_{call}") for call in calls]
    return [name for name, match in found.items() if not match], ends


def _transport(host: Host, types: Btf | None) -> Transport:
    """What this host's kernel has: a ring buffer, unless it is seen to have none (before Linux 5.8)."""
    if types is not None and types.find("struct bpf_ringbuf") is not None:
        return Transport.RING
    try:
        symbols = host.read("/proc/kallsyms")
    except TraceScopeError:
        return Transport.RING
    # A file without the older of the two says nothing.
    return Transport.RING if b" bpf_ringbuf_output" in symbols or b" bpf_map_" not in symbols else Transport.PERF


def _keys(options: AttachOptions) -> str:
    """What is counted by, the stacks among it."""
    stacks = {"": (), "kernel": ("kstack",), "user": ("ustack",), "both": ("kstack", "ustack")}[options.stack]
    return ", ".join((*([options.count_by] if options.count_by.strip() else ()), *stacks))


def export_files(host: Host, tracer: Tracer, form: str, *, target: str = "", one_line: bool = False) -> dict[str, str]:
    """The texts by file name; `target` is a version of bpftrace. Raises Refused, UsageError."""
    if form == "bpftrace":
        from tracescope.export.bpftrace.script import one_liner, script

        version = _version(target) if target else _installed(host)
        text = one_liner(tracer, version) if one_line else script(tracer, version)
        return {f"{tracer.name}.{'sh' if one_line else 'bt'}": text}
    if target or one_line:
        raise UsageError("--target and --one-line are about bpftrace", f"this is {form}", "leave them out")
    if form == "bcc":
        from tracescope.export.bcc import project as bcc

        return bcc.project(tracer)
    from tracescope.export.libbpf import project as libbpf

    return libbpf.project(tracer)


def _version(text: str) -> tuple[int, int]:
    found = _VERSION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no version of bpftrace", "", "--target 0.23")
    return int(found[1]), int(found[2])


def _installed(host: Host) -> tuple[int, int]:
    """The version of the host's bpftrace; the newest that is written for where there is none."""
    from tracescope.export.bpftrace.script import NEWEST

    try:
        words = host.run("bpftrace", "--version").decode("ascii", "replace").split()
    except TraceScopeError:
        return NEWEST
    found = _VERSION.fullmatch(words[-1]) if words else None
    return (int(found[1]), int(found[2])) if found else NEWEST


def write_files(folder: Path, files: dict[str, str]) -> list[Path]:
    """All files or none: nothing that is there already is written over. The paths; raises Refused, TraceScopeError."""
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise Refused(f"{folder / there[0]} is there already", "nothing is written over", "name another folder")
    written = []
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(path)
    except OSError as error:
        raise from_oserror(error, str(error.filename or folder)) from None
    return written
