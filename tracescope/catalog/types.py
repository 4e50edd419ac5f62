"""Search by C type: which probes take, return or carry a type (`arg:sock`, `returns:file`, `field:skaddr`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import compress
from typing import TYPE_CHECKING

from tracescope.catalog.query import Term

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog
    from tracescope.sources.btf import Btf

__all__ = ("entries_by_type",)


def entries_by_type(catalog: Catalog, term: Term) -> frozenset[int]:
    """The entries whose function or event has the type or field that an `arg:`, `returns:` or `field:` term names."""
    known = catalog.by_type.get(term)
    if known is None:
        known = catalog.by_type[term] = frozenset((*_functions(catalog, term), *_events(catalog, term)))
    return known


def _functions(catalog: Catalog, term: Term) -> Iterable[int]:
    wanted = {
        "" if module == "vmlinux" else module: frozenset(_names(btf, term))
        for module, btf in catalog.knowledge.btf.items()
    }
    names = frozenset().union(*wanted.values())
    for section in catalog.function_sections() if names else ():
        listed = map(names.__contains__, catalog.names[section.start : section.end])
        for entry in compress(range(section.start, section.end), listed):
            if catalog.names[entry] in wanted.get(catalog.group(entry), ()):
                yield entry


def _names(btf: Btf, term: Term) -> Iterable[str]:
    if term.key == "arg":
        return btf.functions_with(term.text)
    return btf.functions_returning(term.text) if term.key == "returns" else ()


def _events(catalog: Catalog, term: Term) -> Iterable[int]:
    """Tracepoints that carry a type, or have a field of this name."""
    if term.key == "returns":
        return
    word = re.compile(rf"\b{re.escape(term.text)}\b")
    formats = catalog.knowledge.formats
    for section in catalog.sections:
        if section.by_group:
            for entry in range(section.start, section.end):
                event = formats.get(f"{catalog.group(entry)}:{catalog.names[entry]}")
                if event and any(
                    field.name == term.text if term.key == "field" else word.search(field.type)
                    for field in event.fields
                ):
                    yield entry
