"""One running attachment: its thread, its life cycle, its counters.

prepare → load → attach → run → detach → ended (or failed)
"""

from __future__ import annotations

import os
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Self, TypeVar

from tracescope.attach import kernel, tree
from tracescope.attach.backend import Backend, BccBackend, Loaded
from tracescope.attach.backlog import Backlog
from tracescope.attach.events import Clock, Decoder, Event
from tracescope.attach.perf_event import attach_tracepoint
from tracescope.attach.plan import Helper, Plan, PlannedProbe
from tracescope.attach.program import RING_BYTES, program_text
from tracescope.attach.ring import RingReader
from tracescope.errors import AttachError, TraceScopeError
from tracescope.host import LiveHost

__all__ = ("Counts", "ProbeCount", "RingSession", "Session", "SessionState", "program_of")

EventT = TypeVar("EventT")

_POLL_SECONDS = 0.01
_COUNT = struct.Struct("=QQ")
_ZERO = struct.pack("=I", 0)


class SessionState(StrEnum):
    """Where a session is in its life."""

    PREPARE = "prepare"
    LOAD = "load"
    ATTACH = "attach"
    RUN = "run"
    DETACH = "detach"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeCount:
    """One probe's events: handed over, lost (the ring was full), missed (the kernel skipped the program)."""

    events: int = 0
    lost: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """A session's events: handed over by the kernel, lost before that, dropped afterwards because nobody took them."""

    events: int
    lost: int
    dropped: int
    per_probe: tuple[ProbeCount, ...]
    waiting: int = 0
    """Records that nobody has taken yet."""


