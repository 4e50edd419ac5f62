"""Whether a row can be attached from the browser, said before anything happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracescope.errors import Missing, Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import Answer, EventFormat, ProbeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracescope.catalog.store import Catalog, Row

__all__ = ("EXECVE", "formats_of", "refusal")

EXECVE = tuple(
    f"tracepoint:syscalls:{name}"
    for name in ("sys_enter_execve", "sys_exit_execve", "sys_enter_execveat", "sys_exit_execveat")
)
"""What one key traces: every start of a program, and how it ended."""


def refusal(host: Host, catalog: Catalog, row: Row) -> TraceScopeError | None:
    """Why this row cannot be attached, or None."""
    from tracescope.catalog.verdict import explain

    what = f"{row.probe} cannot be attached"
    if not host.live:
        return Refused(what, f"{host.label} is a snapshot: there is no kernel behind it", "start without --host")
    verdict = catalog.verdict(row.kind, row.entry)
    if verdict.answer is Answer.NO:
        sentence, fix = explain(verdict.reasons[0])
        return Refused(what, sentence, fix)
    if row.kind != ProbeKind.TRACEPOINT:
        return Refused(
            what, f"only tracepoints can be attached so far, this is a {row.kind}", "take a tracepoint: kind:tracepoint"
        )
    return None


def formats_of(host: Host, catalog: Catalog, probes: Sequence[str]) -> list[EventFormat]:
    """The formats of those tracepoints that this host has. Raises TraceScopeError when nothing can be attached."""
    if not host.live:
        raise Refused(
            "nothing can be attached",
            f"{host.label} is a snapshot: there is no kernel behind it",
            "start without --host",
        )
    known = catalog.knowledge.formats
    found = [known[name] for probe in probes if (name := probe.partition(":")[2]) in known]
    if not found:
        report = catalog.knowledge.reports.get("tracefs")
        why = report.why if report and report.why else "tracefs does not list it"
        raise Missing(f"this host has no {probes[0]}", why, report.fix if report else "")
    return found
