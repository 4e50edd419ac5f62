"""A session on bpftrace: a subprocess that runs a script of ours and writes lines, which become records of our own."""

from __future__ import annotations

import math
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import IO, ClassVar

from tracescope.attach.borrowed.bpftrace_lines import Lines, lost_in, marked, output_of
from tracescope.attach.borrowed.bpftrace_refused import Refusals, merged, refusals_in
from tracescope.attach.borrowed.bpftrace_script import UNTIL_SIGNALS, script
from tracescope.attach.borrowed.running import parent_of, sleeps
from tracescope.attach.borrowed.session import BorrowedSession
from tracescope.attach.decode.events import Event
from tracescope.attach.kernel.tree import threads_below
from tracescope.attach.life import SessionState
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import HEADER
from tracescope.errors import AttachError, TraceScopeError
from tracescope.host import Host
from tracescope.sources.btf import Btf

__all__ = ("BpftraceSession", "installed_version", "types_for_bpftrace")

_STRING = 200
_PAGES = 1024
_BTF = "/sys/kernel/btf"
_TIMEOUT = 60.0
# It hands nothing over before all is attached; that it is may be among what a full buffer lost. Seconds.
_SIGNAL = 0.5
# At the end: so long what it has kept is read, so long it is counted (that goes 30 times as fast). Seconds.
_LAST_EVENTS, _LAST_WORDS = 1.0, 6.0
_CHUNK = 1 << 18
_MOST_LOG = 1 << 20
_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})")
# A line of its JSON, one that begins an event of ours, and the last of all.
_PRINTED, _EVENT, _WHOLE = b'"type": "printf"', b'"data": "R ', b'"data": "Z'
_NOISE = re.compile(rb"RLIMIT_MEMLOCK|^Attaching \d+ probe")


def installed_version(host: Host) -> tuple[int, int]:
    """The version of the host's bpftrace; raises TraceScopeError."""
    words = host.run("bpftrace", "--version").decode("ascii", "replace")
    found = _VERSION.search(words)
    if found is None:
        raise AttachError("bpftrace cannot be used", "it prints no version")
    return int(found[1]), int(found[2])


def types_for_bpftrace(host: Host) -> dict[str, str]:
    """What a bpftrace that is started needs in its environment to find this kernel's types.

    It looks for them among the numbered BTF objects, where kernels without BTF of modules (before 5.11) have none; a
    file that is named there it takes instead of all the others.
    """
    try:
        alone = host.names(_BTF) == ["vmlinux"]
    except TraceScopeError:
        return {}
    return {"BPFTRACE_BTF": f"{_BTF}/vmlinux"} if alone else {}


