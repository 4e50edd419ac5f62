"""Write what a host shows to one zip, laid out like the root of the host: what `SnapshotHost` reads on any machine.

What is missing or forbidden is left out, and why is kept in the zip, so that the snapshot refuses it as the host did.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tracescope.errors import Damaged, Missing, Refused, TraceScopeError
from tracescope.host import TOOL_FILES, Host
from tracescope.snapshot_files import REFUSED, refusals_json
from tracescope.sources.ftrace import BLACKLIST

__all__ = ("SnapshotReport", "write_snapshot")

_BTF = "/sys/kernel/btf"
_NOTES = "/sys/kernel/notes"
_FILES = (
    "/proc/version",
    "/proc/kallsyms",
    "/proc/modules",
    "/proc/filesystems",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/sys/kernel/security/lockdown",
    _NOTES,
    BLACKLIST,
    f"{_BTF}/vmlinux",
)
_SITES = "available_filter_functions_addrs"
_TRACEFS_FILES = (
    "available_events",
    "available_filter_functions",
    _SITES,
    "available_tracers",
    "printk_formats",
    "README",
)
_EVENT_FILES = ("format", "id")

# Kernel addresses in text: the first column of kallsyms, `0x…` in the blacklist, in modules and in printk_formats.
_WITH_ADDRESSES = ("/proc/kallsyms", "/proc/modules", "/kprobes/blacklist", "/printk_formats")
_ADDRESS = re.compile(rb"(^(?=\w+ . )|(?<!\w)0x)([0-9a-f]{8,16})\b", re.MULTILINE)
# Left out without addresses: the first is nothing else, a Xen kernel's notes hold the hypercall page's.
_GIVEN_UP = (f"/{_SITES}", _NOTES)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """What is in a snapshot, in the zip's order, and what the host did not show."""

    file: Path
    size: int
    """Of the zip, in bytes."""
    names: tuple[str, ...]
    left_out: dict[str, TraceScopeError]
    """By name, as in `names`."""


def write_snapshot(
    host: Host, file: Path, progress: Progress, *, addresses: bool = True, force: bool = False
) -> SnapshotReport:
    """Write a host's sources to a new zip; `progress` hears (path, done, total).

    Without `addresses` every kernel address is written as zero. Raises Refused when the file is there (and no `force`)
    or cannot be written; then, and when interrupted, nothing stays behind.
    """
    _check(file, force=force)
    try:
        with _replacing(file) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            recorder = _Recorder(host, archive, progress, addresses=addresses)
            recorder.record()
        size = file.stat().st_size
    except OSError as error:
        raise Refused(f"{file} cannot be written", error.strerror or str(error), "write it to another place") from None
    return SnapshotReport(file, size, tuple(archive.namelist()), recorder.left_out)


def _check(file: Path, *, force: bool) -> None:
    if not os.path.lexists(file):
        return
    if not file.is_file():
        raise Refused(f"{file} cannot be written", "it is there, and is not a regular file", "take another name")
    if not force:
        raise Refused(f"{file} is there already", "", "take another name, or --force")


@contextmanager
def _replacing(file: Path) -> Iterator[IO[bytes]]:
    """A new file beside `file`, for its owner only, that becomes it at the end; removed when anything goes wrong."""
    fd, name = tempfile.mkstemp(prefix=".snapshot-", suffix=".tmp", dir=file.parent)
    try:
        with open(fd, "wb") as out:
            yield out
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


class _Recorder:
    """Copies a host's files and its tools' output into an open zip."""

    def __init__(self, host: Host, archive: zipfile.ZipFile, progress: Progress, *, addresses: bool) -> None:
        self.left_out: dict[str, TraceScopeError] = {}
        self._host = host
        self._archive = archive
        self._progress = progress
        self._addresses = addresses
        # A zip knows no year before 1980, and a machine without a battery starts in 1970.
        self._time = max(time.localtime()[:6], (1980, 1, 1, 0, 0, 0))

    def record(self) -> None:
        """Everything: the tools run while the files are read."""
        pool = ThreadPoolExecutor(1)
        try:
            tools = {f"/tools/{name}": pool.submit(self._host.run, *command) for command, name in TOOL_FILES.items()}
            reads = dict.fromkeys(self._paths(), self._read) | dict.fromkeys(tools, lambda path: tools[path].result())
            for done, (path, read) in enumerate(reads.items()):
                self._progress(path, done, len(reads))
                self._add(path, read)
            self._write(REFUSED, refusals_json(self.left_out))
            self._progress(REFUSED, len(reads), len(reads))
        finally:
            pool.shutdown(cancel_futures=True)

    def _paths(self) -> Iterator[str]:
        yield from _FILES
        yield from (f"{_BTF}/{name}" for name in self._folder(_BTF) if name != "vmlinux")
        try:
            root = self._host.tracefs
        except TraceScopeError as error:
            self.left_out["sys/kernel/tracing"] = error
            return
        yield from (f"{root}/{name}" for name in _TRACEFS_FILES)
        events = f"{root}/events"
        for group in self._folder(events):
            for event in self._folder(f"{events}/{group}"):
                names = self._folder(f"{events}/{group}/{event}")
                yield from (f"{events}/{group}/{event}/{name}" for name in _EVENT_FILES if name in names)

    def _folder(self, path: str) -> list[str]:
        """The names in a folder; none for a plain file."""
        try:
            return self._host.names(path)
        except Missing:
            return []
        except TraceScopeError as error:
            self.left_out[path.strip("/")] = error
            return []

    def _add(self, path: str, read: Callable[[str], bytes]) -> None:
        try:
            data = read(path)
        except TraceScopeError as error:
            self.left_out[path.strip("/")] = error
        else:
            self._write(path.strip("/"), data)

    def _read(self, path: str) -> bytes:
        if not path.isascii():
            raise Damaged(f"{path} is left out", "a zip keeps no such name, and no kernel gives one")
        if self._addresses:
            return self._host.read(path)
        if path.endswith(_GIVEN_UP):
            raise Missing(f"{path} is left out", "it shows kernel addresses")
        data = self._host.read(path)
        return _ADDRESS.sub(_zero, data) if path.endswith(_WITH_ADDRESSES) else data

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, self._time)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, data)


def _zero(match: re.Match[bytes]) -> bytes:
    return match[1] + b"0" * len(match[2])
