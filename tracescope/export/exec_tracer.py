"""When the chosen probes are those of execve: then the whole truth about starting processes is exported. Pure."""

from __future__ import annotations

from tracescope.export.tracer import Tracer

__all__ = ("is_exec",)

_CALLS = frozenset(
    f"tracepoint:syscalls:sys_{end}_{name}" for name in ("execve", "execveat") for end in ("enter", "exit")
)


def is_exec(tracer: Tracer) -> bool:
    """True for both ends of execve, or of execve and execveat, with nothing else asked of them."""
    probes = {target.probe for target in tracer.targets}
    both = {"tracepoint:syscalls:sys_enter_execve", "tracepoint:syscalls:sys_exit_execve"}
    asked = tracer.where.strip() or tracer.show or tracer.counts
    return both <= probes <= _CALLS and not asked
