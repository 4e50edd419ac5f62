"""One running attachment of the probes of a plan."""

from __future__ import annotations

import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from tracescope.attach.backend import Backend, Loaded
from tracescope.attach.blocked import Blocked
from tracescope.attach.decode.decode import Decoder, shown_in_hex
from tracescope.attach.decode.events import Clock, Event
from tracescope.attach.decode.kernel_words import KernelWords
from tracescope.attach.decode.symbol_words import KernelFacts
from tracescope.attach.hang import hang, hang_many, program_types
from tracescope.attach.kernel import bpf, tree
from tracescope.attach.kernel.links import attach_raw_tracepoint
from tracescope.attach.kernel.perf_event import attach_tracepoint
from tracescope.attach.life import Counts, ProbeCount, SessionState
from tracescope.attach.perf_buffer import batch_of
from tracescope.attach.plan import Helper, Plan
from tracescope.attach.program import program_text
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.ring import Batch
from tracescope.attach.ring_session import RingSession
from tracescope.attach.shared import groups
from tracescope.attach.targets.target import Shape
from tracescope.errors import AttachError
from tracescope.host import LiveHost

if TYPE_CHECKING:
    from tracescope.attach.symbols.code import CodeNames

__all__ = ("Counts", "ProbeCount", "RingSession", "Session", "SessionState", "attach_plan", "program_of")


