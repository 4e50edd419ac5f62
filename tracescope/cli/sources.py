"""What a command says of its sources: the ones that gave nothing, on standard error."""

from __future__ import annotations

from tracescope.catalog.store import Catalog
from tracescope.cli.output import note
from tracescope.errors import Refused
from tracescope.host import Host
from tracescope.model import SourceState

__all__ = ("complain_of",)


def complain_of(host: Host, catalog: Catalog) -> None:
    """Note every source that is missing; Refused when none of them gave a row."""
    for text in host.notes:
        note(text)
    reports = catalog.knowledge.reports.values()
    bad = [report for report in reports if report.state is not SourceState.OK]
    if bad and len(bad) == len(reports):
        first = bad[0]
        raise Refused("nothing to read on this host", f"{first.name}: {first.why}", first.fix)
    for report in bad:
        note(f"{report.name} {report.state.value}: {report.why}" + (f" (fix: {report.fix})" if report.fix else ""))
