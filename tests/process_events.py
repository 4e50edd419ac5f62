"""Process events in few words, for the tests: times are milliseconds since T0."""

from __future__ import annotations

from tracescope.processes import ExecEvent, ExecFailed, ExitEvent, ForkEvent

T0 = 1_800_000_000_000_000_000
MS = 1_000_000


def at(ms: float) -> int:
    return T0 + round(ms * MS)


def fork(ms: float, pid: int, ppid: int, **more) -> ForkEvent:
    more = {"tid": pid, "start_ns": pid * 1000, **more}
    return ForkEvent(time_ns=at(ms), pid=pid, ppid=ppid, **more)


def run(ms: float, pid: int, path: str, *arguments: str, **more) -> ExecEvent:
    more = {"tid": pid, "start_ns": pid * 1000, "ret": 0, "argv": (path, *arguments), **more}
    return ExecEvent(time_ns=at(ms), pid=pid, filename=path, **more)


def fail(ms: float, pid: int, path: str, errno: str = "ENOENT", **more) -> ExecFailed:
    more = {"tid": pid, "start_ns": pid * 1000, "argv": (path,), **more}
    return ExecFailed(time_ns=at(ms), pid=pid, filename=path, errno=errno, **more)


def end(ms: float, pid: int, code: int | None = 0, **more) -> ExitEvent:
    more = {"tid": pid, "start_ns": pid * 1000, **more}
    return ExitEvent(time_ns=at(ms), pid=pid, exit_code=code, **more)
