"""What the live screen's filter line says: words, and terms on one column. Pure.

make "two words" -word comm:bash pid:4242 ret:<0 duration:>=1ms filename:/etc/* probe:=sys_enter_openat
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from tracescope.ui.event_line import HEADS, Line, value_of

if TYPE_CHECKING:
    from tracescope.attach.decode.events import Event

__all__ = ("NUMBERS_IN_HEADER", "EventFilter", "parse_event_filter")

_WORD = re.compile(r'(-?)(?:([A-Za-z_]\w*):)?(<=|>=|<|>|=|)("[^"]*"?|\S+)')
_BEGUN = re.compile(r"-?[A-Za-z_]\w*:[<>=]*")
_NUMBER = re.compile(r"(-?(?:0x[0-9a-f]+|\d+(?:\.\d+)?))(ns|us|ms|s)?", re.IGNORECASE)
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_KNOWN = frozenset((*HEADS, "ret", "errno", "duration"))
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS_IN_HEADER = {"cpu": 1, "pid": 3, "tid": 4}
"""Columns, and where their numbers are in HEADER's tuple."""


class _Term(NamedTuple):
    exclude: bool
    name: str
    compare: str
    text: str
    number: float | None
    whole: str
    """All of it as a word, for events that have no such column."""


class EventFilter(NamedTuple):
    """All terms must be true of an event."""

    terms: tuple[_Term, ...]

    @property
    def only_probe(self) -> str | None:
        """The one probe that it lets through, by its full name or the last part of it, where it says `probe:=`."""
        named = [term.text for term in self.terms if term.name == "probe" and term.compare == "=" and not term.exclude]
        return named[0] if len(named) == 1 else None

    def may_take(self, header: tuple[int, ...]) -> bool:
        """False when the record's header alone says no: a record is cheaper than an event."""
        for term in self.terms:
            at = NUMBERS_IN_HEADER.get(term.name)
            if at is not None and term.number is not None and _number_fits(term, header[at]) is term.exclude:
                return False
        return True

    def takes(self, event: Event, line: Line) -> bool:
        """True when every term is true of the event."""
        return all(_fits(term, event, line) is not term.exclude for term in self.terms)


def parse_event_filter(text: str) -> EventFilter:
    """The filter of a text; every text is one. A column's name alone says nothing yet."""
    matches = (match for match in _WORD.finditer(text) if not _BEGUN.fullmatch(match.group()))
    return EventFilter(tuple(map(_term, matches)))


def _term(match: re.Match[str]) -> _Term:
    minus, name, compare, value = match.groups()
    # A lone `-` and what only looks like a comparison are words.
    if not name and compare:
        value, compare = compare + value, ""
    text = value.strip('"').lower()
    found = _NUMBER.fullmatch(text)
    number = None
    if found:
        digits, unit = found.groups()
        plain = float(digits) if "." in digits else int(digits, 0 if "0x" in digits else 10)
        number = plain * _UNITS[unit or "ns"]
    whole = match.group().removeprefix("-").replace('"', "").lower()
    return _Term(bool(minus), name or "", compare, text, number, whole)


def _fits(term: _Term, event: Event, line: Line) -> bool:
    name = term.name
    if not name or (name not in _KNOWN and name not in event.args):
        return term.whole in " ".join(line[:-1]).lower()
    if name == "probe":
        return _text_fits(term, event.probe) or (term.compare == "=" and event.probe.lower().endswith(f":{term.text}"))
    value = line.time if name == "time" else value_of(event, name)
    if value is None:
        return False
    if isinstance(value, int):
        return _number_fits(term, value)
    from tracescope.attach.decode.events import value_words

    return _text_fits(term, value_words(value))


def _number_fits(term: _Term, value: int) -> bool:
    if term.number is None:
        return not term.compare and term.text in str(value).lower()
    compare = _COMPARE.get(term.compare)
    return compare(value, term.number) if compare else value == term.number


def _text_fits(term: _Term, text: str) -> bool:
    text = text.lower()
    if term.compare in _COMPARE:
        return _COMPARE[term.compare](*_order(text, term.text))
    if term.compare == "=":
        return text == term.text
    if any(mark in term.text for mark in "*?"):
        return fnmatchcase(text, term.text)
    return term.text in text


def _order(text: str, other: str) -> tuple[float, float]:
    """Two numbers that compare as the texts do."""
    return float(text > other), float(other > text)
