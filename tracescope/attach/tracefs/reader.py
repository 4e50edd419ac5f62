"""Reads an instance's `per_cpu/cpuN/trace_pipe_raw` without waiting, page by page, and its `stats`.

While a reader is open the kernel refuses to remove the instance (EBUSY): nobody clears away what is in use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from tracescope.attach.tracefs.pages import BufferStats, Page, PageLayout, decode_page, parse_stats
from tracescope.errors import AttachError

__all__ = ("ROUND", "CpuPage", "TraceReader")

# One round over a CPU takes at most so many pages: whoever writes faster than we read never ends it.
ROUND = 1024


class CpuPage(NamedTuple):
    """A page's records, and the CPU that wrote them."""

    cpu: int
    page: Page


class TraceReader:
    """The buffers of the instance at `path`; `page_size` is the size of one of its pages in bytes."""

    def __init__(self, path: str, layout: PageLayout, page_size: int) -> None:
        self._path = path
        self._layout = layout
        self._page_size = page_size
        self._fds: dict[int, int] = {}
        try:
            for cpu in sorted(int(name[3:]) for name in os.listdir(f"{path}/per_cpu") if re.fullmatch(r"cpu\d+", name)):
                self._fds[cpu] = os.open(self._file(cpu, "trace_pipe_raw"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise AttachError(f"the trace buffers in {path} cannot be read", os.strerror(error.errno or 0)) from None

    @property
    def cpus(self) -> list[int]:
        """The CPUs that have a buffer."""
        return list(self._fds)

    def read(self, limit: int = ROUND) -> Iterator[CpuPage]:
        """What is there now, CPU by CPU, oldest first on each, at most `limit` pages of one; raises Damaged."""
        for cpu, fd in self._fds.items():
            for _ in range(limit):
                data = self._read(fd)
                if not data:
                    break
                yield CpuPage(cpu, decode_page(data, self._layout))

    def _read(self, fd: int) -> bytes:
        with suppress(BlockingIOError):
            return os.read(fd, self._page_size)
        return b""

    def stats(self) -> dict[int, BufferStats]:
        """What became of the records so far, by CPU."""
        found = {}
        for cpu in self._fds:
            with open(self._file(cpu, "stats"), "rb") as file:
                found[cpu] = parse_stats(file.read())
        return found

    def _file(self, cpu: int, name: str) -> str:
        return f"{self._path}/per_cpu/cpu{cpu}/{name}"

    def close(self) -> None:
        """Let go of the buffers."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
