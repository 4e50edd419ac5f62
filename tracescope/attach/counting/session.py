"""A session that counts in the kernel: what it has counted can be read at any time, and is exact when it has ended."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar

from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.ask.keys import Counted
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind, SummaryPlan, SummaryRow, summary_plan
from tracescope.attach.backend import Backend, Loaded
from tracescope.attach.counting.rows import StackTable, read_rows, stack_pids
from tracescope.attach.hang import program_types
from tracescope.attach.life import ProgramSession
from tracescope.attach.open import check_host, kernel_types, open_plan
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.program import summary_text
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.session import attach_plan
from tracescope.attach.symbols.map_events import MapEvents
from tracescope.attach.symbols.mappings import Mappings
from tracescope.attach.symbols.symbols import Symbols
from tracescope.attach.targets.target import Target, as_call, tracepoint
from tracescope.errors import AttachError
from tracescope.host import Host, LiveHost
from tracescope.model import EventFormat

__all__ = ("SummarySession", "open_summary", "open_summary_plan")


class SummarySession(ProgramSession):
    """Attaches the probes of a plan, which count."""

    COUNT: ClassVar = struct.Struct("=QQQ")
    PAUSE: ClassVar = 0.1

    def __init__(self, plan: SummaryPlan, *, backend: Backend | None = None) -> None:
        probes = plan.plan.probes
        super().__init__(
            summary_text(plan), counters=len(probes), backend=backend, kinds=program_types(plan.plan),
            filtered=any(probe.condition for probe in probes) or bool(plan.plan.filters),
        )  # fmt: skip
        self.plan = plan
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self._mappings = Mappings()
        self.symbols = Symbols(LiveHost(), self._mappings)
        """Names the stacks of the rows, also after the session's end."""
        self._stacks = StackTable()
        self._rows: list[SummaryRow] = []

    def summary(self) -> list[SummaryRow]:
        """Everything that was counted up to now, in no order; exact after `stop()`. For any thread."""
        with self._lock:
            if self._loaded:
                self._rows = read_rows(self.plan, self._loaded.maps, self._cpus, self._stacks)
            return list(self._rows)

    def _open(self, loaded: Loaded, undo: ExitStack) -> Callable[[], None]:
        new = MapEvents(self._mappings) if KeyKind.USER_STACK in self.plan.stacked else None
        if new is not None:
            undo.callback(new.close)

        def read() -> None:
            if new is not None:
                new.read()
                for pid in {*stack_pids(self.plan, loaded.maps, self._cpus)}:
                    self.symbols.see_once(pid)
            if self._stop.is_set():
                self.summary()

        return read

    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        self.failed += attach_plan(self.plan.plan, loaded, attached)

    def _counted(self, index: int) -> tuple[str, ...]:
        return (self.plan.plan.probes[index].function,)


def open_summary(
    host: Host, wanted: Sequence[EventFormat | Target], counted: Counted, filters: Filters = NO_FILTERS, *,
    asked: Asked = NOTHING, backend: Backend | None = None,
) -> SummarySession:  # fmt: skip
    """A session that is ready to start; raises Refused when this host cannot run it, UsageError for keys."""
    check_host(host)
    return SummarySession(open_summary_plan(host, wanted, counted, filters, asked=asked), backend=backend)


def open_summary_plan(
    host: Host, wanted: Sequence[EventFormat | Target], counted: Counted, filters: Filters = NO_FILTERS, *,
    asked: Asked = NOTHING,
) -> SummaryPlan:  # fmt: skip
    """The plan of a summary, as `open_plan`; of `asked` only the condition counts."""
    types = kernel_types(host)
    # Nothing is read of an execve's arguments but what is counted by.
    targets = [as_call(tracepoint(one) if isinstance(one, EventFormat) else one) for one in wanted]
    plan = open_plan(host, targets, filters, asked=Asked(asked.where), bare=True, types=types, share=False)
    readings = [counted.reading(scope_of(probe.target, types), probe.index) for probe in plan.probes]
    return summary_plan(plan, counted.names, readings, counted.scale, entries=counted.entries)
