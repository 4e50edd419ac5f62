"""A view: the rows of a catalog that a query selects, without one object a row.

The entries that match are found once (narrowing the previous view's while the user types); each kind's rows are a
slice of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate, chain, compress

from tracescope.catalog.facts import Fact
from tracescope.catalog.query import Query, Term, matcher
from tracescope.catalog.select import FENTRY_KINDS, begins, column, in_groups, select
from tracescope.catalog.store import FUNCTION_KINDS, KIND_ORDER, SYMBOL, Catalog, Row
from tracescope.catalog.verdict import verdict

__all__ = ("View", "make_view")

# Ranking is for eyes: above this many hits nobody reads to the end.
_RANK_AT_MOST = 10_000

# A plain integer: IntFlag's own arithmetic is ten times slower.
_PADDING = int(Fact.PADDING)

Segment = tuple[str, Sequence[int]]
"""A kind of rows, and the entries that give them."""


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
        parts = list(functions.values())
        if any(term.key in ("verdict", "probe") for term in self.query.terms):
            parts = [list(set(chain.from_iterable(parts)))]
        modules = Counter(chain.from_iterable(column(catalog.group_codes, part) for part in parts))
        letters = Counter(chain.from_iterable(column(catalog.letters, part) for part in parts))
        del letters[" "]
        names = catalog.group_names
        return {
            "kind": [(kind, kinds[kind]) for kind in KIND_ORDER if kinds[kind]],
            "group": [(names[code], count) for code, count in groups.most_common() if names[code]],
            "module": [(names[code] or "vmlinux", count) for code, count in modules.most_common()],
            "type": letters.most_common(),
        }


def make_view(catalog: Catalog, query: Query, previous: View | None) -> View:
    """The view of a query; `previous` is narrowed when the query only says more."""
    hits: Sequence[int] = range(len(catalog))
    done: tuple[Term, ...] = ()
    if previous is not None and previous.catalog is catalog and query.narrows(previous.query):
        hits, done = previous.hits, previous.query.terms
    for term in query.terms:
        if term not in done:
            hits = select(catalog, term, hits)
    return View(catalog, query, hits)


def _segments(catalog: Catalog, query: Query, hits: Sequence[int]) -> list[Segment]:
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
        if term.key == "probe":
            segments = [(kind, _of_name(catalog, term, kind, entries)) for kind, entries in segments]
        elif term.key == "verdict":
            segments = _of_verdict(catalog, term, segments)
    return [(kind, entries) for kind, entries in segments if entries]


def _kinds(terms: Sequence[Term]) -> frozenset[str]:
    kinds = set(KIND_ORDER)
    for term in terms:
        named = set(term.text.split(",")) if term.key == "kind" else {term.text.partition(":")[0]}
        if term.key == "kind" or (term.key == "probe" and not term.exclude):
            kinds = kinds - named if term.exclude else kinds & named
    return frozenset(kinds)


def _of_name(catalog: Catalog, term: Term, kind: str, entries: Sequence[int]) -> Sequence[int]:
    """The entries whose row of this kind satisfies a full-name term."""
    named, _, rest = term.text.partition(":")
    if kind != named:
        return entries
    if rest in ("", "*"):
        return () if term.exclude else entries
    if not (term.is_glob or term.exclude):
        if kind in FENTRY_KINDS and ":" not in rest[:-1]:
            return in_groups(catalog, lambda module: f"{module}:".startswith(rest), entries)
        entries = begins(catalog, rest.rpartition(":")[2], entries)
    test = matcher(Term(term.text))
    prefix = f"{SYMBOL}:" if kind == SYMBOL else ""
    return [e for e in entries if test(prefix + catalog.probe(kind, e).lower()) is not term.exclude]


def _of_verdict(catalog: Catalog, term: Term, segments: list[Segment]) -> list[Segment]:
    """The segments' entries with one of the verdicts: facts decide, and few sets of facts are different."""
    answers = frozenset(term.text.split(","))
    known: dict[tuple[int, frozenset[int]], Sequence[int]] = {}
    found = []
    for kind, entries in segments:
        host = catalog.knowledge.host
        good = frozenset(
            facts
            for facts in catalog.different_facts
            if (verdict(kind, facts, host).answer in answers) is not term.exclude
        )
        key = (id(entries), good)
        if key not in known:
            of_entries = map(catalog.facts.__getitem__, entries)
            known[key] = list(compress(entries, map(good.__contains__, of_entries))) if good else ()
        found.append((kind, known[key]))
    return found


def _ranked(catalog: Catalog, query: Query, entries: Sequence[int]) -> Sequence[int]:
    """Exact names first, then names that begin with the first word, then the others; plain order within each."""
    word = next((term.text for term in query.terms if not (term.key or term.exclude or term.is_glob)), "")
    if not word or len(entries) > _RANK_AT_MOST:
        return entries
    names, facts = catalog.names, catalog.facts
    exact, first, others, padding = [list[int]() for _ in range(4)]
    for entry in entries:
        name = names[entry].lower()
        if name == word:
            exact.append(entry)
        elif facts[entry] & _PADDING:
            padding.append(entry)
        else:
            (first if name.startswith(word) else others).append(entry)
    return [*exact, *first, *others, *padding]
