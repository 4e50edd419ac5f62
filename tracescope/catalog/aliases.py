"""Functions with more than one name: `__do_sys_getpid` is `__x64_sys_getpid` and `__ia32_sys_getpid` as well.

The kernel asks by address whether it may attach; its lists tell each address by one name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import reduce
from itertools import compress
from operator import or_
from typing import TYPE_CHECKING

from tracescope.catalog.facts import Fact
from tracescope.sources.nm import TEXT_LETTERS

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog
    from tracescope.sources.kallsyms import SymbolTable

__all__ = ("aliases", "share_lists", "without_aliases")

_ALIAS, _LISTED = int(Fact.ALIAS_IN_FTRACE), int(Fact.IN_FTRACE)
_OF_ADDRESS = int(Fact.IN_FTRACE | Fact.BLACKLISTED)


def aliases(symbols: SymbolTable, marks: Collection[int]) -> list[list[int]]:
    """The text rows of each address that has several, in the table's order; `marks` are rows that are no functions.

    Empty when the addresses are hidden.
    """
    if symbols.addresses_hidden:
        return []
    code = list(map(TEXT_LETTERS.__contains__, symbols.types))
    shared = {address for address, count in Counter(compress(symbols.addresses, code)).items() if count > 1}
    found: dict[int, list[int]] = {}
    for row in compress(range(len(code)), map(shared.__contains__, symbols.addresses)):
        if code[row] and row not in marks:
            found.setdefault(symbols.addresses[row], []).append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def share_lists(rows: Sequence[int], facts: list[int]) -> None:
    """Give the rows of one address, in `facts` by row, what ftrace and the blacklist say of any of its names."""
    told = reduce(or_, (facts[row] & _OF_ADDRESS for row in rows))
    for row in rows:
        listed = facts[row] & _LISTED
        facts[row] |= told & ~_LISTED | (_ALIAS if told & _LISTED and not listed else 0)


def without_aliases(catalog: Catalog, entries: Sequence[int]) -> list[int]:
    """The entries, each function by one name: by that which ftrace lists, where it is among them."""
    facts, symbols = catalog.facts, catalog.knowledge.symbols
    if symbols is None or not any(facts[entry] & _ALIAS for entry in entries):
        return list(entries)
    at = symbols.addresses
    seen = {at[catalog.symbol_rows[entry]] for entry in entries if facts[entry] & _LISTED}
    kept = []
    for entry in entries:
        address = at[catalog.symbol_rows[entry]] if facts[entry] & _ALIAS else 0
        if not address or address not in seen:
            kept.append(entry)
            seen.add(address)
    return kept