class BpftraceSession(BorrowedSession):
    """Starts bpftrace, reads what it prints, and ends it."""

    BACKEND: ClassVar = "bpftrace"

    def __init__(self, host: Host, plan: Plan, where: str, btf: Btf | None, *, buffer: int) -> None:
        version = installed_version(host)
        seeds = threads_below(host, plan.filters.tree) if plan.filters.tree else ()
        # Up to 0.19 its clock runs on while the machine is suspended.
        suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._host = host
        self._refused: Refusals = {}
        self._types_found = types_for_bpftrace(host)
        self._text = partial(script, plan, version, seeds, parent=btf is not None)
        self._lines_of = partial(Lines, plan, _STRING - 1, 0 if version >= (0, 20) else suspended)
        super().__init__(plan, where, btf, buffer=buffer, program_text=self._text())
        self._lines = self._lines_of()
        self._comms = {name.encode("utf-8", "surrogateescape") for name in plan.filters.comm}
        self._begin()
        if any(parent_of(host, pid) != os.getpid() for pid in plan.filters.tree):
            self.remarks.append("bpftrace: children that were started while it attached are not followed")

    def _begin(self) -> None:
        self._log = bytearray()
        self._signals = 0
        self._whole = False
        self._newest = 0
        self._heard = math.inf
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
            process, selector = self._attached(undo, enter)
            if self._stop.is_set():
                return
            enter(SessionState.RUN)
            self._settled.set()
            while not self._stop.is_set():
                self._read(selector, 0.05)
                if not selector.get_map():
                    raise self._failure("bpftrace has ended")
            enter(SessionState.DETACH)
            caught_up = self._catch_up(process.pid, selector)
            process.send_signal(signal.SIGINT)
            self._read_rest(selector, caught_up)

    def _attached(
        self, undo: ExitStack, enter: Callable[[SessionState], None]
    ) -> tuple[subprocess.Popen[bytes], selectors.BaseSelector]:
        """A process that runs all that it does not refuse; what it refuses is left out of the next try."""
        while True:
            with ExitStack() as attempt:
                process = self._spawn(attempt)
                attempt.callback(_end, process)
                selector = attempt.enter_context(selectors.DefaultSelector())
                for pipe in (process.stdout, process.stderr):
                    assert pipe is not None
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ)
                if self.state is SessionState.LOAD:
                    enter(SessionState.ATTACH)
                if self._wait_attached(selector):
                    self._say_refused()
                    undo.push(attempt.pop_all())
                    return process, selector
            self._leave_out()

    def _leave_out(self) -> None:
        """Take what bpftrace says that it refuses out of the script; raises when that is nothing new, or all."""
        found = refusals_in(self._words(), self.program_text, self.plan)
        refused = merged(self._refused, found)
        gone = [index for index, fields in refused.items() if "" in fields]
        if refused == self._refused or len(gone) == len(self.plan.probes):
            raise self._failure("bpftrace cannot attach this")
        self._refused = refused
        self.program_text = self._text(refused=refused)
        self._lines = self._lines_of(refused=refused)
        self._begin()

    def _say_refused(self) -> None:
        for index, fields in self._refused.items():
            probe = self.plan.probes[index]
            if why := fields.get(""):
                self.failed.append(
                    (probe, AttachError(f"bpftrace refuses {probe.name}", why, "--backend bcc or libbpf"))
                )
            else:
                self.remarks += [f"{probe.name}: bpftrace cannot read {name}: {why}" for name, why in fields.items()]

    def _spawn(self, undo: ExitStack) -> subprocess.Popen[bytes]:
        # In a file that only we can read: a command line is for everybody's eyes.
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="tracescope-"))
        path = os.path.join(folder, "session.bt")
        with open(path, "w", encoding="ascii") as file:
            file.write(self.program_text)
        settings = {"STRLEN": _STRING, "MAX_STRLEN": _STRING, "PERF_RB_PAGES": _PAGES, "MAX_PROBES": 4096}
        settings["MAX_MAP_KEYS"] = 65536
        environment = {f"BPFTRACE_{name}": str(value) for name, value in settings.items()}
        try:
            return subprocess.Popen(
                # The shell's number becomes that of bpftrace, and the script's argument.
                ["sh", "-c", 'exec bpftrace -q -B line -f json "$0" $$', path],
                env={**self._types_found, **os.environ, **environment}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise AttachError("bpftrace cannot be started", os.strerror(error.errno or 0)) from None

    def _wait_attached(self, selector: selectors.BaseSelector) -> bool:
        """True when everything is attached, or nobody waits for it any more; false when bpftrace has given up."""
        end = time.monotonic() + _TIMEOUT
        while self._signals < UNTIL_SIGNALS and time.monotonic() < self._heard + _SIGNAL and not self._stop.is_set():
            self._read(selector, 0.05)
            if time.monotonic() > end:
                raise self._failure("bpftrace cannot attach this", f"it has not within {_TIMEOUT:.0f} s")
            if not selector.get_map():
                return False
        return True

    def _catch_up(self, pid: int, selector: selectors.BaseSelector) -> bool:
        """Read until bpftrace has taken what happened before now out of the kernel's buffers; false if it may have not.

        After a signal it throws the rest away, and does not count it. It has all when it sleeps while its pipes are
        empty. One that never does is given longer until what it prints is from after now.
        """
        began, now = time.monotonic(), time.monotonic_ns()
        while selector.get_map() and (waited := time.monotonic() - began) < _LAST_WORDS:
            if waited > _LAST_EVENTS and self._newest > now:
                return False
            asleep = sleeps(self._host, pid)
            if not self._read(selector, 0 if asleep else 0.01) and asleep:
                return True
        return False

    def _read_rest(self, selector: selectors.BaseSelector, caught_up: bool) -> None:
        """What it prints until it is gone: events for a while, then only how many more there are, then no more."""
        began = time.monotonic()
        while selector.get_map() and (waited := time.monotonic() - began) < _LAST_WORDS:
            self._read(selector, 0.1, only_count=waited > _LAST_EVENTS)
        if selector.get_map() or not self._whole or not caught_up:
            # A signal in the middle of a write, and it prints nothing more.
            how = "did not end in time" if selector.get_map() else "left without its last lines"
            how = "was still busy when it was ended" if self._whole else how
            self.remarks.append(f"bpftrace {how}: how many of its last events are missing is not known")

    def _read(self, selector: selectors.BaseSelector, timeout: float, *, only_count: bool = False) -> bool:
        """What there is on both pipes; a pipe that has ended is taken out. Events that are only counted are lost.

        False when there was nothing.
        """
        ready = selector.select(timeout)
        for key, _ in ready:
            file: IO[bytes] = key.fileobj  # type: ignore[assignment]
            data = os.read(file.fileno(), _CHUNK)
            if not data:
                selector.unregister(file)
                continue
            whole = self._rest.pop(key.fd, b"") + data
            *lines, self._rest[key.fd] = whole.split(b"\n")
            if only_count:
                self._lost += whole.count(_EVENT) - self._rest[key.fd].count(_EVENT)
                lines = [line for line in lines if _PRINTED not in line or _WHOLE in line]
            records = [record for line in lines for record in self._line(line)]
            records.sort(key=_time_of)
            self._newest = max([self._newest, *map(_time_of, records[-1:])])
            self._put(records, self._wanted)
        return bool(ready)

    def _line(self, line: bytes) -> Iterator[bytes]:
        kind, data = output_of(line)
        if kind == "printf":
            if self._signals < UNTIL_SIGNALS:
                self._heard = min(self._heard, time.monotonic())
                self._signals += data.startswith(b"U")
            self._whole = self._whole or data.startswith(b"Z")
            yield from self._lines.records(data)
            return
        self._lost += lost_in(line)
        if not kind and not _NOISE.search(line) and len(self._log) < _MOST_LOG:
            self._log += line + b"\n"

    def _wanted(self, record: bytes) -> bool:
        return not self._comms or HEADER.unpack_from(record)[7].partition(b"\0")[0] in self._comms

    def _words(self) -> str:
        return bytes(self._log).decode("utf-8", "replace")

    def _failure(self, what: str, why: str = "it gave no reason") -> TraceScopeError:
        log = self._words()
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "error" in line.lower()]
        return AttachError(what, (errors or lines[-1:] or [why])[0], log=log)


def _time_of(record: bytes) -> int:
    return int(HEADER.unpack_from(record)[0])


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
