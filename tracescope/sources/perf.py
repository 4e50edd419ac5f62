"""perf's events: `perf list -j` where perf has it, the text of `perf list` and of its parts elsewhere.

Source: tools/perf/builtin-list.c and util/print-events.c, from perf 5.10 on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tracescope.errors import Damaged, TraceScopeError
from tracescope.host import Host
from tracescope.printable import decode
from tracescope.sources.perf_events import PerfEvent, kind_of

__all__ = ("PerfListing", "parse_perf_json", "parse_perf_list", "read")


@dataclass(slots=True)
class PerfListing:
    """perf's rows, and what became of every line (text) or object (JSON).

    `counts` keys: event, repeated (a row an earlier one has), header, description, note, other (not understood).
    """

    form: str
    """`json` or `text`."""
    events: list[PerfEvent] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Collector:
    """Rows in order, each once."""

    def __init__(self, form: str) -> None:
        self.listing = PerfListing(form)
        self._rows: set[tuple[str, str, str]] = set()

    def add(self, event: PerfEvent) -> None:
        key = (event.kind, event.unit, event.name)
        if key in self._rows:
            self.listing.counts["repeated"] += 1
            return
        self._rows.add(key)
        self.listing.events.append(event)
        self.listing.counts["event"] += 1


# --- JSON

# Broken objects after which the rest is not looked at.
_HOPELESS = 10_000


def parse_perf_json(data: bytes) -> PerfListing:
    """The rows of `perf list -j`; of broken or cut JSON the good objects. `Damaged` when there is none."""
    rows = _Collector("json")
    groups: dict[str, None] = {}
    for entry in _objects(decode(data), rows.listing.counts):
        event = _from_json(entry)
        if event is None:
            rows.listing.counts["other"] += 1
            continue
        rows.add(event)
        if event.kind == "metric":
            groups |= dict.fromkeys(filter(None, _text(entry, "MetricGroup").split(";")))
    if not rows.listing.events:
        raise Damaged("`perf list -j` cannot be read", "it holds no event")
    rows.listing.events += [PerfEvent(group, "metricgroup") for group in groups]
    return rows.listing


def _objects(text: str, counts: Counter[str]) -> list[dict[str, object]]:
    # Older perfs leave control characters in strings: not strict.
    decoder = json.JSONDecoder(strict=False)
    try:
        whole = decoder.decode(text)
        found = whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError):
        found = []
        # perf begins each object on a line of its own.
        for chunk in re.split(r"^\{", text, flags=re.MULTILINE)[1:]:
            try:
                found.append(decoder.raw_decode("{" + chunk)[0])
            except (ValueError, RecursionError):
                counts["other"] += 1
                if counts["other"] > _HOPELESS:
                    break
    objects = [entry for entry in found if isinstance(entry, dict)]
    counts["other"] += len(found) - len(objects)
    return objects


def _text(entry: Mapping[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _from_json(entry: Mapping[str, object]) -> PerfEvent | None:
    unit = _text(entry, "Unit")
    brief, public = _text(entry, "BriefDescription"), _text(entry, "PublicDescription")
    # perf 7.2 has a tracepoint's whole format file as PublicDescription; tracefs is the source for that.
    description = brief or public.partition("\n")[0]
    if metric := _text(entry, "MetricName"):
        return PerfEvent(metric, "metric", (), description, unit)
    name = _text(entry, "EventName")
    if not name:
        return None
    alias = _text(entry, "EventAlias")
    kind = kind_of(name, _text(entry, "EventType"), unit, topic="Topic" in entry)
    return PerfEvent(name, kind, (alias,) if alias else (), description, unit)


# --- text

_ROW = re.compile(r" {1,3}\S")
_TYPE = re.compile(r"[A-Z][\w ]+")
_DESCRIPTION = re.compile(r" {4,}\S")
_NOTE = re.compile(r"\s*\(see .*\)")
_TITLE = re.compile(r"List of pre-defined events.*:")
_METRICS = re.compile(r"(Metrics|Metric Groups):")
_TOPIC = re.compile(r"[^\s\[\]][^\[\]]*:")
_GROUP = re.compile(r"([^\s:\[]+):?(?: \[(.*)\])?")


class _TextReader:
    """`perf list` line by line: what a line is follows from its indentation and the section it stands in."""

    def __init__(self) -> None:
        self.rows = _Collector("text")
        self._in_metrics = False
        self._open: PerfEvent | None = None
        self._words: list[str] = []

    def line(self, line: str) -> None:
        if _NOTE.fullmatch(line):
            self._count("note")
        elif _DESCRIPTION.match(line) and self._open is not None:
            self._count("description")
            self._words.append(line.strip())
        else:
            self.close()
            self._top(line)

    def _count(self, rule: str) -> None:
        self.rows.listing.counts[rule] += 1

    def _top(self, line: str) -> None:
        if _TITLE.fullmatch(line):
            self._in_metrics = False
            self._count("header")
        elif _METRICS.fullmatch(line):
            self._in_metrics = True
            self._count("header")
        elif _ROW.match(line):
            self._open = PerfEvent(line.strip(), "metric") if self._in_metrics else _from_row(line.strip())
        elif self._in_metrics and (row := _GROUP.fullmatch(line)):
            self._open = PerfEvent(row[1], "metricgroup", description=row[2] or "")
        elif _TOPIC.fullmatch(line):
            self._count("header")
        else:
            self._count("other")

    def close(self) -> None:
        """The row being read is whole: its description is known."""
        event, words = self._open, " ".join(self._words)
        self._open, self._words = None, []
        if event is not None:
            self.rows.add(_described(event, words) if words else event)


def _from_row(row: str) -> PerfEvent:
    """`cpu-cycles OR cycles   [Hardware event]`; the type is missing under a topic."""
    names, _, type_text = row.removesuffix("]").rpartition("[")
    if not (row.endswith("]") and _TYPE.fullmatch(type_text)):
        names, type_text = row, ""
    name, *aliases = names.rstrip().split(" OR ")
    pmu, slash, _ = name.partition("/")
    kind = kind_of(name, type_text, "", topic=not type_text)
    return PerfEvent(name, kind, tuple(aliases), unit=pmu if slash and kind == "pmu" else "")


def _described(event: PerfEvent, words: str) -> PerfEvent:
    """The event with its `[text. Unit: pmu]`."""
    words = words.removeprefix("[").removesuffix("]")
    text, _, unit = words.rpartition("Unit: ")
    if not text or " " in unit:
        return replace(event, description=words)
    kind = kind_of(event.name, "", unit, topic=True) if event.kind == "pmu" else event.kind
    return replace(event, kind=kind, unit=unit, description=text.rstrip(". "))


def parse_perf_list(data: bytes) -> PerfListing:
    """The rows of `perf list` or of one of its parts; `Damaged` when text is there and no line of it is known.

    Every line that is not blank is counted once in `counts`.
    """
    reader = _TextReader()
    for line in decode(data).split("\n"):
        if stripped := line.rstrip():
            reader.line(stripped)
    reader.close()
    listing = reader.rows.listing
    if set(listing.counts) == {"other"}:
        raise Damaged("`perf list` cannot be read", "no line of it is an event")
    return listing


def read(host: Host) -> PerfListing:
    """The rows on this host; JSON from perf 6.2 on, text where that is missing or broken."""
    try:
        return parse_perf_json(host.run("perf", "list", "-j"))
    except TraceScopeError:
        return parse_perf_list(host.run("perf", "list"))
