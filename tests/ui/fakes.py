"""A small deterministic host in memory, and a session that hands over what a test puts into it."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from textual.pilot import Pilot

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.cost import NO_COST, Cost
from tracescope.attach.decode.events import Event
from tracescope.attach.governor import Governor
from tracescope.attach.plan import plan
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.session import Counts, ProbeCount, SessionState
from tracescope.attach.targets.target import Target
from tracescope.catalog.read import read_all
from tracescope.catalog.store import Catalog
from tracescope.errors import AttachError, Missing, Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat, SourceReport
from tracescope.ui.app import TraceScope
from tracescope.ui.config import Config
from tracescope.ui.screens.live import LiveScreen
from tracescope.ui.widgets.filter import FilterInput

__all__ = (
    "FakeSession",
    "FakeStats",
    "MemoryHost",
    "event",
    "live",
    "make_app",
    "screen_text",
    "screen_words",
    "settle",
    "tick",
    "type_text",
)

EVENTS = "/sys/kernel/tracing/events"
_COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""


def _format(name: str, number: int, fields: str, print_fmt: str) -> bytes:
    return f"name: {name}\nID: {number}\nformat:\n{_COMMON}\n{fields}\nprint fmt: {print_fmt}\n".encode()


_NR = "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
_ENTER = (
    _NR
    + "\tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;\n"
    + "\tfield:const char *const * argv;\toffset:24;\tsize:8;\tsigned:0;\n"
    + "\tfield:const char *const * envp;\toffset:32;\tsize:8;\tsigned:0;\n"
)
_EXIT = _NR + "\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n"
_SWITCH = (
    "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
    "\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n"
    "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n"
    "\tfield:char next_comm[96];\toffset:40;\tsize:96;\tsigned:0;\n"
)
_STATES = ", ".join(f'{{ 0x{1 << bit:x}, "{name}" }}' for bit, name in enumerate("SDTtXZPI"))
_SYMBOLS = """\
ffffffff81000000 T _stext
ffffffff81001000 t __pfx_vfs_read
ffffffff81001010 T vfs_read
ffffffff81002000 T vfs_write
ffffffff81003000 t do_execveat_common.isra.0
ffffffff81004000 D jiffies
ffffffff81005000 T register_kprobe
ffffffffc0001000 t ext4_file_open\t[ext4]
ffffffffc0002000 d ext4_data\t[ext4]
"""


class MemoryHost:
    """A host whose files are in a dict; it has no tools."""

    label = "a test host"
    tracefs = "/sys/kernel/tracing"

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.notes: list[str] = []
        self.files: dict[str, bytes] = {
            "/proc/kallsyms": _SYMBOLS.encode(),
            f"{EVENTS}/sched/sched_switch/format": _format(
                "sched_switch", 300, _SWITCH, f'"prev=%s", __print_flags(REC->prev_state, "|", {_STATES})'
            ),
            **{
                f"{EVENTS}/syscalls/{name}/format": _format(name, number, fields, '"ret=0x%lx", REC->ret')
                for name, number, fields in (
                    ("sys_enter_execve", 862, _ENTER),
                    ("sys_exit_execve", 861, _EXIT),
                    ("sys_enter_execveat", 860, _ENTER),
                    ("sys_exit_execveat", 859, _EXIT),
                )
            },
        }

    def read(self, path: str) -> bytes:
        """The file's bytes."""
        if path not in self.files:
            raise Missing(f"{path} is not there", "No such file or directory")
        return self.files[path]

    def names(self, path: str) -> list[str]:
        """The names in a folder."""
        inside = {name[len(path) + 1 :].partition("/")[0] for name in self.files if name.startswith(f"{path}/")}
        if not inside:
            raise Missing(f"{path} is not there", "No such file or directory")
        return sorted(inside)

    def exists(self, path: str) -> bool:
        """True for files and folders."""
        return any(name == path or name.startswith(f"{path}/") for name in self.files)

    def run(self, *command: str) -> bytes:
        """No tool is installed."""
        raise Missing(f"{command[0]} is not installed", f"no program named {command[0]} on PATH")

    def close(self) -> None:
        """Nothing is open."""


