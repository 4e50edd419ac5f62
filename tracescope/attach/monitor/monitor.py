"""The process monitor on this machine: every exec, every failed one, every process's beginning and end."""

from __future__ import annotations

import os
from contextlib import ExitStack

from tracescope.attach.backend import Backend, Loaded
from tracescope.attach.decode.events import Clock
from tracescope.attach.kernel import bpf, tree
from tracescope.attach.kernel.perf_event import attach_tracepoint
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.libbpf.backend import LibbpfBackend
from tracescope.attach.libbpf.library import missing_library
from tracescope.attach.libbpf.types import library_types
from tracescope.attach.monitor import shipped
from tracescope.attach.monitor.decode import decode_record
from tracescope.attach.monitor.plan import EVENTS, OFFSETS, MonitorPlan, monitor_plan, read_offsets
from tracescope.attach.monitor.program import Kind, monitor_text
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.ready import check_kernel, read_formats
from tracescope.attach.session import RingSession, program_of
from tracescope.attach.types import kept_offsets, read_types
from tracescope.errors import AttachError, Refused, TraceScopeError
from tracescope.host import Host
from tracescope.processes.events import ProcessEvent

__all__ = ("MonitorSession", "open_monitor", "plan_monitor")

# Attached in this order: what ends before what begins, so that nothing is left without its end.
_RAW = {
    "raw_switch": "sched_switch",
    "raw_exit": "sched_process_exit",
    "raw_exec": "sched_process_exec",
    "raw_fork": "sched_process_fork",
}
_COUNTED = {
    Kind.FORK: ("raw_fork",),
    Kind.EXEC: ("raw_exec",),
    Kind.FAILED: ("sys_exit",),
    Kind.EXIT: ("raw_exit",),
}


class MonitorSession(RingSession[ProcessEvent]):
    """Attaches the process monitor; `counts().per_probe` is by `Kind`."""

    def __init__(self, plan: MonitorPlan, *, backend: Backend | None = None, buffer: int = 100_000) -> None:
        super().__init__(
            monitor_text(plan), record_size=None, counters=len(Kind), filtered=bool(plan.filters),
            backend=backend, buffer=buffer, transport=plan.transport,
        )  # fmt: skip
        self.plan = plan
        self.shipped = (backend is None or isinstance(backend, LibbpfBackend)) and not shipped.why_not(plan)
        """The object of the package runs, and not the text."""
        if self.shipped:
            self.backend = "libbpf"
        self._clock = Clock.now()

    def decode(self, record: bytes) -> ProcessEvent:
        """The event in a record."""
        return decode_record(record, self._clock)

    def _load(self) -> Loaded:
        """The object of the package, or where that cannot be used the text, compiled."""
        if not self.shipped:
            return super()._load()
        refusal: TraceScopeError
        try:
            loaded = shipped.load(self.plan)
            if not loaded.refused:
                return loaded
            refusal = next(iter(loaded.refused.values()))
            loaded.close()
        except AttachError as error:
            refusal = error
        self.shipped = False
        self.backend = "libbpf" if isinstance(self._backend, LibbpfBackend) else "bcc"
        try:
            return super()._load()
        except Refused:
            raise refusal from None

    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        for function, event in _RAW.items():
            if function in loaded.programs or function in loaded.refused:
                attached.callback(os.close, _attach_raw(event, program_of(loaded, function)))
        for format_ in self.plan.calls:
            program = "sys_exit" if format_.name.startswith("sys_exit_") else format_.name
            attached.callback(os.close, attach_tracepoint(format_, program_of(loaded, program)))
        if "left_out" in loaded.maps:
            tree.leave_out(loaded.maps["left_out"], self.plan.filters.but_not)
        if self.plan.filters.tree:
            tree.seed(loaded.maps["tree"], self.plan.filters.tree)

    def _counted(self, index: int) -> tuple[str, ...]:
        return _COUNTED[Kind(index)]


def _attach_raw(event: str, program: int) -> int:
    try:
        return bpf.open_raw_tracepoint(event, program)
    except OSError as error:
        raise AttachError(f"rawtracepoint:{event} cannot be attached", error.strerror or str(error)) from error


def open_monitor(
    host: Host,
    filters: Filters = NO_FILTERS,
    *,
    strict: bool = False,
    failed_only: bool = False,
    buffer: int = 100_000,
    backend: Backend | None = None,
) -> MonitorSession:
    """A monitor that is ready to start; raises Refused when this host cannot run it."""
    if not host.live:
        why = "it is a recording of another machine's sources"
        raise Refused("the processes of a snapshot cannot be monitored", why, "leave out --host")
    transport = check_kernel()
    plan = plan_monitor(host, filters, strict=strict, failed_only=failed_only, transport=transport)
    return MonitorSession(plan, buffer=buffer, backend=backend)


def plan_monitor(
    host: Host, filters: Filters = NO_FILTERS, *, strict: bool = False, failed_only: bool = False,
    transport: Transport = Transport.RING,
) -> MonitorPlan:  # fmt: skip
    """The plan with what the host says about its structures and events. Raises Refused."""
    try:
        found = kept_offsets(host, "monitor", OFFSETS, lambda: _read_offsets(host))
    except Refused:
        raise
    except TraceScopeError as error:
        fix = "tracescope attach 'tracepoint:syscalls:sys_*_execve*' shows the calls"
        raise Refused("the process monitor needs the kernel's own types (BTF)", str(error), fix) from None
    offsets = dict(zip(OFFSETS, found, strict=True))
    formats = read_formats(host, EVENTS)
    return monitor_plan(offsets, formats, filters, strict=strict, failed_only=failed_only, transport=transport)


def _read_offsets(host: Host) -> list[int]:
    if host.live and missing_library() is None:
        with library_types() as types:
            return read_offsets(types)
    return read_offsets(read_types(host))
