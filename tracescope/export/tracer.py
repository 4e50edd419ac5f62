"""What is exported: probes with what is asked of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

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
