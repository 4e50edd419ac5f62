"""What is exported: probes with what is asked of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tracescope.attach.kernel.transport import Transport
from tracescope.attach.plan import NO_FILTERS, Filters, Plan
from tracescope.attach.targets.target import Target
from tracescope.sources.btf import Btf

__all__ = ("Tracer",)


@dataclass(frozen=True, slots=True)
class Tracer:
    """A name that is an identifier, the probes, and the options as a user gives them."""

    name: str
    targets: tuple[Target, ...]
    filters: Filters = NO_FILTERS
    where: str = ""
    show: tuple[str, ...] = ()
    count_by: str = ""
    hist: str = ""
    plan: Plan | None = None
    btf: Btf | None = None
    count: bool = False
    """Count the events, also when no key is named."""
    lhist: str = ""
    """A histogram in equal steps, as `VALUE:LOW:HIGH:STEP`."""
    sum: str = ""
    """A value whose total and average are wanted."""
    transport: Transport = Transport.RING
    """What carries the events of BCC's and libbpf's programs."""

    @property
    def counts(self) -> bool:
        """True when the kernel counts instead of handing events over."""
        return bool(self.count or self.count_by or self.hist or self.lhist or self.sum)

    @property
    def order(self) -> tuple[str, ...]:
        """What the reader is to know of the order of events."""
        if self.transport is Transport.RING or self.counts:
            return ()
        return ("Each CPU has a buffer of its own: lines of different CPUs may stand out of order. Sort them by time.",)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the exported program is to know."""
        exec_calls = [
            target.format.name for target in self.targets if target.format.name.endswith(("execve", "execveat"))
        ]
        if not exec_calls:
            return self.order
        return (
            "argv is read at entry: an argument whose page is not in memory then is shown as `?`. Export both",
            "sys_enter_execve and sys_exit_execve, without conditions: that writes the whole process tracer.",
            *self.order,
        )
