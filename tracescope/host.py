"""The only door to /proc, /sys and to subprocesses: this machine, or a recorded one.

A snapshot is a zip or a folder laid out like the root of a host, plus `tools/` for what read-only tools printed. Paths
are absolute host paths (`/proc/kallsyms`) in both cases. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import os
import re
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from tracescope.errors import Damaged, Forbidden, Missing, from_oserror

if TYPE_CHECKING:
    from pathlib import Path

    from tracescope.snapshot_files import Folder, Zip

__all__ = ("TOOL_FILES", "Host", "LiveHost", "SnapshotHost", "open_host")

_TRACEFS = "/sys/kernel/tracing"
_OLD_TRACEFS = "/sys/kernel/debug/tracing"
_MOUNT = f"mount -t tracefs none {_TRACEFS}"

TOOL_FILES: dict[tuple[str, ...], str] = {
    ("uname", "-a"): "uname.txt",
    ("perf", "--version"): "perf-version.txt",
    ("perf", "list"): "perf-list.txt",
    ("perf", "list", "-j"): "perf-list.json",
    **{
        ("perf", "list", part): f"perf-list-{part}.txt"
        for part in ("hw", "sw", "cache", "tracepoint", "pmu", "sdt", "metric", "metricgroup")
    },
    ("bpftrace", "--version"): "bpftrace-version.txt",
    ("bpftrace", "-l"): "bpftrace-l.txt",
    ("bpftrace", "-lv"): "bpftrace-lv.txt",
}
"""The read-only tools a host may run, and the file that holds each one's output in a snapshot's `tools/`."""


class Host(Protocol):
    """A machine looked at. Every method raises `Missing`, `Forbidden` or `Damaged`, never OSError."""

    label: str
    live: bool
    notes: list[str]
    """What opening this host changed or noticed, one sentence each (a mounted tracefs, names left out of a zip)."""

    def read(self, path: str) -> bytes:
        """The whole file."""
        ...

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        ...

    def exists(self, path: str) -> bool:
        """True when a file or folder is there (it may still be forbidden)."""
        ...

    def run(self, *command: str) -> bytes:
        """Standard output of a read-only tool; only the commands in `TOOL_FILES`."""
        ...

    @property
    def tracefs(self) -> str:
        """Where tracefs is, without a final slash."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


def open_host(where: str | None = None) -> Host:
    """This machine, or the snapshot (zip or folder) at `where`."""
    if where is None:
        return LiveHost()
    return SnapshotHost(where)