class Session(RingSession[Event]):
    """Attaches the probes of a plan."""

    COUNT: ClassVar = struct.Struct("=QQQ")

    def __init__(
        self, plan: Plan, *, backend: Backend | None = None, buffer: int = 100_000, governed: bool = False,
        in_words: bool = False,
    ) -> None:  # fmt: skip
        conditions = any(probe.condition for probe in plan.probes)
        super().__init__(
            program_text(plan), record_size=plan.record_size, counters=len(plan.probes),
            filtered=conditions or bool(plan.filters), backend=backend, buffer=buffer, governed=governed,
            kinds=program_types(plan), transport=plan.transport,
        )  # fmt: skip
        self.plan = plan
        self.failed: list[tuple[PlannedProbe, AttachError]] = []
        self._facts = KernelFacts(LiveHost())
        self._code = _code_names(plan)
        naming = {"code": self._code.name} if self._code else {}
        self._decoder = Decoder(plan, Clock.now(), self._facts.symbol, **naming)
        self._words: KernelWords | None = None
        self._blocked: Blocked | None = None
        self._given: Counter[int] = Counter()
        self.in_words = in_words
        """Events say what they are in the kernel's own words too."""

    def decode(self, record: bytes) -> Event:
        """The event in a record."""
        event = self._decoder.decode(record)
        return event._replace(words=self.words(record)) if self.in_words else event

    @property
    def has_words(self) -> bool:
        """`words` answers at once."""
        return self._words is not None

    def prepare_words(self) -> None:
        """Read what the words need of the host: takes a second or two, once. For any thread."""
        if self._words is None:
            words = KernelWords(self.plan, self._facts.lookups)
            if words.names_symbols:
                self._facts.symbol(0)
            self._words = words

    def words(self, record: bytes) -> str | None:
        """The record in the kernel's own words (its `print fmt`); None for what is no tracepoint."""
        self.prepare_words()
        assert self._words is not None
        return self._words(record)

    def _open(self, loaded: Loaded, undo: ExitStack) -> Callable[[], None]:
        read, also = super()._open(loaded, undo), list[Callable[[], None]]()
        if self._code is not None:
            self._code.open(undo, self.plan.filters.pid)
            also.append(self._code.idle)
        if self.plan.waiting_bytes:
            self._blocked = Blocked(loaded.maps, self.plan)
            also.append(self._give_blocked)

        def read_all() -> None:
            for part in (read, *also):
                part()

        return read_all if also else read

    def _see(self, batch: Batch) -> None:
        if self._code is not None:
            self._code.see(batch)

    def _attach(self, loaded: Loaded, attached: ExitStack) -> None:
        if any("ps" in shown_in_hex(probe).values() for probe in self.plan.probes):
            self._facts.warm()
        with ExitStack() as returns:
            if self.plan.waiting_bytes:
                _attach_returns(self.plan, loaded, returns)
            self.failed += attach_plan(self.plan, loaded, attached)
            # The first to go: when the kernel lets go of the probes it waits until all programs have ended.
            attached.push(returns.pop_all())

    def _finish(self) -> None:
        if self._blocked:
            self._give(self._blocked.rest())

    def _give_blocked(self) -> None:
        if self._blocked and not self._stop.is_set():
            self._give(self._blocked.look(time.monotonic_ns()))

    def _give(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Records that no program has handed over, each with its probe's index."""
        self._given.update(probe for probe, _ in records)
        if records:
            self._backlog.put(batch_of(record for _, record in records))

    def _read_counts(self, loaded: Loaded) -> tuple[ProbeCount, ...]:
        handed = super()._read_counts(loaded)
        return tuple(replace(one, events=one.events + self._given[at]) for at, one in enumerate(handed))

    def _counted(self, index: int) -> tuple[str, ...]:
        probe = self.plan.probes[index]
        # What a shared program missed is counted once.
        return (probe.function,) if not probe.shared or index == groups(self.plan.probes)[probe.shared][0].index else ()


def _code_names(plan: Plan) -> CodeNames | None:
    """What names the places of samples; None where none are taken."""
    probes = [probe.index for probe in plan.probes if probe.shape is Shape.SAMPLE]
    if not probes:
        return None
    # Nothing else needs it: it is not read at every start.
    from tracescope.attach.symbols.code import CodeNames

    return CodeNames(LiveHost(), probes)


def attach_plan(plan: Plan, loaded: Loaded, attached: ExitStack) -> list[tuple[PlannedProbe, AttachError]]:
    """Hang all of a plan on its events until `attached` is closed; the probes that cannot be, each with its reason.

    Raises AttachError when that is all of them.
    """
    failed: list[tuple[PlannedProbe, AttachError]] = []
    for helper in plan.before:
        attached.callback(os.close, _attach_helper(helper, loaded))
    for function, probes in groups(plan.probes).items():
        try:
            if probes[0].shared:
                failed += hang_many(probes, program_of(loaded, function), attached)
            else:
                _attach_probe(probes[0], loaded, attached)
        except AttachError as error:
            failed += [(probe, error) for probe in probes]
    if len(failed) == len(plan.probes):
        raise failed[0][1]
    for helper in plan.after:
        attached.callback(os.close, _attach_helper(helper, loaded))
    if "left_out" in loaded.maps:
        tree.leave_out(loaded.maps["left_out"], plan.filters.but_not)
    if plan.filters.tree:
        tree.seed(loaded.maps["tree"], plan.filters.tree)
    return failed


def _attach_probe(probe: PlannedProbe, loaded: Loaded, attached: ExitStack) -> None:
    """Both ends or none; the end first, or calls begun meanwhile would wait for ever."""
    with ExitStack() as undo:
        if probe.end:
            hang(probe.end, program_of(loaded, probe.function), undo)
            hang(probe.target, program_of(loaded, probe.begin), undo)
        else:
            hang(probe.target, program_of(loaded, probe.function), undo)
        attached.push(undo.pop_all())


def _attach_returns(plan: Plan, loaded: Loaded, attached: ExitStack) -> None:
    """What the verifier does not let be read again is handed over at the end, as it was at entry."""
    for helper in plan.returns:
        if helper.function in loaded.programs:
            attached.callback(os.close, _attach_helper(helper, loaded))
    if plan.returns:
        return
    for probe in plan.probes:
        if probe.waits and plan.again(probe) in loaded.programs:
            key, program = struct.pack("=I", probe.index), struct.pack("=I", loaded.programs[plan.again(probe)])
            bpf.map_update(loaded.maps["returns"], key, program)
    attached.callback(os.close, attach_raw_tracepoint("sys_exit", program_of(loaded, "raw_returned")))


def program_of(loaded: Loaded, function: str) -> int:
    """The loaded program of a function; raises AttachError when the verifier refused it."""
    if function in loaded.refused:
        raise loaded.refused[function]
    return loaded.programs[function]


def _attach_helper(helper: Helper, loaded: Loaded) -> int:
    """A helper that cannot be attached is an error of the session: its events would be wrong without it."""
    return attach_tracepoint(helper.format, program_of(loaded, helper.function))
