"""From rows to what a session hangs on; why a row cannot be attached is said before anything happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import Answer, ProbeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.targets.target import Target
    from tracescope.catalog.store import Catalog, Row
    from tracescope.catalog.view import View

__all__ = (
    "EXECVE",
    "MOST",
    "Check",
    "Found",
    "asked_once",
    "attachable_as",
    "attachable_rows",
    "refusal",
    "targets_of",
)

EXECVE = tuple(
    f"tracepoint:syscalls:{name}"
    for name in ("sys_enter_execve", "sys_exit_execve", "sys_enter_execveat", "sys_exit_execveat")
)
"""What one key traces: every start of a program, and how it ended."""
MOST = 4096
"""So many probes go into one session."""
_SYMBOL = "symbol"
_OF_SYMBOL = (ProbeKind.FENTRY, ProbeKind.KPROBE)
"""What a function's symbol is attached as: the first that nothing forbids."""

Check = Callable[[], "TraceScopeError | None"]
"""Why nothing at all can be attached here, or None."""


class Found(NamedTuple):
    """What can be attached, and what cannot."""

    targets: list[Target]
    refused: list[tuple[str, TraceScopeError]]


def attachable_as(catalog: Catalog, row: Row) -> str:
    """The full name of the probe that stands for a row: its own, or for a symbol one at its function's entry."""
    if row.kind == _SYMBOL:
        for answer in (Answer.YES, Answer.UNKNOWN):
            for kind in _OF_SYMBOL:
                if catalog.verdict(kind, row.entry).answer is answer:
                    return catalog.probe(kind, row.entry)
    return row.probe


def attachable_rows(view: View) -> Iterator[str]:
    """The full names of a view's probes that nothing forbids; its symbols are other names of the same functions."""
    from tracescope.catalog.verdict import taken_by_patterns

    catalog = view.catalog
    for kind, entries in view.segments:
        if kind != _SYMBOL:
            for entry in entries:
                if taken_by_patterns(catalog.verdict(kind, entry)):
                    yield catalog.probe(kind, entry)


def asked_once(check: Callable[[], None]) -> Check:
    """The answer of a check that raises TraceScopeError, kept."""

    @cache
    def answer() -> TraceScopeError | None:
        try:
            check()
        except TraceScopeError as error:
            return error
        return None

    return answer


def refusal(host: Host, catalog: Catalog, row: Row, check: Check) -> TraceScopeError | None:
    """Why this row cannot be attached, or None. May read the host: belongs into a thread."""
    from tracescope.attach.targets.find import find_targets
    from tracescope.catalog.verdict import explain

    name = attachable_as(catalog, row)
    if not host.live:
        return _snapshot(host, f"{name} cannot be attached")
    verdict = catalog.verdict(row.kind, row.entry)
    if verdict.answer is Answer.NO and name == row.probe:
        return Refused(f"{name} cannot be attached", *explain(verdict.reasons[0]))
    if (error := check()) is not None:
        return error
    try:
        find_targets(host, [name], catalog=catalog)
    except TraceScopeError as error:
        return error
    return None


def targets_of(host: Host, catalog: Catalog, names: Sequence[str], options: AttachOptions) -> Found:
    """The targets of full names; raises TraceScopeError when nothing can be attached. Belongs into a thread."""
    from tracescope.attach.record.layout import lay_out
    from tracescope.attach.targets.find import Finder

    if not host.live:
        raise _snapshot(host, "nothing can be attached")
    finder, found = Finder(host, catalog), Found([], [])
    known = set()
    for name in names:
        try:
            for target in finder.targets([name], pair=options.pair):
                # One that cannot be laid out would take the whole session with it.
                lay_out(0, target)
                if target.probe not in known:
                    known.add(target.probe)
                    found.targets.append(target)
        except TraceScopeError as error:
            found.refused.append((name, error))
    if not found.targets:
        raise found.refused[0][1] if found.refused else Refused("nothing to attach", "no probe was given")
    return found


def _snapshot(host: Host, what: str) -> Refused:
    return Refused(what, f"{host.label} is a snapshot: there is no kernel behind it", "start without --host")
