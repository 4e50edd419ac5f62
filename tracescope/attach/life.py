"""A program in the kernel: the thread that loads, attaches and reads it, its life cycle, its counters.

prepare → load → attach → run → detach → ended (or failed)
"""

from __future__ import annotations

import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from tracescope.attach.backend import Backend, BccBackend, Loaded
from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.programs import ProgramType
from tracescope.errors import AttachError, TraceScopeError
from tracescope.host import LiveHost

__all__ = ("Counts", "ProbeCount", "ProgramSession", "SessionLife", "SessionState")

_ZERO, _EVERY = struct.pack("=I", 0), struct.pack("=I", 0xFFFFFFFF)


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
    """One probe's events: handed over, lost (no room for them), missed (the kernel skipped the program).

    `skipped` were left out on purpose, so that the reader could keep up.
    """

    events: int = 0
    lost: int = 0
    missed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """A session's events: handed over by the kernel, lost before that, dropped afterwards because nobody took them."""

    events: int
    lost: int
    dropped: int
    per_probe: tuple[ProbeCount, ...]
    waiting: int = 0
    """Records that nobody has taken yet."""

    @property
    def skipped(self) -> int:
        """Events left out on purpose, so that the reader could keep up."""
        return sum(count.skipped for count in self.per_probe)


class SessionLife(ABC):
    """Runs in a thread of its own from `start()` to `stop()`."""

    def __init__(self) -> None:
        self.state = SessionState.PREPARE
        self.backend = ""
        """The name of the backend."""
        self.chosen = ""
        """Why it is this one, if it was chosen."""
        self.remarks: list[str] = []
        """What turned out on the way, for people."""
        self.timings: dict[SessionState, float] = {}
        """Seconds spent in each state that is over."""
        self.error: TraceScopeError | None = None
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._main, name="tracescope-session", daemon=True)

    @abstractmethod
    def _run(self, enter: Callable[[SessionState], None]) -> None:
        """Attach, read until `_stop` is set, detach; `enter` tells the state, `_settled` is set when events flow."""

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait_running(self, timeout: float | None = None) -> None:
        """Return when events flow; raises what went wrong, or AttachError after `timeout` seconds."""
        if not self._settled.wait(timeout):
            raise AttachError("the session does not run yet", f"still in state {self.state} after {timeout:g} s")
        if self.error:
            raise self.error

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


class ProgramSession(SessionLife):
    """Runs a program's text in a thread of its own; what it reads, and how often, its subclasses say.

    The text has the maps `control` (0 unless the session runs) and `counts` (`struct count` by index).
    """

    COUNT: ClassVar = struct.Struct("=QQ")
    """`struct count` of the program: events, lost, and perhaps skipped."""
    PAUSE: ClassVar = 0.01
    """Seconds between two looks at what the program has written."""

    def __init__(
        self,
        program_text: str,
        *,
        counters: int,
        filtered: bool,
        backend: Backend | None,
        kinds: Mapping[str, ProgramType] | None = None,
    ) -> None:
        super().__init__()
        self.program_text = program_text
        self._kinds = kinds or {}
        self._filtered = filtered
        self._backend = backend or BccBackend()
        self.backend = "bcc" if isinstance(self._backend, BccBackend) else "libbpf"
        self._loaded: Loaded | None = None
        self._lock = threading.Lock()
        self._cpus = 1
        self._counts = tuple(ProbeCount() for _ in range(counters))

    @abstractmethod
    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        """Hang the programs on their events, until `attached` is closed."""

    @abstractmethod
    def _counted(self, index: int) -> tuple[str, ...]:
        """The functions whose events the counter counts."""

    @abstractmethod
    def _open(self, loaded: Loaded, undo: ExitStack) -> Callable[[], None]:
        """What reads all that the program has written up to now, until `undo` is closed.

        It is called every `PAUSE` seconds, and once when no program of ours runs any more.
        """

    def _finish(self) -> None:
        """Take what no program will hand over any more: all are detached, all else was read."""

    def counts(self) -> Counts:
        """The counters as they are now; exact after `stop()`."""
        with self._lock:
            if self._loaded:
                self._counts = self._read_counts(self._loaded)
        per_probe = self._counts
        # With a filter nobody knows whether a skipped event was wanted.
        missed = 0 if self._filtered else sum(count.missed for count in per_probe)
        lost = sum(count.lost for count in per_probe) + missed
        return Counts(sum(count.events for count in per_probe), lost, 0, per_probe)

    def _load(self) -> Loaded:
        """The programs in the kernel; raises AttachError or Refused."""
        return self._backend.load(self.program_text, self._kinds)

    def _run(self, enter: Callable[[SessionState], None]) -> None:
        enter(SessionState.LOAD)
        with self._load() as loaded, ExitStack() as undo:
            if self._stop.is_set():
                return
            enter(SessionState.ATTACH)
            self._cpus = bpf.possible_cpus(LiveHost())
            read = self._open(loaded, undo)
            with ExitStack() as attached:
                self._attach(loaded, attached)
                bpf.map_update(loaded.maps["control"], _ZERO, _EVERY)
                with self._lock:
                    self._loaded = loaded
                undo.callback(self._let_go)
                enter(SessionState.RUN)
                self._settled.set()
                while not self._stop.wait(self.PAUSE):
                    read()
                enter(SessionState.DETACH)
                bpf.map_update(loaded.maps["control"], _ZERO, _ZERO)
            # What is there now is the rest.
            read()
            self._finish()
            with self._lock:
                self._counts = self._read_counts(loaded)

    def _let_go(self) -> None:
        """From here on nobody reads maps that are about to be closed."""
        with self._lock:
            self._loaded = None

    def _read_counts(self, loaded: Loaded) -> tuple[ProbeCount, ...]:
        counts = []
        for index in range(len(self._counts)):
            data = bpf.map_lookup(loaded.maps["counts"], struct.pack("=I", index), self.COUNT.size * self._cpus)
            events, lost, *skipped = (sum(column) for column in zip(*self.COUNT.iter_unpack(data), strict=True))
            programs = [loaded.programs[name] for name in self._counted(index) if name in loaded.programs]
            counts.append(ProbeCount(events, lost, sum(map(bpf.recursion_misses, programs)), *skipped))
        return tuple(counts)
