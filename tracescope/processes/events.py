"""What happens to processes: fork, exec, failed exec, exit, as values and as the objects of `exec --json`.

None stands for what is not known and is absent from the JSON. Pure: no kernel, no clock. Events are values: nobody
changes one. They hold nothing that could refer back to them, so the garbage collector leaves them alone (`gc`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from msgspec import Meta, Struct, field

__all__ = (
    "KINDS",
    "ExecEvent",
    "ExecFailed",
    "ExitEvent",
    "ForkEvent",
    "ProcessEvent",
    "keys_of",
    "rfc3339",
    "time_of",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_LENGTH = len("2026-01-31T12:00:00.000001Z")

if TYPE_CHECKING:
    TimeOfDay: TypeAlias = int
else:

    class TimeOfDay(int):
        """Nanoseconds since 1970; in the JSON the text of RFC 3339. An event that was not read has any integer."""


_Duration: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class _Event(Struct, gc=False, omit_defaults=True, tag_field="event"):
    """What every event can carry. `start_ns` is the task's start time: with `pid` it names one process for ever."""

    time_ns: TimeOfDay = field(name="time")
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


class ForkEvent(_Event, tag="fork"):
    """A process was made: `pid` is the child, `ppid` who forked it, `comm` what both are called."""

    name: ClassVar[str] = "fork"


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


class ExecEvent(_Exec, tag="exec"):
    """A process runs a new program from now on; `comm_before` is what it was called until then."""

    comm_before: str | None = None
    interpreter: str | None = None
    exe: str | None = None
    """The file that runs, as the kernel found it: no links, for a script the interpreter's."""

    name: ClassVar[str] = "exec"


class ExecFailed(_Exec, tag="exec_failed"):
    """An exec that was refused: the process goes on as it was."""

    errno: str | None = None

    name: ClassVar[str] = "exec_failed"


class ExitEvent(_Event, tag="exit"):
    """A process (not a thread) ended. `cpu_ns` is what all its threads used since its fork."""

    lifetime_ns: _Duration | None = None
    """How long its last program ran; without exec, how long it lived."""
    age_ns: int | None = None
    """How long it lived, from its fork."""
    exit_code: int | None = None
    signal: int | None = None
    """The number of the signal that killed it."""
    core: bool | None = None
    cpu_ns: _Duration | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    max_rss: int | None = None
    """Most memory it had, in bytes."""

    name: ClassVar[str] = "exit"


ProcessEvent: TypeAlias = ForkEvent | ExecEvent | ExecFailed | ExitEvent

KINDS: dict[object, type[ProcessEvent]] = {kind.name: kind for kind in (ForkEvent, ExecEvent, ExecFailed, ExitEvent)}
"""The kinds of events by the name that their objects have in `event`."""

_KEYS: dict[type, tuple[str, ...]]
_KEYS = {kind: kind.__struct_fields__[1:] for kind in KINDS.values()}


def keys_of(kind: type[ProcessEvent]) -> tuple[str, ...]:
    """The keys that an object of this kind can have beside `event` and `time`, in the order of the fields."""
    return _KEYS[kind]


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
    # As rfc3339() writes it: thousands of events share the second.
    if type(text) is str and len(text) == _LENGTH and text[-1] == "Z":
        fraction = text[20:26]
        if fraction.isdigit() and fraction.isascii():
            return _begin_of(text[:20]) + int(fraction) * 1000
    return _parse(text)


@lru_cache(maxsize=16)
def _begin_of(second: str) -> int:
    return _parse(second + "000000Z")


def _parse(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no zone in {text!r}")
    since = moment - _EPOCH
    return ((since.days * _DAY + since.seconds) * 1_000_000 + since.microseconds) * 1000
