"""Where in a process's code a sample was taken, by name: what processes map is noted while the samples come.

A sample is read later than it was taken, and its process may be gone by then: the mappings of what runs are looked at
before the samples begin, as perf does; what is mapped from then on the kernel tells.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection
from contextlib import ExitStack

from tracescope.attach.ring import Batch
from tracescope.attach.symbols.map_events import MapEvents
from tracescope.attach.symbols.mappings import Mappings
from tracescope.attach.symbols.stacks import Stack
from tracescope.attach.symbols.symbols import Symbols
from tracescope.host import Host

__all__ = ("CodeNames",)

_PROBE_AND_PID = struct.Struct("=8x4xII")
"""Out of `record.layout.HEADER`."""
_IDLE_SECONDS = 0.1
_LOOK_SECONDS = 0.3
"""Tens of thousands of processes do not keep the samples waiting: the rest is looked at with its first sample."""


class CodeNames:
    """Names code of processes; `probes` are the numbers of those that take samples. `name` is for any thread."""

    def __init__(self, host: Host, probes: Collection[int]) -> None:
        self._host = host
        self._probes = frozenset(probes)
        self._mappings = Mappings()
        self._symbols = Symbols(host, self._mappings)
        self._new: MapEvents | None = None
        self._read_at = 0.0

    def open(self, undo: ExitStack, pids: Collection[int] = ()) -> None:
        """Note what these processes, or all, have mapped, and map from now on until `undo` is closed.

        To be called before the samples begin.
        """
        self._new = undo.enter_context(MapEvents(self._mappings))
        until = time.monotonic() + _LOOK_SECONDS
        for pid in pids or [int(name) for name in self._host.names("/proc") if name.isdecimal()]:
            if time.monotonic() > until:
                break
            self._symbols.see_once(pid)

    def idle(self) -> None:
        """No samples came: what was mapped meanwhile must not fill the kernel's memory for it."""
        if time.monotonic() - self._read_at > _IDLE_SECONDS:
            self._read()

    def see(self, batch: Batch) -> None:
        """Look at the processes of these samples, before anybody reads them."""
        self._read()
        for probe, pid in {_PROBE_AND_PID.unpack_from(record) for record in batch.records(0, batch.count)}:
            if probe in self._probes:
                self._symbols.see_once(pid)

    def _read(self) -> None:
        self._read_at = time.monotonic()
        if self._new is not None:
            self._new.read()

    def name(self, pid: int, address: int) -> str | None:
        """As a frame of a stack: `malloc+0x1d [libc.so.6]`, `[libc.so.6]+0x2a10f`; None where nothing is known."""
        (frame,) = self._symbols.frames(Stack((address,), pid))
        return frame.text if frame.name or frame.place else None
