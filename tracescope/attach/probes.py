"""From the names that a user gives to the formats that a plan is made of."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence

from tracescope.errors import Missing, Refused
from tracescope.host import Host
from tracescope.model import EventFormat, ProbeKind
from tracescope.sources.tracefs import parse_format, read_available_events

__all__ = ("find_formats",)

_MOST = 128


def find_formats(host: Host, names: Sequence[str]) -> list[EventFormat]:
    """The formats of tracepoints by full name or glob, each once; raises Refused with the near names."""
    found: dict[str, EventFormat] = {}
    for name in names:
        kind, _, rest = name.partition(":")
        if kind != ProbeKind.TRACEPOINT:
            raise Refused(
                f"{name} cannot be attached", "this version attaches tracepoints", "tracescope choose WORD… names one"
            )
        for event in _expand(host, rest):
            group, _, event_name = event.partition(":")
            found[event] = parse_format(host.read(f"{host.tracefs}/events/{group}/{event_name}/format"), group)
    if len(found) > _MOST:
        raise Refused(f"these patterns name {len(found)} tracepoints", f"at most {_MOST} at once", "name fewer")
    return list(found.values())


def _expand(host: Host, name: str) -> list[str]:
    group, _, event = name.partition(":")
    if group == "ftrace":
        raise Refused(
            f"tracepoint:{name} cannot be attached", "formats of the ftrace group describe what tracers write"
        )
    if (
        event
        and not any(mark in name for mark in "*?[/")
        and host.exists(f"{host.tracefs}/events/{group}/{event}/format")
    ):
        return [name]
    events = read_available_events(host)
    matching = [known for known in events if fnmatch.fnmatchcase(known, name)]
    if not matching:
        raise _no_such(name, events)
    return matching


def _no_such(name: str, events: Sequence[str]) -> Missing:
    event = name.rpartition(":")[2].strip("*?")
    near = [known for known in events if event and event in known][:3] or difflib.get_close_matches(name, events, 3)
    fix = (
        f"did you mean {', '.join(f'tracepoint:{known}' for known in near)}"
        if near
        else "tracescope list 'tracepoint:*'"
    )
    return Missing(f"there is no tracepoint {name}", "the kernel does not list it", fix)
