"""The entries that satisfy one term of a query, whole columns at a time: 122,000 names in about 10 ms."""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, filterfalse, repeat
from operator import contains, or_
from typing import TypeVar

from tracescope.catalog.query import Term, matcher
from tracescope.catalog.store import FUNCTION_KINDS, SYMBOL, Catalog
from tracescope.catalog.types import entries_by_type
from tracescope.model import ProbeKind

__all__ = ("FENTRY_KINDS", "begins", "column", "in_groups", "select")

Item = TypeVar("Item")

FENTRY_KINDS = (ProbeKind.FENTRY, ProbeKind.FEXIT)


def select(catalog: Catalog, term: Term, hits: Sequence[int]) -> Sequence[int]:
    """The entries, of these ascending ones, that satisfy what a term says of every kind of row."""
    if term.key in ("kind", "verdict"):
        return hits
    if term.key == "probe":
        return hits if term.exclude else _containing(catalog, _literal(term.text), hits)
    if term.key in ("arg", "returns", "field"):
        found: Sequence[int] = list(filter(entries_by_type(catalog, term).__contains__, hits))
    elif term.key == "type":
        letters = map(frozenset(term.text).__contains__, column(catalog.letters, hits))
        found = list(compress(hits, letters))
    elif term.key in ("group", "module"):
        found = list(_grouped(catalog, term, hits))
    elif term.is_glob:
        found = _matching(catalog, term, hits)
    else:
        found = _containing(catalog, term.text, hits)
    return list(filterfalse(frozenset(found).__contains__, hits)) if term.exclude else found


def column(items: Sequence[Item], hits: Sequence[int]) -> Iterable[Item]:
    """A column's items at the hits."""
    return items[hits.start : hits.stop] if isinstance(hits, range) else map(items.__getitem__, hits)


def _containing(catalog: Catalog, literal: str, hits: Sequence[int]) -> Sequence[int]:
    return list(compress(hits, map(contains, column(catalog.texts, hits), repeat(literal)))) if literal else hits


def _literal(text: str) -> str:
    """The longest plain part of a full name's glob that every match's text holds."""
    head, _, last = text.rpartition(":")
    # What `[…]` stands for may hold a colon; `fentry:vm` is a part of `fentry:vmlinux:NAME`, which no text holds.
    if "[" in text or head in FENTRY_KINDS:
        return ""
    return max(re.split(r"[*?]", last), key=len)


def begins(catalog: Catalog, start: str, hits: Sequence[int]) -> Sequence[int]:
    """The entries whose text, or what follows a colon in it, begins so."""
    texts = column(catalog.texts, hits), column(catalog.texts, hits)
    at_start, at_colon = map(str.startswith, texts[0], repeat(start)), map(contains, texts[1], repeat(f":{start}"))
    return list(compress(hits, map(or_, at_start, at_colon)))


def _matching(catalog: Catalog, term: Term, hits: Sequence[int]) -> Sequence[int]:
    """What a glob matches. `*x`, `*x*` and `x*`, which people type on the way to more, need no regular expression."""
    text, texts = term.text, catalog.texts
    if "[" not in text:
        first, *_, last = parts = re.split(r"[*?]", text)
        if first:
            hits = begins(catalog, first, hits)
        if last:
            hits = list(compress(hits, map(str.endswith, column(texts, hits), repeat(last))))
        if (longest := max(parts, key=len)) not in (first, last):
            hits = _containing(catalog, longest, hits)
        if "?" not in text and sum(map(bool, parts)) <= 1:
            return hits
    test = matcher(term)
    return [entry for entry in hits if test(texts[entry])]


def _grouped(catalog: Catalog, term: Term, hits: Sequence[int]) -> Iterator[int]:
    """Entries of the groups, or functions and symbols of the modules, that a filter names: whole names or globs."""
    tests = [re.compile(fnmatch.translate(part)).match for part in term.text.split(",") if part]
    found = in_groups(catalog, lambda name: any(test(name) for test in tests), hits)
    for section in catalog.sections:
        is_function = SYMBOL in section.kinds or FUNCTION_KINDS[0] in section.kinds
        if is_function is (term.key == "module"):
            yield from found[bisect_left(found, section.start) : bisect_left(found, section.end)]


def in_groups(catalog: Catalog, test: Callable[[str], object], hits: Sequence[int]) -> Sequence[int]:
    """The entries whose group or module passes a test of its lower-case name; the core kernel is `vmlinux`."""
    names = catalog.group_names
    codes = frozenset(code for code, name in enumerate(names) if test((name or "vmlinux").lower()))
    return list(compress(hits, map(codes.__contains__, column(catalog.group_codes, hits))))
