"""A view: the rows of a catalog that a query selects, without one object a row.

The entries that match are found once (narrowing the previous view's while the user types); each kind's rows are a slice of them.
"""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import accumulate, chain, compress, repeat
from operator import contains

from tracescope.catalog.facts import Fact
from tracescope.catalog.query import Query, Term, matcher
from tracescope.catalog.store import FUNCTION_KINDS, KIND_ORDER, SYMBOL, Catalog, Row
from tracescope.catalog.types import entries_by_type
from tracescope.model import ProbeKind

__all__ = ("View", "make_view")

# Ranking is for eyes: above this many hits nobody reads to the end.
_RANK_AT_MOST = 20_000

_FENTRY_KINDS = (ProbeKind.FENTRY, ProbeKind.FEXIT)


class View:
    """Rows in the order of KIND_ORDER; within a kind exact names first, then names that begin with the word."""

    def __init__(self, catalog: Catalog, query: Query, hits: Sequence[int]) -> None:
        self.catalog = catalog
        self.query = query
        self.hits = hits
        """The entries, ascending, before kinds and verdicts are looked at."""
        self.segments = _segments(catalog, query, hits)
        self._ends = list(accumulate(len(entries) for _, entries in self.segments))

    def __len__(self) -> int:
        """The number of rows."""
        return self._ends[-1] if self._ends else 0

    def row(self, index: int) -> Row:
        """The row at this place."""
        at = bisect_right(self._ends, index)
        kind, entries = self.segments[at]
        return self.catalog.row(kind, entries[index - (self._ends[at] - len(entries))])

    def __iter__(self) -> Iterator[Row]:
        """Every row, in order."""
        return (self.catalog.row(kind, entry) for kind, entries in self.segments for entry in entries)

    def index(self, key: Hashable) -> int | None:
        """Where the row with this key is, or None."""
        entry = self.catalog.entry_of(key)
        start = 0
        for kind, entries in self.segments:
            if entry is not None and isinstance(key, tuple) and key[0] == kind and entry in entries:
                return start + entries.index(entry)
            start += len(entries)
        return None

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """Counts of rows by kind, and of entries by group, module and symbol type."""
        catalog = self.catalog
        kinds: Counter[str] = Counter()
        groups: Counter[int] = Counter()
        functions: dict[int, Sequence[int]] = {}
        for kind, entries in self.segments:
            kinds[kind] += len(entries)
            if kind in FUNCTION_KINDS or kind == SYMBOL:
                functions[id(entries)] = entries
            else:
                groups.update(map(catalog.group_codes.__getitem__, entries))
        # One function is in several kinds' rows (the same list, unless a verdict was asked for): count it once.
        entries = list(chain.from_iterable(functions.values()))
        if any(term.key in ("verdict", "probe") for term in self.query.terms):
            entries = list(set(entries))
        modules = Counter(map(catalog.group_codes.__getitem__, entries))
        names = catalog.group_names
        return {
            "kind": [(kind, kinds[kind]) for kind in KIND_ORDER if kinds[kind]],
            "group": [(names[code], count) for code, count in groups.most_common() if names[code]],
            "module": [(names[code] or "vmlinux", count) for code, count in modules.most_common()],
            "type": Counter(filter(None, map(catalog.type_letter, entries))).most_common(),
        }


def make_view(catalog: Catalog, query: Query, previous: View | None) -> View:
    """The view of a query; `previous` is narrowed when the query only says more."""
    hits: Sequence[int] = range(len(catalog))
    done: tuple[Term, ...] = ()
    if previous is not None and previous.catalog is catalog and query.narrows(previous.query):
        hits, done = previous.hits, previous.query.terms
    for term in query.terms:
        if term not in done:
            hits = _apply(catalog, term, hits)
    return View(catalog, query, hits)


def _apply(catalog: Catalog, term: Term, hits: Sequence[int]) -> Sequence[int]:
    """The entries that satisfy the part of a term that does not depend on the kind of row."""
    if term.key in ("", "probe") and not term.exclude:
        hits = _with_literal(catalog, term, hits)
        if not term.key and not term.is_glob:
            return hits
    if term.key in ("kind", "verdict", "probe"):
        return hits
    if term.key in ("arg", "returns", "field"):
        wanted = entries_by_type(catalog, term)
        return [entry for entry in hits if (entry in wanted) is not term.exclude]
    test = _entry_test(catalog, term)
    return [entry for entry in hits if test(entry) is not term.exclude]


def _with_literal(catalog: Catalog, term: Term, hits: Sequence[int]) -> Sequence[int]:
    """The entries whose text holds the term's longest plain part: one C loop, 122,000 names in about 6 ms."""
    literal = _literal(term)
    texts = catalog.texts if isinstance(hits, range) else map(catalog.texts.__getitem__, hits)
    return list(compress(hits, map(contains, texts, repeat(literal)))) if literal else hits