class FakeSession:
    """A session of the right shape: `put` events, `take` gives their records."""

    def __init__(
        self,
        wanted: Sequence[EventFormat | Target],
        options: AttachOptions | None = None,
        *,
        fails: TraceScopeError | None = None,
    ) -> None:
        self.options = options or AttachOptions()
        self.plan = plan(wanted, filters=self.options.filters)
        self.state = SessionState.PREPARE
        self.backend, self.chosen = "bcc", ""
        self.timings: dict[SessionState, float] = {}
        self.governor: Governor | None = None
        self.cost: dict[str, Cost] = {}
        self.error: TraceScopeError | None = None
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self.program_text = "/* [bold]not markup[/bold] */\nint probe_0(void *ctx)\n{\n\treturn 0;\n}\n"
        self.has_words = False
        self.lost = 0
        self.skipped = 0
        self.stops = 0
        self._fails = fails
        self._events: dict[bytes, Event] = {}
        self._new: deque[bytes] = deque()
        self._number = count()

    @property
    def probes(self) -> list[str]:
        """The full names."""
        return [probe.name for probe in self.plan.probes]

    def fail(self, probe: str, error: AttachError) -> None:
        """One of the probes is not attached."""
        self.failed.append((next(one for one in self.plan.probes if one.name == probe), error))

    def start(self) -> None:
        """Run, or fail as told."""
        self.error = self._fails
        self.timings = {SessionState.PREPARE: 0.0, SessionState.LOAD: 0.212, SessionState.ATTACH: 0.031}
        self.state = SessionState.FAILED if self._fails else SessionState.RUN

    def put(self, *events: Event) -> None:
        """Make these the next events."""
        for made in events:
            record = HEADER.pack(made.time_ns, made.cpu, 0, made.pid, made.tid, 0, next(self._number), b"")
            self._events[record] = made
            self._new.append(record)

    def take(self, limit: int | None = None) -> list[bytes]:
        """What came since the last time."""
        size = len(self._new) if limit is None else min(limit, len(self._new))
        return [self._new.popleft() for _ in range(size)]

    def decode(self, record: bytes) -> Event:
        """The event that was put."""
        return self._events[record]

    def prepare_words(self) -> None:
        """Nothing to read."""
        self.has_words = True

    def words(self, record: bytes) -> str | None:
        """What a kernel might say."""
        return f"kernel: \x1b{self._events[record].comm} [bold]"

    def counts(self) -> Counts:
        """All that was put."""
        events = list(self._events.values())
        by_probe = Counter(one.probe for one in events)
        per_probe = [ProbeCount(by_probe[probe]) for probe in self.probes]
        per_probe[0] = ProbeCount(by_probe[self.probes[0]], self.lost, 0, self.skipped)
        return Counts(len(events), self.lost, 0, tuple(per_probe))

    def costs(self) -> tuple[Cost, ...]:
        """What a test says."""
        return tuple(self.cost.get(probe, NO_COST) for probe in self.probes)

    def stop(self) -> None:
        """Detached."""
        self.stops += 1
        self.state = SessionState.ENDED


_EVENT = Event(
    time_ns=1_790_000_000_123_456_789,
    cpu=1,
    probe="tracepoint:syscalls:sys_enter_execve",
    pid=4242,
    tid=4242,
    ppid=812,
    comm="bash",
    args={"filename": "/bin/ls", "argv": ["ls", "-l"], "envp": 23},
)


def event(**changes: object) -> Event:
    """An event of `ls -l`, with changes."""
    return _EVENT._replace(**changes)  # type: ignore[arg-type]


def read_memory(
    host: Host,
    report: Callable[[SourceReport], None],
    ready: Callable[[Catalog], None],
    cancelled: Callable[[], bool],
) -> object:
    """The real reading, with times that do not vary."""
    return read_all(host, lambda r: report(replace(r, seconds=0.0)), ready, cancelled)


def no_monitor(_host: Host) -> object:
    """A host without a process monitor."""
    raise Refused("the processes cannot be monitored", "this host is a test's", "take another")


class FakeStats:
    """Run-time statistics that cost nothing; `on` says how many are kept."""

    on = 0

    def __init__(self) -> None:
        FakeStats.on += 1

    def close(self) -> None:
        """No more."""
        FakeStats.on -= 1


def make_app(
    host: MemoryHost | None = None,
    *,
    config: Config | None = None,
    fails: TraceScopeError | None = None,
    refuses: TraceScopeError | None = None,
    problem: TraceScopeError | None = None,
    open_monitor: Callable[[Host], object] = no_monitor,
    open_stats: Callable[[], object] = FakeStats,
    check: Callable[[], None] = lambda: None,
) -> tuple[TraceScope, list[FakeSession]]:
    """An app on a host in memory, and the list of the sessions that it opens."""
    sessions: list[FakeSession] = []

    def open_session(host: Host, targets: Sequence[Target], options: AttachOptions) -> FakeSession:
        if refuses is not None:
            raise refuses
        sessions.append(FakeSession(targets, options, fails=fails))
        return sessions[-1]

    app = TraceScope(
        host or MemoryHost(),  # type: ignore[arg-type]
        read=read_memory,
        open_session=open_session,  # type: ignore[arg-type]
        open_monitor=open_monitor,  # type: ignore[arg-type]
        open_stats=open_stats,  # type: ignore[arg-type]
        check=check,
        config=config,
        problem=problem,
    )
    return app, sessions


def screen_text(app: TraceScope) -> str:
    """What is on the screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def screen_words(app: TraceScope) -> str:
    """The same with frames and line breaks taken out: where a sentence wraps depends on the checkout's path."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", screen_text(app)).split())


async def settle(pilot: Pilot) -> None:
    """Let workers, their messages and the facets' timer run out."""
    for pause in (0.0, 0.01, 0.01, 0.0):
        while any(not worker.is_finished for worker in pilot.app.workers):
            await pilot.pause(0.005)
        await pilot.pause(pause)


async def type_text(pilot: Pilot, text: str) -> None:
    """Put a text into the filter line."""
    await settle(pilot)
    pilot.app.screen.query_one(FilterInput).value = text
    await settle(pilot)


async def tick(pilot: Pilot) -> None:
    """What the app's timer does, now."""
    pilot.app.feed.counted_until = 0.0
    pilot.app._pressed = 0.0
    await pilot.app._tick()
    await pilot.pause()


async def live(pilot: Pilot, sessions: list[FakeSession]) -> None:
    """Leave the filter line and press `e`."""
    await settle(pilot)
    await pilot.press("down", "e")
    await settle(pilot)
    await tick(pilot)
    assert isinstance(pilot.app.screen, LiveScreen)
    assert len(sessions) == 1
