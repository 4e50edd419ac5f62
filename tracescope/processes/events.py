"""What happens to processes: fork, exec, failed exec, exit, as values and as the objects of `exec --json`.

None stands for what is not known and is absent from the JSON. Pure: no kernel, no clock. Events are values: nobody
changes one. They are not frozen because Python takes 6 µs to make a frozen one of this size, and 0.4 µs to make these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, TypeAlias

from tracescope.errors import Damaged

__all__ = (
    "ExecEvent",
    "ExecFailed",
    "ExitEvent",
    "ForkEvent",
    "ProcessEvent",
    "event_from_json",
    "events_from_json",
    "rfc3339",
    "time_of",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_TOO_LONG = 1 << 63
# What json.loads() gives for each annotation.
_TYPES = {"int": int, "int | None": int, "str": str, "str | None": str, "bool | None": bool}


@dataclass(slots=True)
class _Event:
    """What every event can carry. `start_ns` is the task's start time: with `pid` it names one process for ever."""

    time_ns: int
    """The time of day since 1970."""
    pid: int
    tid: int | None = None
    ppid: int | None = None
    uid: int | None = None
    comm: str | None = None
    start_ns: int | None = None
    parent_start_ns: int | None = None
    cgroup_id: int | None = None
    ns_pid: int | None = None

    name: ClassVar[str]

    def to_json(self) -> dict[str, object]:
        """The object of the contract; what is not known is absent, `time` has microseconds."""
        found: dict[str, object] = {"event": self.name, "time": rfc3339(self.time_ns)}
        for key in _KEYS[type(self)]:
            value = getattr(self, key)
            if value is not None:
                found[key] = list(value) if type(value) is tuple else value
        return found


@dataclass(slots=True)
class ForkEvent(_Event):
    """A process was made: `pid` is the child, `ppid` who forked it, `comm` what both are called."""

    name: ClassVar[str] = "fork"


@dataclass(slots=True)
class _Exec(_Event):
    filename: str | None = None
    """As requested: for a script the script, not its interpreter."""
    filename_error: bool | None = None
    argv: tuple[str | None, ...] | None = None
    """None in it stands for an argument that could not be read."""
    argv_truncated: bool | None = None
    argv_size: int | None = None
    """Its true size in bytes."""
    argv_error: bool | None = None
    fd: int | None = None
    """The descriptor that execveat was given; for execve it is absent."""
    at_flags: int | None = None
    ret: int | None = None
    duration_ns: int | None = None


@dataclass(slots=True)
class ExecEvent(_Exec):
    """A process runs a new program from now on; `comm_before` is what it was called until then."""

    comm_before: str | None = None
    interpreter: str | None = None
    exe: str | None = None
    """The file that runs, as the kernel found it: no links, for a script the interpreter's."""

    name: ClassVar[str] = "exec"


@dataclass(slots=True)
class ExecFailed(_Exec):
    """An exec that was refused: the process goes on as it was."""

    errno: str | None = None

    name: ClassVar[str] = "exec_failed"


@dataclass(slots=True)
class ExitEvent(_Event):
    """A process (not a thread) ended. `cpu_ns` is what all its threads used since its fork."""

    lifetime_ns: int | None = None
    """How long its last program ran; without exec, how long it lived."""
    age_ns: int | None = None
    """How long it lived, from its fork."""
    exit_code: int | None = None
    signal: int | None = None
    """The number of the signal that killed it."""
    core: bool | None = None
    cpu_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    max_rss: int | None = None
    """Most memory it had, in bytes."""

    name: ClassVar[str] = "exit"


ProcessEvent: TypeAlias = ForkEvent | ExecEvent | ExecFailed | ExitEvent

_KINDS: dict[object, type[ProcessEvent]] = {kind.name: kind for kind in (ForkEvent, ExecEvent, ExecFailed, ExitEvent)}
_KEYS: dict[type, tuple[str, ...]]
_KEYS = {kind: tuple(field.name for field in fields(kind) if field.name != "time_ns") for kind in _KINDS.values()}
_MAX_SIGNATURES = 1000


def rfc3339(time_ns: int) -> str:
    """A time of day as `2026-01-31T12:00:00.000001Z`."""
    seconds, rest = divmod(time_ns // 1000, 1_000_000)
    return f"{_second(seconds)}.{rest:06}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    # Thousands of events fall into one second, and strftime() takes 4 µs.
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def time_of(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time; ValueError when it is none, or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no zone in {text!r}")
    since = moment - _EPOCH
    return ((since.days * _DAY + since.seconds) * 1_000_000 + since.microseconds) * 1000


class _Reader:
    """Makes the events of one kind from their objects; types are checked once for each combination of types."""

    def __init__(self, kind: type[ProcessEvent]) -> None:
        self._kind = kind
        self._keys = _KEYS[kind]
        types = {field.name: _TYPES.get(str(field.type), list) for field in fields(kind)}
        self._types = [types[key] for key in self._keys]
        self._argv = self._keys.index("argv") if "argv" in self._keys else None
        self._durations = [self._keys.index(key) for key in ("lifetime_ns", "cpu_ns") if key in self._keys]
        self._seen: set[tuple[type, ...]] = set()

    def read(self, data: Mapping[str, object]) -> ProcessEvent:
        """The event in an object; Damaged when a value is missing or of another type."""
        values = list(map(data.get, self._keys))
        signature = tuple(map(type, values))
        if signature not in self._seen:
            self._check(values)
            if len(self._seen) < _MAX_SIGNATURES:
                self._seen.add(signature)
        if self._argv is not None and values[self._argv] is not None:
            values[self._argv] = self._arguments(values[self._argv])
        for index in self._durations:
            if values[index] is not None and not 0 <= values[index] < _TOO_LONG:  # type: ignore[operator]
                raise self._damaged(f"`{self._keys[index]}` is no duration")
        try:
            moment = time_of(data["time"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(f"its time: {error}") from None
        return self._kind(moment, *values)  # type: ignore[arg-type]

    def _check(self, values: list[object]) -> None:
        for key, value, wanted in zip(self._keys, values, self._types, strict=True):
            if type(value) is not wanted and (value is not None or key == "pid"):
                raise self._damaged(f"`{key}` is {value!r:.40}")

    def _arguments(self, argv: object) -> tuple[str | None, ...]:
        words: tuple[str | None, ...] = tuple(argv)  # type: ignore[arg-type]
        try:
            "".join(words)  # type: ignore[arg-type]
        except TypeError:
            # Rare: an argument that could not be read is None.
            if not {str, type(None)}.issuperset(map(type, words)):
                raise self._damaged("an argument is no text") from None
        return words

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"this is no {self._kind.name} event", why)


_READERS = {name: _Reader(kind) for name, kind in _KINDS.items()}


def event_from_json(data: Mapping[str, object]) -> ProcessEvent:
    """The event in an object of `exec --json`; keys of a later schema are left out, Damaged if it is no such object."""
    try:
        reader = _READERS[data["event"]]
    except (KeyError, TypeError):
        raise Damaged("this is no event of a process", f"its `event` is {data.get('event')!r:.40}") from None
    return reader.read(data)


def events_from_json(rows: Iterable[Mapping[str, object]]) -> tuple[list[ProcessEvent], int]:
    """The events in such objects, and how many of the objects are none."""
    events: list[ProcessEvent] = []
    damaged = 0
    for data in rows:
        try:
            events.append(event_from_json(data))
        except Damaged:
            damaged += 1
    return events, damaged
