"""A session in words: its state, the time that each state took, what was asked for, what could not be attached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from textual.content import Content

from tracescope.printable import printable
from tracescope.ui.look import amount

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.plan import Filters
    from tracescope.ui.feed import ProbeState

__all__ = ("sampled_words", "session_text", "state_words")


def state_words(session: EventSession) -> str:
    """`run  3 probes  prepare 0 ms  load 212 ms  attach 31 ms`, and how much of the events is let through."""
    parts = [str(session.state), amount(len(session.plan.probes), "probe")]
    parts += [f"{state} {_time(seconds)}" for state, seconds in session.timings.items()]
    share = session.governor.share if session.governor is not None else 1.0
    return "  ".join([*parts, sampled_words(share)]).rstrip()


def sampled_words(share: float) -> str:
    """`sampled: 1 in 8`; nothing when every event is let through."""
    return "" if share >= 1.0 else f"sampled: 1 in {round(1 / share):,}"


def session_text(session: EventSession, states: list[ProbeState]) -> Content:
    """The whole session, one thing a line."""
    lines = [_fact("state", str(session.state)), _fact("backend", session.backend)]
    lines += [_fact("", printable(part)) for part in session.chosen.split("; ") if session.chosen]
    lines += [_fact(state, f"{_time(seconds):>8}") for state, seconds in session.timings.items()]
    share = session.governor.share if session.governor is not None else 1.0
    for words in (sampled_words(share), *session.plan.notes, *session.remarks):
        if words:
            lines.append(Content.styled(printable(words), "$text-warning"))
    lines += [_fact(name, value) for name, value in _filters(session.plan.filters)]
    lines.append(Content(""))
    for state in states:
        name = printable(state.name)
        if state.error is None:
            lines.append(Content.styled(f"  {name}", "$text-success"))
        else:
            why = printable(state.error.why or state.error.what)
            lines.append(Content.assemble((f"✗ {name}  ", "$text-error"), why))
    return Content("\n").join(lines)


def _fact(name: str, value: str) -> Content:
    return Content.assemble((f"{name:>10}  ", "dim"), value)


def _filters(filters: Filters) -> Iterator[tuple[str, str]]:
    for field in fields(filters):
        values = getattr(filters, field.name)
        if values:
            yield field.name, printable(", ".join(str(value) for value in values))


def _time(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{seconds * 1000:,.0f} ms"
