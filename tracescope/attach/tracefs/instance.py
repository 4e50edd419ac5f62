"""An own instance in tracefs: `instances/tracescope-PID-START-N`, with its own buffers, events, filters and clock.

Source: Documentation/trace/ftrace.rst, "Instances"; Documentation/trace/events.rst. Nothing of the top-level instance
is changed. A process that is killed leaves its instance; the next start removes it. START, the clock tick in which the
process began, tells it from a later one with its number.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import NamedTuple, Self

from tracescope.attach.kernel.tree import threads_below
from tracescope.attach.tracefs.pages import PageLayout, parse_header_page
from tracescope.attach.tracefs.reader import TraceReader
from tracescope.errors import AttachError, Missing, TraceScopeError, UsageError, from_oserror
from tracescope.host import Host
from tracescope.printable import decode, printable

__all__ = ("Leftover", "TracefsInstance", "began", "leftovers", "remove_leftovers")

_NAME = re.compile(r"tracescope-([1-9][0-9]{0,9})-([0-9]{1,19})-([0-9]{1,9})")
_EVENT = re.compile(r"\w[\w.-]*:\w[\w.-]*", re.ASCII)
_NUMBERS = count()
_MAX_FILTER = 4095
# Behind the name in /proc/PID/stat.
_START = 19


class Leftover(NamedTuple):
    """An instance of ours whose process is gone; `path` is what `rmdir` takes."""

    path: str
    pid: int


def began(host: Host, pid: int | str) -> str:
    """The clock tick since boot in which a process began; empty for one that is not there."""
    try:
        return host.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[_START].decode("ascii")
    except (TraceScopeError, IndexError, UnicodeDecodeError):
        return ""


def leftovers(host: Host) -> list[Leftover]:
    """The instances that dead processes of ours left behind; none where tracefs cannot be read, or in a snapshot."""
    if not host.live:
        return []
    try:
        root = f"{host.tracefs}/instances"
        matches = [match for name in host.names(root) if (match := _NAME.fullmatch(name))]
    except TraceScopeError:
        return []
    return [Leftover(f"{root}/{one[0]}", int(one[1])) for one in matches if began(host, one[1]) != one[2]]


def remove_leftovers(host: Host) -> list[Leftover]:
    """Remove what dead processes left, and say what was removed; one that somebody reads stays."""
    removed = []
    for leftover in leftovers(host):
        with suppress(OSError):
            os.rmdir(leftover.path)
            removed.append(leftover)
    return removed


class TracefsInstance:
    """An instance that is ours: `path` is its folder, `reader` reads its buffers. Close it, or use it as a context."""

    def __init__(self, path: str, host: Host) -> None:
        self.path = path
        self._host = host
        self._reader: TraceReader | None = None

    @classmethod
    def create(
        cls, host: Host, *, clock: str = "mono", kilobytes: int | None = None, overwrite: bool = True
    ) -> TracefsInstance:
        """A new instance, not tracing yet; what dead processes left behind goes first.

        `kilobytes` are for each CPU (the kernel makes it two pages at least). With `overwrite` a full buffer loses its
        oldest records, else the newest. Raises Forbidden, Missing or AttachError.
        """
        remove_leftovers(host)
        instance = cls(_make_folder(host), host)
        try:
            instance.stop()
            instance._write("trace_clock", clock)
            instance._write("options/overwrite", str(int(overwrite)))
            if kilobytes is not None:
                instance._write("buffer_size_kb", str(kilobytes))
            instance._reader = TraceReader(instance.path, _layout(host), instance._page_size())
        except BaseException:
            instance.close()
            raise
        return instance

    @property
    def reader(self) -> TraceReader:
        """Reads the buffers."""
        if self._reader is None:
            raise AttachError(f"{self.path} is closed")
        return self._reader

    def _page_size(self) -> int:
        """The size of a page of the buffer; kernels before 6.8 have only the machine's."""
        try:
            return int(self._host.read(f"{self.path}/buffer_subbuf_size_kb")) * 1024
        except (TraceScopeError, ValueError):
            return mmap.PAGESIZE

    def start(self) -> None:
        """Begin to record."""
        self._write("tracing_on", "1")

    def stop(self) -> None:
        """Stop recording; what is in the buffers stays."""
        self._write("tracing_on", "0")

    def enable(self, event: str) -> None:
        """Switch on an event, as `group:name`."""
        self._write(f"{_folder(event)}/enable", "1")

    def disable(self, event: str) -> None:
        """Switch off an event, as `group:name`."""
        self._write(f"{_folder(event)}/enable", "0")

    def set_filter(self, event: str, expression: str) -> None:
        """Let only records of the event pass that fulfil an expression over its fields; raises UsageError.

        The kernel takes a wrong expression away and lets everything pass: do not enable the event then.
        """
        if not expression.isprintable() or len(expression) > _MAX_FILTER:
            raise UsageError("this is no event filter", "it is too long, or not one line of text")
        try:
            self._write(f"{_folder(event)}/filter", expression)
        except AttachError as error:
            said = _last_error(self._host, self.path) or error.why
            raise UsageError(f"the kernel refuses the filter `{printable(expression)}` for {event}", said) from None

    def trace_threads(self, threads: Iterable[int], *, follow: bool = False) -> None:
        """Record only events of these threads (and of those added before); with `follow`, of all that they start."""
        self._write("options/event-fork", str(int(follow)))
        numbers = [str(thread) for thread in threads]
        if numbers:
            self._write("set_event_pid", " ".join(numbers))

    def leave_out_threads(self, threads: Iterable[int]) -> None:
        """Record nothing of these threads."""
        if numbers := [str(thread) for thread in threads]:
            self._write("set_event_notrace_pid", " ".join(numbers))

    def trace_trees(self, roots: Iterable[int]) -> set[int]:
        """Record only events of these processes and of all their descendants, born and unborn; the threads of now."""
        roots = tuple(roots)
        self.trace_threads((), follow=True)
        known: set[int] = set()
        # A child started before its parent was in the list is found by the next round.
        while new := threads_below(self._host, roots) - known:
            self.trace_threads(new, follow=True)
            known |= new
        return known

    def _write(self, name: str, text: str) -> None:
        try:
            fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                left = text.encode()
                while left:
                    left = left[os.write(fd, left) :]
            finally:
                os.close(fd)
        except FileNotFoundError:
            raise Missing(f"{name} is not there", f"this kernel has none in {self.path}") from None
        except OSError as error:
            fix = "take a smaller buffer" if error.errno == errno.ENOMEM else ""
            why = os.strerror(error.errno or 0)
            raise AttachError(f"{name} of the trace instance cannot be set", why, fix) from None

    def close(self) -> None:
        """Stop, and remove the instance; AttachError when another process holds it."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            # Its events shall not cost anything further.
            for name, text in (("tracing_on", "0"), ("set_event", "\n")):
                with suppress(TraceScopeError):
                    self._write(name, text)
            why = "another process reads it" if error.errno == errno.EBUSY else os.strerror(error.errno or 0)
            raise AttachError(f"{self.path} could not be removed", why, f"rmdir {self.path}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make_folder(host: Host) -> str:
    root = f"{host.tracefs}/instances"
    start = began(host, os.getpid())
    for number in _NUMBERS:
        path = f"{root}/tracescope-{os.getpid()}-{start}-{number}"
        try:
            os.mkdir(path)
        except FileExistsError:
            continue
        except PermissionError as error:
            raise from_oserror(error, path) from None
        except OSError as error:
            why = f"{path}: {os.strerror(error.errno or 0)}"
            raise AttachError(
                "a trace instance cannot be made", why, "another --backend: bcc, libbpf, bpftrace"
            ) from None
        return path
    raise AssertionError


def _layout(host: Host) -> PageLayout:
    return parse_header_page(host.read(f"{host.tracefs}/events/header_page"))


def _folder(event: str) -> str:
    if not _EVENT.fullmatch(event):
        raise UsageError(f"{printable(event)} is no event", "an event is group:name")
    return f"events/{event.replace(':', '/')}"


def _last_error(host: Host, path: str) -> str:
    """What the kernel says of the last filter that it refused."""
    with suppress(TraceScopeError):
        text = decode(host.read(f"{path}/error_log"))
        return printable(text.rpartition("error: ")[2].partition("\n")[0])
    return ""
