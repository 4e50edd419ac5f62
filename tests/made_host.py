"""A host made by hand: a snapshot folder with a few symbols and events, for what no recorded host shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import SnapshotHost

KALLSYMS = "proc/kallsyms"
FUNCTIONS = "sys/kernel/tracing/available_filter_functions"
BLACKLIST = "sys/kernel/debug/kprobes/blacklist"
LOCKDOWN = "sys/kernel/security/lockdown"
PERF = "tools/perf-list.txt"
BPFTRACE = "tools/bpftrace-l.txt"


def kallsyms(*rows: str) -> str:
    """`T vfs_read` or `t fuse_open fuse` → rows of /proc/kallsyms, 16 bytes apart."""
    lines = []
    for number, row in enumerate(rows, 1):
        letter, name, *module = row.split(" ")
        lines.append(
            f"{0xFFFFFFFF81000000 + 16 * number:016x} {letter} {name}" + (f"\t[{module[0]}]" if module else "")
        )
    return "\n".join((*lines, ""))


def event_format(name: str, *fields: str, number: int = 7) -> str:
    """`int a`, `char b[16]` → a format file; every field is 8 bytes."""
    rows = [f"\tfield:{field};\toffset:{8 + 8 * place};\tsize:8;\tsigned:0;" for place, field in enumerate(fields)]
    return "\n".join((f"name: {name}", f"ID: {number}", "format:", *rows, "", 'print fmt: "%d", REC->a', ""))


def event_path(group: str, name: str) -> str:
    """Where an event's format lies."""
    return f"sys/kernel/tracing/events/{group}/{name}/format"


def make_host(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write the files of a host; the folder is what `--host` takes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return folder


def made_catalog(folder: Path, files: Mapping[str, str | bytes]) -> Catalog:
    """The catalog of such a host, from every source it has."""
    return read_sources(SnapshotHost(make_host(folder, files)), ALL_SOURCES)