def _literal(term: Term) -> str:
    if not (term.key or term.is_glob):
        return term.text
    head, _, last = term.text.rpartition(":")
    # What `[…]` stands for may hold a colon; `fentry:vm` is a part of `fentry:vmlinux:NAME`, which no text holds.
    if "[" in term.text or head in _FENTRY_KINDS:
        return ""
    return max(re.split(r"[*?]", last), key=len)


def _entry_test(catalog: Catalog, term: Term) -> Callable[[int], bool]:
    if term.key == "type":
        letters = frozenset(term.text)
        return lambda entry: catalog.type_letter(entry) in letters
    if term.key in ("group", "module"):
        codes = _group_codes(catalog, term)
        group_codes = catalog.group_codes
        is_function = _function_test(catalog)
        of_functions = term.key == "module"
        return lambda entry: group_codes[entry] in codes and is_function(entry) is of_functions
    test = matcher(term)
    texts = catalog.texts
    return lambda entry: test(texts[entry])


def _function_test(catalog: Catalog) -> Callable[[int], bool]:
    starts = [section.start for section in catalog.sections]
    functions = [SYMBOL in section.kinds or FUNCTION_KINDS[0] in section.kinds for section in catalog.sections]
    return lambda entry: functions[bisect_right(starts, entry) - 1]


def _group_codes(catalog: Catalog, term: Term) -> frozenset[int]:
    """The groups that a filter names: whole names, comma-separated, globs allowed; `vmlinux` is the core kernel."""
    tests = [re.compile(fnmatch.translate(part)).match for part in term.text.split(",") if part]
    return frozenset(
        code
        for code, name in enumerate(catalog.group_names)
        if any(test((name or "vmlinux").lower()) for test in tests)
    )


def _segments(catalog: Catalog, query: Query, hits: Sequence[int]) -> list[tuple[str, Sequence[int]]]:
    """For each kind of row, in order, the entries that give one."""
    by_kind: dict[str, list[Sequence[int]]] = {}
    terms = [term for term in query.terms if term.key in ("kind", "verdict", "probe")]
    kinds = _kinds(terms)
    for section in catalog.sections:
        shown = [kind for kind in section.kinds if kind in kinds]
        if shown:
            part = hits[bisect_left(hits, section.start) : bisect_left(hits, section.end)]
            ranked = _ranked(catalog, query, part)
            for kind in shown:
                by_kind.setdefault(kind, []).append(ranked)
    segments = [(kind, entries) for kind in KIND_ORDER for entries in by_kind.get(kind, ())]
    for term in terms:
        if term.key != "kind":
            segments = [(kind, _of_kind(catalog, term, kind, entries)) for kind, entries in segments]
    return [(kind, entries) for kind, entries in segments if entries]


def _kinds(terms: Sequence[Term]) -> frozenset[str]:
    kinds = set(KIND_ORDER)
    for term in terms:
        named = set(term.text.split(",")) if term.key == "kind" else {term.text.partition(":")[0]}
        if term.key == "kind" or (term.key == "probe" and not term.exclude):
            kinds = kinds - named if term.exclude else kinds & named
    return frozenset(kinds)


def _of_kind(catalog: Catalog, term: Term, kind: str, entries: Sequence[int]) -> Sequence[int]:
    """The entries whose row of this kind satisfies a verdict or full-name term."""
    if term.key == "verdict":
        answers = frozenset(term.text.split(","))
        return [e for e in entries if (catalog.verdict(kind, e).answer in answers) is not term.exclude]
    if kind != term.text.partition(":")[0]:
        return entries
    test = matcher(Term(term.text))
    prefix = f"{SYMBOL}:" if kind == SYMBOL else ""
    return [e for e in entries if test(prefix + catalog.probe(kind, e).lower()) is not term.exclude]


def _ranked(catalog: Catalog, query: Query, entries: Sequence[int]) -> Sequence[int]:
    """Exact names first, then names that begin with the first word, then the others; plain order within each."""
    word = next((term.text for term in query.terms if not (term.key or term.exclude or term.is_glob)), "")
    if not word or len(entries) > _RANK_AT_MOST:
        return entries
    names, facts = catalog.names, catalog.facts
    exact, begins, others, padding = [], [], [], []
    for entry in entries:
        name = names[entry].lower()
        if name == word:
            exact.append(entry)
        elif facts[entry] & Fact.PADDING:
            padding.append(entry)
        else:
            (begins if name.startswith(word) else others).append(entry)
    return [*exact, *begins, *others, *padding]
