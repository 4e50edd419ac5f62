"""What the sources of one host gave so far; every part may be missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracescope.model import EventFormat, SourceReport, SourceState

if TYPE_CHECKING:
    from tracescope.catalog.functions import SymbolFacts
    from tracescope.sources.bpftrace import Listing
    from tracescope.sources.btf import Btf
    from tracescope.sources.ftrace import Blacklist, FunctionList
    from tracescope.sources.kallsyms import SymbolTable
    from tracescope.sources.perf_events import PerfEvent

__all__ = ("Gathered",)


@dataclass(slots=True)
class Gathered:
    """The sources' answers, each as its own module gives it, and one report a source."""

    symbols: SymbolTable | None = None
    """Without what the kernel generated at run time."""
    generated: SymbolTable | None = None
    """These rows; see `catalog.generated`."""
    symbols_seal: str = ""
    """The digest of the bytes that `symbols` came from."""
    symbol_facts: SymbolFacts | None = None
    """Of `symbols`, computed once."""
    formats: list[EventFormat] = field(default_factory=list)
    functions: FunctionList | None = None
    blacklist: Blacklist | None = None
    btf: dict[str, Btf] = field(default_factory=dict)
    """By module; `vmlinux` is the core kernel."""
    perf: list[PerfEvent] = field(default_factory=list)
    listing: Listing | None = None
    kprobes: bool | None = None
    unique_names: bool = True
    by_value: bool | None = None
    lockdown: str = ""
    reports: dict[str, SourceReport] = field(default_factory=dict)

    def state(self, source: str) -> SourceState:
        """The state of a source; WAITING when nobody asked for it."""
        report = self.reports.get(source)
        return report.state if report else SourceState.WAITING
