"""When the chosen probes are those of execve: then the whole truth about starting processes is exported. Pure."""

from __future__ import annotations

from tracescope.attach.targets.target import Shape
from tracescope.export.tracer import Tracer

__all__ = ("calls_of", "is_exec", "is_exec_pair")

_CALLS = {
    name: {f"tracepoint:syscalls:sys_{end}_{name}" for end in ("enter", "exit")} for name in ("execve", "execveat")
}


def is_exec_pair(tracer: Tracer) -> bool:
    """True where entry and return of execve or execveat are one event."""
    return any(target.shape is Shape.EXEC and target.end is not None for target in tracer.targets)


def calls_of(tracer: Tracer) -> tuple[str, ...]:
    """Of execve and execveat those whose ends are traced; both where the whole tracer is written."""
    if not is_exec_pair(tracer):
        return tuple(_CALLS)
    return tuple(name for name, ends in _CALLS.items() if any(target.probe in ends for target in tracer.targets))


def is_exec(tracer: Tracer) -> bool:
    """True for both ends of execve, or of execve and execveat, and nothing else asked; of a pair conditions."""
    ends = [end for target in tracer.targets for end in (target, target.end) if end is not None]
    probes = {end.probe for end in ends}
    paired = is_exec_pair(tracer)
    if not (paired or _CALLS["execve"] <= probes) or not probes <= set().union(*_CALLS.values()):
        return False
    return not (tracer.show or tracer.counts or (tracer.where.strip() and not paired))