class RingSession(ABC, Generic[EventT]):
    """Runs a program's text in a thread of its own and keeps its records until somebody takes them.

    The text has the maps `events` (the ring), `control` (1 while the session runs) and `counts` (`struct count` by
    index); with `record_size` all records have that size.
    """

    def __init__(
        self, program_text: str, *, record_size: int | None, counters: int, filtered: bool,
        backend: Backend | None, buffer: int,
    ) -> None:  # fmt: skip
        self.program_text = program_text
        self.state = SessionState.PREPARE
        self.timings: dict[SessionState, float] = {}
        """Seconds spent in each state that is over."""
        self.error: TraceScopeError | None = None
        self._record_size = record_size
        self._filtered = filtered
        self._backend = backend or BccBackend()
        self._backlog = Backlog(buffer)
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._main, name="tracescope-session", daemon=True)
        self._loaded: Loaded | None = None
        self._lock = threading.Lock()
        self._counts = tuple(ProbeCount() for _ in range(counters))

    @abstractmethod
    def decode(self, record: bytes) -> EventT:
        """The event in a record."""

    @abstractmethod
    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        """Hang the programs on their events, until `attached` is closed."""

    @abstractmethod
    def _counted(self, index: int) -> tuple[str, ...]:
        """The functions whose events the counter counts."""

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait_running(self, timeout: float | None = None) -> None:
        """Return when events flow; raises what went wrong, or AttachError after `timeout` seconds."""
        if not self._settled.wait(timeout):
            raise AttachError("the session does not run yet", f"still in state {self.state} after {timeout:g} s")
        if self.error:
            raise self.error

    def take(self, limit: int | None = None) -> list[bytes]:
        """Up to `limit` records, oldest first."""
        return self._backlog.take(limit)

    def counts(self) -> Counts:
        """The counters as they are now; exact after `stop()`."""
        with self._lock:
            if self._loaded:
                self._counts = self._read_counts(self._loaded)
        per_probe = self._counts
        # With a filter nobody knows whether a skipped event was wanted.
        missed = 0 if self._filtered else sum(count.missed for count in per_probe)
        lost = sum(count.lost for count in per_probe) + missed
        return Counts(
            sum(count.events for count in per_probe), lost, self._backlog.dropped, per_probe, len(self._backlog)
        )

    def stop(self) -> None:
        """Detach, read what is left, and wait for the end; may be called again, from any other thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _main(self) -> None:
        began = time.perf_counter()

        def enter(state: SessionState) -> None:
            nonlocal began
            now = time.perf_counter()
            self.timings[self.state] = now - began
            began, self.state = now, state

        try:
            self._run(enter)
            enter(SessionState.ENDED)
        except Exception as error:  # noqa: BLE001 - a thread's error reaches nobody unless it is kept
            self.error = error if isinstance(error, TraceScopeError) else AttachError("the session broke", repr(error))
            enter(SessionState.FAILED)
        finally:
            self._settled.set()

    def _run(self, enter: Callable[[SessionState], None]) -> None:
        enter(SessionState.LOAD)
        with self._backend.load(self.program_text) as loaded, ExitStack() as undo:
            if self._stop.is_set():
                return
            enter(SessionState.ATTACH)
            self._cpus = kernel.possible_cpus(LiveHost())
            reader = RingReader(loaded.maps["events"], RING_BYTES, self._record_size)
            undo.callback(reader.close)
            with ExitStack() as attached:
                self._attach(loaded, attached)
                kernel.map_update(loaded.maps["control"], _ZERO, struct.pack("=I", 1))
                with self._lock:
                    self._loaded = loaded
                enter(SessionState.RUN)
                self._settled.set()
                while not self._stop.wait(_POLL_SECONDS):
                    self._drain(reader)
                enter(SessionState.DETACH)
                kernel.map_update(loaded.maps["control"], _ZERO, _ZERO)
            # No program of ours runs any more: what is in the ring now is the rest.
            self._drain(reader)
            self._final_counts(loaded)

    def _drain(self, reader: RingReader) -> None:
        for batch in reader.read():
            self._backlog.put(batch)

    def _read_counts(self, loaded: Loaded) -> tuple[ProbeCount, ...]:
        counts = []
        for index in range(len(self._counts)):
            data = kernel.map_lookup(loaded.maps["counts"], struct.pack("=I", index), _COUNT.size * self._cpus)
            events, lost = (sum(column) for column in zip(*_COUNT.iter_unpack(data), strict=True))
            programs = [loaded.programs[name] for name in self._counted(index) if name in loaded.programs]
            counts.append(ProbeCount(events, lost, sum(map(kernel.recursion_misses, programs))))
        return tuple(counts)

    def _final_counts(self, loaded: Loaded) -> None:
        with self._lock:
            self._counts = self._read_counts(loaded)
            self._loaded = None


class Session(RingSession[Event]):
    """Attaches the tracepoints of a plan."""

    def __init__(self, plan: Plan, *, backend: Backend | None = None, buffer: int = 100_000) -> None:
        super().__init__(
            program_text(plan), record_size=plan.record_size, counters=len(plan.probes), filtered=bool(plan.filters),
            backend=backend, buffer=buffer,
        )  # fmt: skip
        self.plan = plan
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self._decoder = Decoder(plan, Clock.now())

    def decode(self, record: bytes) -> Event:
        """The event in a record."""
        return self._decoder.decode(record)

    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        for helper in self.plan.before:
            attached.callback(os.close, _attach_helper(helper, loaded))
        for probe in self.plan.probes:
            try:
                event = attach_tracepoint(probe.format, program_of(loaded, probe.function))
            except AttachError as error:
                self.failed.append((probe, error))
            else:
                attached.callback(os.close, event)
        if len(self.failed) == len(self.plan.probes):
            raise self.failed[0][1]
        for helper in self.plan.after:
            attached.callback(os.close, _attach_helper(helper, loaded))
        if self.plan.filters.tree:
            tree.seed(loaded.maps["tree"], self.plan.filters.tree)

    def _counted(self, index: int) -> tuple[str, ...]:
        return (self.plan.probes[index].function,)


def program_of(loaded: Loaded, function: str) -> int:
    """The loaded program of a function; raises AttachError when the verifier refused it."""
    if function in loaded.refused:
        raise loaded.refused[function]
    return loaded.programs[function]


def _attach_helper(helper: Helper, loaded: Loaded) -> int:
    """A helper that cannot be attached is an error of the session: its events would be wrong without it."""
    return attach_tracepoint(helper.format, program_of(loaded, helper.function))
