"""What tells that a host would give the same answers again: the key of `catalog.cache`.

Everything here is cheap to look at (a few ms): the boot, the loaded modules with their build ids, the reader's rights,
the events that users made, which source can be opened, the tools' files; for a snapshot the zip's inode. What kallsyms
says is compared by itself, in `catalog.packed`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator

from tracescope import __version__
from tracescope.catalog.cache import OFF
from tracescope.errors import TraceScopeError
from tracescope.host import Host

__all__ = ("fingerprint",)

Facts = Iterable[object]


def fingerprint(host: Host, sources: Collection[str]) -> str | None:
    """The key of what these sources of this host give now; None where nothing is kept (cache off, a folder)."""
    if os.environ.get(OFF) == "off":
        return None
    of_host = _live(host, sources) if host.live else _zip(host.label)
    if of_host is None:
        return None
    return repr((__version__, sys.version, _program(), sorted(sources), list(of_host)))


def _program() -> list[tuple[str, int, int]]:
    """Our own files: a change to a parser, or to what prints, changes the key, whatever the version says."""
    root = os.path.dirname(os.path.dirname(__file__))
    folders = (root, *(os.path.join(root, name) for name in ("catalog", "sources", "cli")))
    return [stamp for folder in folders for stamp in _stamps(folder, ".py")]


def _stamps(folder: str, ending: str) -> list[tuple[str, int, int]]:
    try:
        with os.scandir(folder) as files:
            found = [(file.path, file.stat()) for file in files if file.name.endswith(ending)]
    except OSError:
        return []
    return sorted((path, status.st_mtime_ns, status.st_size) for path, status in found)


def _zip(path: str) -> Facts | None:
    """A snapshot's file. A folder has none: what lies in it can change without a trace."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not os.path.isfile(path):
        return None
    return os.path.realpath(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _live(host: Host, sources: Collection[str]) -> Iterator[object]:
    yield from (_read(host, path) for path in _BOOT)
    yield _modules(host)
    yield os.geteuid(), [line for line in _read(host, "/proc/self/status").splitlines() if line.startswith(b"CapEff")]
    for source in sources:
        if source in _OF_SOURCE:
            yield source, list(_OF_SOURCE[source](host))


_BOOT = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/version",
    "/sys/kernel/notes",  # the build id
    "/proc/sys/kernel/kptr_restrict",
    "/sys/kernel/security/lockdown",
)


def _read(host: Host, path: str) -> bytes:
    """A small file, or the class of what forbids it."""
    try:
        return host.read(path)
    except TraceScopeError as error:
        return type(error).__name__.encode()


def _names(host: Host, path: str) -> object:
    try:
        return host.names(path)
    except TraceScopeError as error:
        return type(error).__name__


def _modules(host: Host) -> list[object]:
    """Name, size, state and address of each module, and its build id: not who uses it, which changes all the time."""
    rows: list[object] = []
    for line in _read(host, "/proc/modules").decode("utf-8", "replace").splitlines():
        # name size users users' names state address
        name, *columns = line.split(" ")
        note = _read(host, f"/sys/module/{name}/notes/.note.gnu.build-id")
        rows.append((name, columns[:1], columns[3:], note))
    return rows


def _tracefs(host: Host) -> Iterator[object]:
    """The groups, and the definitions of the events that users made: kprobes, uprobes, synthetic ones."""
    try:
        root = host.tracefs
    except TraceScopeError as error:
        yield type(error).__name__
        return
    yield _names(host, f"{root}/events")
    for name in ("dynamic_events", "kprobe_events", "uprobe_events", "synthetic_events"):
        yield _read(host, f"{root}/{name}")


def _ftrace(host: Host) -> Iterator[object]:
    """Whether the list can be opened: to read it may take seconds of the kernel's time."""
    try:
        root = host.tracefs
    except TraceScopeError as error:
        yield type(error).__name__
        return
    for name in ("available_filter_functions", "available_filter_functions_addrs"):
        yield _openable(f"{root}/{name}")


def _openable(path: str) -> str:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return str(error.errno)
    return ""


def _blacklist(host: Host) -> Iterator[object]:
    from tracescope.sources.ftrace import BLACKLIST

    yield _read(host, BLACKLIST)


def _btf(host: Host) -> Iterator[object]:
    yield _names(host, "/sys/kernel/btf")
    yield _openable("/sys/kernel/btf/vmlinux")


def _tool(name: str) -> Callable[[Host], Iterator[object]]:
    def facts(_: Host) -> Iterator[object]:
        """The program and its folder: Debian's `perf` is a script that starts another one beside it."""
        paths = (os.path.join(folder, name) for folder in os.get_exec_path())
        path = next(filter(os.path.isfile, paths), None)
        if path is not None:
            real = os.path.realpath(path)
            program, beside = os.stat(real), os.stat(os.path.dirname(real))
            yield real, program.st_mtime_ns, program.st_size, program.st_ino, beside.st_mtime_ns

    return facts


def _perf(host: Host) -> Iterator[object]:
    yield _names(host, "/sys/bus/event_source/devices")
    yield from _tool("perf")(host)


_OF_SOURCE: dict[str, Callable[[Host], Iterator[object]]] = {
    "tracefs": _tracefs,
    "ftrace": _ftrace,
    "blacklist": _blacklist,
    "btf": _btf,
    "perf": _perf,
    "bpftrace": _tool("bpftrace"),
}