class LiveHost:
    """This machine."""

    live = True

    def __init__(self, *, tool_timeout: float = 60.0) -> None:
        self.label = "this host"
        self.notes: list[str] = []
        self._tool_timeout = tool_timeout
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes:
        """The whole file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_oserror(error, path) from None
        try:
            # A /proc file has no size: read until the end.
            return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
        except OSError as error:
            raise from_oserror(error, path) from None
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise from_oserror(error, path) from None

    def exists(self, path: str) -> bool:
        """True when a file or folder is there."""
        return os.path.lexists(path)

    def run(self, *command: str) -> bytes:
        """Standard output of a read-only tool."""
        if command not in TOOL_FILES:
            msg = f"not a read-only tool of a host: {command}"
            raise ValueError(msg)
        import subprocess

        shown = " ".join(command)
        env = {**os.environ, "LC_ALL": "C", "PAGER": "cat", "PERF_PAGER": "cat"}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=self._tool_timeout, env=env
            )
        except FileNotFoundError:
            raise Missing(f"{command[0]} is not installed", f"no program named {command[0]} on PATH") from None
        except subprocess.TimeoutExpired:
            raise Damaged(f"`{shown}` gave no answer", f"stopped after {self._tool_timeout:g} s") from None
        except OSError as error:
            raise from_oserror(error, command[0]) from None
        if done.returncode != 0 and not done.stdout:
            first = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [""])[0]
            refused = os.geteuid() != 0 and re.search("root|permi|denied", first)
            fix = "run as root" if refused else ""
            raise Missing(f"`{shown}` ended with status {done.returncode}", first, fix)
        return done.stdout

    @cached_property
    def tracefs(self) -> str:
        """Where tracefs is; mounts it when this process may."""
        with self._lock:
            if os.path.isdir(f"{_TRACEFS}/events"):
                return _TRACEFS
            if not os.path.isdir(_TRACEFS):
                if os.path.isdir(f"{_OLD_TRACEFS}/events"):
                    return _OLD_TRACEFS
                why = f"this kernel has no {_TRACEFS} (CONFIG_TRACING is off)"
                raise Missing("tracefs is not there", why, "a kernel that is built with it: those of distributions are")
            if os.geteuid() != 0:
                return self._unmounted_tracefs()
            import subprocess

            try:
                done = subprocess.run(_MOUNT.split(), capture_output=True, check=False, text=True)
            except OSError as error:
                raise Missing("tracefs is not mounted", f"mount cannot be run: {error.strerror}", _MOUNT) from None
            if done.returncode != 0 or not os.path.isdir(f"{_TRACEFS}/events"):
                raise Missing("tracefs is not mounted", done.stderr.strip() or "mount failed", _MOUNT)
            self.notes.append(f"tracefs was not mounted: mounted it at {_TRACEFS}")
            return _TRACEFS

    def _unmounted_tracefs(self) -> str:
        try:
            os.listdir(_TRACEFS)
        except PermissionError:
            raise Forbidden("tracefs cannot be read", "only root may open it", "run as root") from None
        raise Missing("tracefs is not mounted", f"{_TRACEFS} is empty", f"sudo {_MOUNT}")

    def close(self) -> None:
        """Nothing is kept open."""


class SnapshotHost:
    """A recorded machine: a zip, or a folder with the same layout. What the machine refused, it refuses again."""

    live = False

    def __init__(self, where: str | Path) -> None:
        self.label = str(where)
        self.notes: list[str] = []
        # This machine's start-up does not pay for zipfile.
        from pathlib import Path

        from tracescope.snapshot_files import Folder, Zip, read_refusals

        path = Path(where)
        if path.is_dir():
            self._files: Folder | Zip = Folder(path)
        else:
            self._files = Zip(path, self.notes)
        self._refusals = read_refusals(self._files, self.notes)

    def read(self, path: str) -> bytes:
        """The whole file."""
        name = path.strip("/")
        try:
            return self._files.read(name)
        except Missing:
            self._refusals.check(name)
            raise

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        name = path.strip("/")
        refused = self._refusals.names(name)
        try:
            return sorted({*self._files.names(name), *refused})
        except Missing:
            self._refusals.check(name)
            if refused:
                return sorted(refused)
            raise

    def exists(self, path: str) -> bool:
        """True when the host had this file or folder (it may have been forbidden)."""
        name = path.strip("/")
        return self._files.exists(name) or name in self._refusals

    def run(self, *command: str) -> bytes:
        """What the tool printed when the snapshot was taken."""
        if command not in TOOL_FILES:
            msg = f"not a read-only tool of a host: {command}"
            raise ValueError(msg)
        output = self.read(f"/tools/{TOOL_FILES[command]}")
        if not output and not self._refusals.recorded:
            raise Missing(f"`{' '.join(command)}` printed nothing on this host")
        return output

    @property
    def tracefs(self) -> str:
        """Where the snapshot keeps tracefs."""
        self._refusals.check(_TRACEFS.strip("/"))
        for path in (_TRACEFS, _OLD_TRACEFS):
            if self.exists(path):
                return path
        raise Missing("the snapshot has no tracefs", f"no {_TRACEFS} in {self.label}")

    def close(self) -> None:
        """Close the zip."""
        self._files.close()
