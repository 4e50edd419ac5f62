"""The query language of the filter line: words, globs, `key:value` filters, `-word` to exclude.

    tcp send            both words, anywhere in `group:name`
    sys_enter_*at       a glob over the whole name
    kind:tracepoint group:sched -migrate
    tracepoint:sched:*  a full name, as bpftrace takes it

Case does not matter. Nothing is refused: what is no filter is a word.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass

from tracescope.model import ProbeKind

__all__ = ("FILTERS", "Query", "Term", "matcher", "parse_query", "toggle")

FILTERS = ("kind", "group", "module", "type", "verdict", "arg", "returns", "field")
"""The keys that a filter may have."""

_KINDS = frozenset(kind.value for kind in ProbeKind) | {"symbol", "format"}
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: `key` is empty for words over the name, else one of FILTERS, or `probe` for a full name."""

    text: str
    key: str = ""
    exclude: bool = False

    @property
    def is_glob(self) -> bool:
        """True when the text holds `*`, `?` or `[`."""
        return _GLOB.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Query:
    """The terms of a query; a row must satisfy all of them."""

    terms: tuple[Term, ...] = ()

    def narrows(self, other: Query) -> bool:
        """True when every row of this query is surely a row of `other`."""
        return all(any(_implies(mine, theirs) for mine in self.terms) for theirs in other.terms)


def _implies(mine: Term, theirs: Term) -> bool:
    if mine == theirs:
        return True
    plain = not (mine.exclude or theirs.exclude or mine.is_glob or theirs.is_glob)
    return plain and mine.key == theirs.key and mine.key in ("", "probe") and theirs.text in mine.text


def parse_query(text: str) -> Query:
    """The query that a filter line says."""
    return Query(tuple(term for word in text.split() if (term := _term(word)) is not None))


def _term(word: str) -> Term | None:
    exclude = len(word) > 1 and word.startswith("-")
    body = word[1:] if exclude else word
    key, colon, value = body.partition(":")
    if colon and key.lower() in FILTERS:
        # The letter's case is its meaning for symbol types, and C names are case-sensitive.
        kept = value if key.lower() in ("type", "arg", "returns", "field") else value.lower()
        return Term(kept, key.lower(), exclude) if value else None
    if colon and key.lower() in _KINDS:
        return Term(body.lower(), "probe", exclude)
    return Term(body.lower(), "", exclude)


def matcher(term: Term) -> Callable[[str], bool]:
    """A test of one lower-case text: substring for a word, whole-text match for a glob."""
    text = term.text.lower()
    if not term.is_glob:
        return lambda candidate: text in candidate
    pattern = re.compile(fnmatch.translate(text)).match
    # `*x*` over the name alone must also find `group:x`.
    anywhere = re.compile(fnmatch.translate(f"*:{text}")).match
    return lambda candidate: pattern(candidate) is not None or anywhere(candidate) is not None


def toggle(text: str, key: str, value: str) -> str:
    """The filter line with the term `key:value` added, or taken out when it is there."""
    wanted = f"{key}:{value}"
    words = text.split()
    if wanted in words:
        return " ".join(word for word in words if word != wanted)
    return " ".join([*(word for word in words if not word.startswith(f"{key}:")), wanted])
