"""Inside the guest: the workload, traced by TraceScope and by bpftrace; what it does is known beforehand."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.ask.keys import Counted
from tracescope.attach.borrowed import bpftrace
from tracescope.attach.borrowed.bpftrace import types_for_bpftrace
from tracescope.attach.counting.session import SummarySession, open_summary
from tracescope.attach.decode.events import Event
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.launch import launch
from tracescope.attach.life import Counts, ProgramSession
from tracescope.attach.open import kernel_types, open_plan
from tracescope.attach.plan import Filters
from tracescope.attach.session import Session
from tracescope.attach.targets.find import Finder
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.host import LiveHost

SessionT = TypeVar("SessionT", bound=ProgramSession)

NAME = "ts-known-name"
FOLDER = "/mnt"
FILE = f"{FOLDER}/{NAME}"
WRITES = [13 * i + 1 for i in range(40)]
READS = [17 * i + 1 for i in range(25)]
REFUSED = [7] * 3
GETPPIDS = 5
_SECONDS = 300

# Emulation: bpftrace alone takes more than the minute that it is given elsewhere.
bpftrace._TIMEOUT = _SECONDS
HOST = LiveHost()


class Guest:
    """What many checks need is read once."""

    folder: Path

    @cached_property
    def catalog(self):
        return read_sources(HOST, tuple(source for source in ALL_SOURCES if source not in ("perf", "bpftrace")))

    @cached_property
    def finder(self) -> Finder:
        return Finder(HOST, self.catalog)

    @cached_property
    def types(self):
        return kernel_types(HOST)

    @property
    def workload(self) -> list[str]:
        return [str(self.folder / "workload"), FILE]


GUEST = Guest()


def around(command: Sequence[str], make: Callable[[Filters], SessionT]) -> SessionT:
    """The session, ended, that `make` opens for a command and ran while it ran."""
    child = launch(command)
    try:
        with make(Filters(tree=(child.pid,))) as session:
            session.wait_running(_SECONDS)
            child.release()
            assert child.wait() == 0
            session.stop()
            return session
    finally:
        child.abandon()


def trace(
    names: Sequence[str], *, show: Sequence[str] = (), where: str = "", pair: bool = False, bare: bool = True,
    command: Sequence[str] = (), transport: Transport = Transport.RING,
) -> tuple[list[Event], Counts]:  # fmt: skip
    """The events of the workload, and the counts; everything was attached and nothing lost."""
    asked = Asked(where, tuple(show)) if where or show else NOTHING
    targets = GUEST.finder.targets(names, pair=pair)

    def make(filters: Filters) -> Session:
        plan = open_plan(HOST, targets, filters, asked=asked, bare=bare, types=GUEST.types, transport=transport)
        return Session(plan, buffer=1_000_000)

    session = around(command or GUEST.workload, make)
    for _, error in session.failed:
        raise error
    counts = session.counts()
    assert counts.lost == 0, counts
    return [session.decode(record) for record in session.take()], counts


def count(names: Sequence[str], counted: Counted, where: str = "") -> SummarySession:
    """A summary of the workload."""
    targets = GUEST.finder.targets(names)
    return around(GUEST.workload, lambda filters: open_summary(HOST, targets, counted, filters, asked=Asked(where)))


# From 5.12 on the calls that change a directory are given the mount first.
_MOUNT_FIRST = tuple(map(int, platform.release().split(".")[:2])) >= (5, 12)
# How bpftrace spells a function's ends, and where each argument is.
_PROBES = {
    "kprobe:vfs_write": ("((struct file *)arg0)->f_path.dentry", "arg2"),
    "kprobe:vfs_read": ("((struct file *)arg0)->f_path.dentry", "arg2"),
    "kprobe:vfs_open": ("((struct path *)arg0)->dentry", "0"),
    "kprobe:vfs_unlink": (f"((struct dentry *)arg{2 if _MOUNT_FIRST else 1})", "0"),
    "kfunc:vfs_write": ("args->file->f_path.dentry", "args->count"),
    "kfunc:vfs_read": ("args->file->f_path.dentry", "args->count"),
    "kfunc:vfs_open": ("args->path->dentry", "0"),
    "kfunc:vfs_unlink": ("args->dentry", "0"),
    "kretfunc:vfs_write": ("args->file->f_path.dentry", "retval"),
    "kretfunc:vfs_read": ("args->file->f_path.dentry", "retval"),
    "kretfunc:vfs_unlink": ("args->dentry", "retval"),
}
_RETURNS = ("vfs_read", "vfs_write", "vfs_unlink")
_OURS = {"kfunc": "fentry", "kretfunc": "fexit"}


@cache
def _takes_kfunc() -> bool:
    """False where bpftrace refuses every kfunc, as 0.17 does on a 5.10."""
    words = ["bpftrace", "-e", "kfunc:vfs_read { }", "-c", "/bin/busybox true"]
    known = {**os.environ, **types_for_bpftrace(HOST)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, env=known)
    refused = "not available for your kernel version" in done.stderr or "BTF data not available" in done.stderr
    assert refused or done.returncode == 0, done.stderr
    return not refused


def bpftrace_knows(probe: str) -> bool:
    """False for fentry and fexit where bpftrace refuses them all: then only what the workload does is compared with."""
    return not probe.startswith(("fentry:", "fexit:")) or _takes_kfunc()


@cache
def bpftrace_rows() -> dict[str, list[tuple[str, int]]]:
    """By our name of the probe: file name and number (size or result) of each event that bpftrace saw, in order."""
    parts = [
        f'{probe} /pid == cpid/ {{ printf("%s %s %d\\n", "{probe}", str({dentry}->d_name.name), (int64){number}); }}'
        for probe, (dentry, number) in _PROBES.items()
        if probe.startswith("kprobe:") or _takes_kfunc()
    ]
    parts += [
        f'kretprobe:{name} /pid == cpid/ {{ printf("%s - %d\\n", "kretprobe:{name}", (int64)retval); }}'
        for name in _RETURNS
    ]
    done = subprocess.run(
        ["bpftrace", "-e", "\n".join(parts), "-c", " ".join(GUEST.workload)],
        capture_output=True, text=True, timeout=_SECONDS, env={**os.environ, **types_for_bpftrace(HOST)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[tuple[str, int]]] = {}
    for line in done.stdout.splitlines():
        words = line.split(" ")
        if len(words) != 3 or ":" not in words[0]:
            continue
        kind, _, function = words[0].partition(":")
        ours = _OURS.get(kind, kind)
        name = f"{ours}:vmlinux:{function}" if kind in _OURS else f"{ours}:{function}"
        if words[1] in (NAME, "-"):
            found.setdefault(name, []).append((words[1], int(words[2])))
    return found
