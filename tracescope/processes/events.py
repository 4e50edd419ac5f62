"""What happens to processes: fork, exec, failed exec, exit, as values and as the objects of `exec --json`.

None stands for what is not known and is absent from the JSON. Pure: no kernel, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeAlias

from tracescope.errors import Damaged

__all__ = (
    "ExecEvent",
    "ExecFailed",
    "ExitEvent",
    "ForkEvent",
    "ProcessEvent",
    "event_from_json",
    "rfc3339",
    "time_of",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_LOWEST, _HIGHEST = -(1 << 63), 1 << 64
# The C type of each annotation, as json.loads() gives it.
_TYPES = {"int": int, "int | None": int, "str": str, "str | None": str, "bool | None": bool}


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvent(_Event):
    """A process was made: `pid` is the child, `ppid` who forked it, `comm` what both are called."""

    name: ClassVar[str] = "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
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
    ret: int | None = None
    duration_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecEvent(_Exec):
    """A process runs a new program from now on; `comm_before` is what it was called until then."""

    comm_before: str | None = None
    interpreter: str | None = None

    name: ClassVar[str] = "exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecFailed(_Exec):
    """An exec that was refused: the process goes on as it was."""

    errno: str | None = None

    name: ClassVar[str] = "exec_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitEvent(_Event):
    """A process (not a thread) ended. `cpu_ns` is what all its threads used since its fork."""

    lifetime_ns: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    """The number of the signal that killed it."""
    core: bool | None = None
    cpu_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None

    name: ClassVar[str] = "exit"


ProcessEvent: TypeAlias = ForkEvent | ExecEvent | ExecFailed | ExitEvent

_KINDS: dict[object, type[ProcessEvent]] = {kind.name: kind for kind in (ForkEvent, ExecEvent, ExecFailed, ExitEvent)}
_KEYS = {kind: tuple(field.name for field in fields(kind) if field.name != "time_ns") for kind in _KINDS.values()}
_CHECKS = {
    kind: {field.name: _TYPES.get(str(field.type), list) for field in fields(kind) if field.name != "time_ns"}
    for kind in _KINDS.values()
}


def rfc3339(time_ns: int) -> str:
    """A time of day as `2026-01-31T12:00:00.000001Z`."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time; ValueError when it is none, or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no zone in {text!r}")
    since = moment - _EPOCH
    return ((since.days * _DAY + since.seconds) * 1_000_000 + since.microseconds) * 1000


def event_from_json(data: Mapping[str, object]) -> ProcessEvent:
    """The event in an object of `exec --json`; keys of a later schema are left out, Damaged if it is no such object."""
    kind = _KINDS.get(data.get("event"))
    if kind is None:
        raise Damaged("this is no event of a process", f"its `event` is {data.get('event')!r:.40}")
    checks = _CHECKS[kind]
    values = {}
    for key, value in data.items():
        wanted = checks.get(key)
        if wanted is None or value is None:
            continue
        if type(value) is not wanted:
            raise Damaged(f"this is no {kind.name} event", f"`{key}` is {value!r:.40}")
        if wanted is int and not _LOWEST <= value < _HIGHEST:  # type: ignore[operator]
            raise Damaged(f"this is no {kind.name} event", f"`{key}` does not fit 64 bits")
        values[key] = value
    argv = values.get("argv")
    if argv is not None:
        values["argv"] = _arguments(argv)
    try:
        return kind(time_ns=time_of(data["time"]), **values)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"this is no {kind.name} event", str(error)) from None


def _arguments(argv: object) -> tuple[str | None, ...]:
    words = tuple(argv)  # type: ignore[arg-type]
    for word in words:
        if type(word) is not str and word is not None:
            raise Damaged("this is no exec event", f"{word!r:.40} among its arguments")
    return words
