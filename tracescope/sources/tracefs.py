"""tracefs `available_events` and `events/<group>/<name>/format`: each tracepoint's id, fields and print format.

Source: Documentation/trace/events.rst, "Event formats"; the text comes from kernel/trace/trace_events.c, f_show().
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache

from tracescope.errors import Damaged, Missing, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat, Field
from tracescope.printable import decode

__all__ = ("Formats", "pair_of", "parse_available_events", "parse_format", "read_available_events", "read_formats")

_HEAD = re.compile(r"^name:[ \t]*(\S+)[ \t]*\nID:[ \t]*([0-9]{1,9})[ \t]*$", re.MULTILINE)
_FIELD = re.compile(
    r"^[ \t]*field:([^;\n]{1,512});\s*offset:(\d{1,9});\s*size:(\d{1,9});(?:\s*signed:([01]);)?", re.MULTILINE
)
_DECLARATION = re.compile(
    r"""(?:(__data_loc|__rel_loc)\s+)?
        ([^\[\]]*?[^\[\]\s])            # type
        \s*(\[\])?\s*                   # `char[] name`
        \b([A-Za-z_]\w*)\s*             # name
        (?:\[(.*)\])?                   # `name[16]`, `name[sizeof(struct in6_addr)]`
    """,
    re.VERBOSE,
)
_FUNCTION_POINTER = re.compile(r"\(\s*\*+\s*([A-Za-z_]\w*)")
_PRINT_FMT = "\nprint fmt: "

_CONTROLS = frozenset(("enable", "filter", "header_event", "header_page"))
_PAIRS = (("enter", "exit"), ("entry", "exit"), ("begin", "end"), ("start", "done"), ("start", "end"))
_PROGRESS_STEP = 64
# The largest format of Linux 6.18 has 6 kB.
_MAX_BYTES = 1 << 20


@dataclass(slots=True)
class Formats:
    """Every format that could be read, and (event, why) for every one that could not."""

    formats: list[EventFormat] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def parse_format(data: bytes, group: str) -> EventFormat:
    """One format file; Damaged when its name or ID is missing."""
    if len(data) > _MAX_BYTES:
        raise Damaged("not an event format", f"it has {len(data)} bytes")
    text = decode(data)
    head, _, print_fmt = text.partition(_PRINT_FMT)
    found = _HEAD.search(head)
    if found is None:
        raise Damaged("not an event format", "there is no `name:` line with an `ID:` line after it")
    fields = [_field(*parts) for parts in _FIELD.findall(head, found.end())]
    return EventFormat(
        group=group,
        name=found[1],
        id=int(found[2]),
        fields=tuple(f for f in fields if not f.name.startswith("common_")),
        common=tuple(f for f in fields if f.name.startswith("common_")),
        print_fmt=print_fmt.removesuffix("\n"),
    )


# Events share fields: 2,300 formats hold 21,000 field lines, 4,000 different ones.
@lru_cache(maxsize=1 << 14)
def _field(declaration: str, offset: str, size: str, signed: str) -> Field:
    location, type_, array, name = _split(declaration.strip())
    return Field(name, type_, int(offset), int(size), signed == "1", array, location)


def _split(declaration: str) -> tuple[str, str, str | None, str]:
    """A C declaration as (location, type, array, name)."""
    match = _DECLARATION.fullmatch(declaration)
    if match:
        location, type_, unnamed, name, bound = match.groups()
        return location or "", type_, bound if bound is not None else ("" if unnamed else None), name
    pointer = _FUNCTION_POINTER.search(declaration)
    if pointer:
        return "", declaration[: pointer.start(1)] + declaration[pointer.end(1) :], None, pointer[1]
    return "", declaration, None, ""


def parse_available_events(data: bytes) -> list[str]:
    """The events that can be switched on, as `group:name`, in the kernel's order."""
    return [line for line in decode(data).split("\n") if ":" in line]


def pair_of(name: str, names: AbstractSet[str]) -> str | None:
    """The twin of an enter, begin or start event (or of an exit, end or done event) among its group's `names`."""
    return next((twin for twin in _twins(name) if twin in names), None)


def _twins(name: str) -> Iterator[str]:
    for pair in _PAIRS:
        for one, other in (pair, pair[::-1]):
            if name.startswith(f"sys_{one}_"):
                yield f"sys_{other}_{name.removeprefix(f'sys_{one}_')}"
            if name.endswith(f"_{one}"):
                yield name.removesuffix(one) + other


def read_available_events(host: Host) -> list[str]:
    """The host's `available_events`."""
    return parse_available_events(host.read(f"{host.tracefs}/available_events"))


def read_formats(host: Host, progress: Callable[[int, int], None] | None = None) -> Formats:
    """Every event's format, the `ftrace` group's too; `progress` hears (done, total) now and then.

    In one thread: the kernel writes formats under one lock, and 4 threads take longer (0.12 s) than one (0.05 s).
    """
    root = f"{host.tracefs}/events"
    events = [(group, name) for group in _folder(host, root) for name in _folder(host, f"{root}/{group}")]
    result = Formats()
    for done, (group, name) in enumerate(events):
        if progress and done % _PROGRESS_STEP == 0:
            progress(done, len(events))
        try:
            result.formats.append(parse_format(host.read(f"{root}/{group}/{name}/format"), group))
        except TraceScopeError as error:
            result.skipped.append((f"{group}:{name}", str(error)))
    if progress:
        progress(len(events), len(events))
    return result


def _folder(host: Host, path: str) -> list[str]:
    """The folders' names in `events` or in a group; a plain file has none."""
    try:
        return [name for name in host.names(path) if name not in _CONTROLS]
    except Missing:
        return []
