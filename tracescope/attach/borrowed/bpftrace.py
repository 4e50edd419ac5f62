"""A session on bpftrace: a subprocess that runs a script of ours and writes lines, which become records of our own."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, ClassVar

from tracescope.attach.borrowed.bpftrace_lines import Lines, lost_in, marked, output_of
from tracescope.attach.borrowed.bpftrace_script import UNTIL_SIGNALS, script
from tracescope.attach.borrowed.session import BorrowedSession
from tracescope.attach.decode.events import Event
from tracescope.attach.kernel.tree import threads_below
from tracescope.attach.life import SessionState
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER
from tracescope.errors import AttachError, TraceScopeError
from tracescope.host import Host
from tracescope.sources.btf import Btf

__all__ = ("BpftraceSession", "installed_version")

_STRING = 200
_PAGES = 1024
_TIMEOUT, _LAST_WORDS = 60.0, 10.0
_CHUNK = 1 << 18
_MOST_LOG = 1 << 20
_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})")
_NOISE = re.compile(rb"RLIMIT_MEMLOCK|^Attaching \d+ probe")


def installed_version(host: Host) -> tuple[int, int]:
    """The version of the host's bpftrace; raises TraceScopeError."""
    words = host.run("bpftrace", "--version").decode("ascii", "replace")
    found = _VERSION.search(words)
    if found is None:
        raise AttachError("bpftrace cannot be used", "it prints no version")
    return int(found[1]), int(found[2])


class BpftraceSession(BorrowedSession):
    """Starts bpftrace, reads what it prints, and ends it."""

    BACKEND: ClassVar = "bpftrace"

    def __init__(self, host: Host, plan: Plan, where: str, btf: Btf | None, *, buffer: int) -> None:
        version = installed_version(host)
        seeds = threads_below(host, plan.filters.tree) if plan.filters.tree else ()
        text = script(plan, version, seeds, parent=btf is not None)
        super().__init__(plan, where, btf, buffer=buffer, program_text=text)
        # Up to 0.19 its clock runs on while the machine is suspended.
        suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._lines = Lines(plan, _STRING - 1, 0 if version >= (0, 20) else suspended)
        self._comms = {name.encode("utf-8", "surrogateescape") for name in plan.filters.comm}
        self._log = bytearray()
        self._signals = 0
        self._rest: dict[int, bytes] = {}

    def decode(self, record: bytes) -> Event:
        """The event in a record."""
        event = super().decode(record)
        number = HEADER.unpack_from(record)[2]
        absent, texts = self._lines.absent(number), {one.name for one in self.plan.probes[number].captures}
        args = {name: value for name, value in event.args.items() if name not in absent}
        return event._replace(args=marked(args, texts, _STRING - 1))

    def _run(self, enter: Callable[[SessionState], None]) -> None:
        enter(SessionState.LOAD)
        with ExitStack() as undo:
            process = self._spawn(undo)
            undo.callback(_end, process)
            selector = undo.enter_context(selectors.DefaultSelector())
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ)
            enter(SessionState.ATTACH)
            self._wait_attached(selector)
            if self._stop.is_set():
                return
            enter(SessionState.RUN)
            self._settled.set()
            while not self._stop.is_set():
                self._read(selector, 0.05)
                if not selector.get_map():
                    raise self._failure("bpftrace has ended")
            enter(SessionState.DETACH)
            process.send_signal(signal.SIGINT)
            self._read_rest(selector)

    def _spawn(self, undo: ExitStack) -> subprocess.Popen[bytes]:
        # In a file that only we can read: a command line is for everybody's eyes.
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="tracescope-"))
        path = os.path.join(folder, "session.bt")
        with open(path, "w", encoding="ascii") as file:
            file.write(self.program_text)
        settings = {"STRLEN": _STRING, "MAX_STRLEN": _STRING, "PERF_RB_PAGES": _PAGES, "MAX_PROBES": 4096}
        settings["MAX_MAP_KEYS"] = 65536
        environment = {**os.environ, **{f"BPFTRACE_{name}": str(value) for name, value in settings.items()}}
        try:
            return subprocess.Popen(
                ["bpftrace", "-q", "-B", "line", "-f", "json", path], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise AttachError("bpftrace cannot be started", os.strerror(error.errno or 0)) from None

    def _wait_attached(self, selector: selectors.BaseSelector) -> None:
        end = time.monotonic() + _TIMEOUT
        while self._signals < UNTIL_SIGNALS and not self._stop.is_set():
            self._read(selector, 0.05)
            if not selector.get_map() or time.monotonic() > end:
                raise self._failure("bpftrace cannot attach this")

    def _read_rest(self, selector: selectors.BaseSelector) -> None:
        """What it prints until it is gone."""
        end = time.monotonic() + _LAST_WORDS
        while selector.get_map() and time.monotonic() < end:
            self._read(selector, 0.1)

    def _read(self, selector: selectors.BaseSelector, timeout: float) -> None:
        """What there is on both pipes; a pipe that has ended is taken out."""
        for key, _ in selector.select(timeout):
            file: IO[bytes] = key.fileobj  # type: ignore[assignment]
            data = os.read(file.fileno(), _CHUNK)
            if not data:
                selector.unregister(file)
                continue
            whole = self._rest.pop(key.fd, b"") + data
            *lines, self._rest[key.fd] = whole.split(b"\n")
            records = [record for line in lines for record in self._line(line)]
            records.sort(key=lambda record: int(HEADER.unpack_from(record)[0]))
            self._put(records, self._wanted)

    def _line(self, line: bytes) -> Iterator[bytes]:
        kind, data = output_of(line)
        if kind == "printf":
            if data.startswith(b"U"):
                self._signals += 1
            yield from self._lines.records(data)
            return
        self._lost += lost_in(line)
        if not kind and not _NOISE.search(line) and len(self._log) < _MOST_LOG:
            self._log += line + b"\n"

    def _wanted(self, record: bytes) -> bool:
        return not self._comms or HEADER.unpack_from(record)[7].partition(b"\0")[0] in self._comms

    def _failure(self, what: str) -> TraceScopeError:
        log = bytes(self._log).decode("utf-8", "replace")
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "error" in line.lower()]
        return AttachError(what, (errors or lines[-1:] or ["it gave no reason"])[0], log=log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """However it is: nothing stays attached."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
