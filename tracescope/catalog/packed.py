"""A catalog as plain builtins, and back: what `catalog.cache` keeps. Columns go as bytes and joined text.

BTF is not in it: the bytes are at hand, and few questions need them. Nor are generated symbols (`catalog.generated`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import starmap
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any

from tracescope.catalog.cache import seal
from tracescope.catalog.facts import HostFacts
from tracescope.catalog.store import Catalog, Knowledge, Section
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat, Field, SourceReport, SourceState

if TYPE_CHECKING:
    from tracescope.catalog.functions import SymbolFacts
    from tracescope.catalog.gathered import Gathered
    from tracescope.sources.btf import Btf
    from tracescope.sources.kallsyms import SymbolTable
    from tracescope.sources.perf_events import PerfEvent

__all__ = ("KernelTypes", "pack", "unpack")

Plain = Any
"""Builtins that `marshal` takes."""

_NO_TYPES = bytes.fromhex("9feb0100 18000000 00000000 00000000 00000000 01000000 00")
"""BTF with no type and one empty string."""
_STATES = ("ftrace", "blacklist", "btf", "bpftrace")
"""The sources whose state HostFacts has."""


def pack(catalog: Catalog, gathered: Gathered) -> Plain:
    """A catalog as builtins, without its last entries, which are the generated rows."""
    end = len(catalog) - len(gathered.generated or ())
    known = catalog.knowledge
    names, texts, rows = catalog.names, catalog.texts, catalog.symbol_rows[:end]
    return {
        "symbols": _pack_symbols(gathered.symbol_facts) if gathered.symbol_facts is not None else None,
        "seal": gathered.symbols_seal,
        "formats": _pack_formats(known.formats.values()),
        "btf": list(known.btf),
        "perf": [(key, e.name, e.kind, e.aliases, e.description, e.unit) for key, e in known.perf.items()],
        "host": (known.host.kprobes, known.host.unique_names, known.host.by_value, known.host.lockdown),
        "reports": [(r.name, r.state.value, r.count, r.seconds, r.why, r.fix) for r in known.reports.values()],
        "shows exports": known.shows_exports,
        "names": [(entry, names[entry]) for entry in range(end) if rows[entry] < 0],
        "texts": [(entry, texts[entry]) for entry in range(end) if texts[entry] != names[entry]],
        "facts": catalog.facts[:end].tobytes(),
        "rows": rows.tobytes(),
        "codes": catalog.group_codes[:end].tobytes(),
        "groups": catalog.group_names,
        "sections": [
            (section.start, section.end, tuple(map(str.__str__, section.kinds)), section.by_group)
            for section in catalog.sections
            if section.end <= end
        ],
    }


def unpack(plain: Plain, host: Host) -> Catalog | None:
    """The catalog with the generated rows of now; None when kallsyms says something else now."""
    reports = {name: SourceReport(name, SourceState(state), *rest) for name, state, *rest in plain["reports"]}
    symbols, core = None, 0
    if plain["symbols"]:
        core = len(plain["symbols"][1])
        symbols = _symbols_now(plain, host)
        if symbols is None:
            return None
        reports["kallsyms"] = replace(reports["kallsyms"], count=len(symbols))
    kprobes, unique_names, by_value, lockdown = plain["host"]
    states = {name: reports[name].state for name in _STATES if name in reports}
    catalog = Catalog(
        Knowledge(
            symbols=symbols,
            formats=_unpack_formats(*plain["formats"]),
            btf=KernelTypes(host, plain["btf"]),
            perf=_unpack_perf(plain["perf"]),
            host=HostFacts(kprobes, unique_names, by_value, lockdown=lockdown, **states),
            reports=reports,
            shows_exports=plain["shows exports"],
        )
    )
    _unpack_columns(catalog, plain)
    if symbols is not None:
        from tracescope.catalog.generated import add_generated

        add_generated(catalog, core)
    return catalog


def _symbols_now(plain: Plain, host: Host) -> SymbolTable | None:
    """The kept symbols and the generated ones of now, if nothing but these changed."""
    from tracescope.catalog.generated import extended, split
    from tracescope.sources import kallsyms

    try:
        stays, generated = split(host.read(kallsyms.PATH))
    except TraceScopeError:
        return None
    if seal(stays) != plain["seal"]:
        return None
    addresses, types, ordered, places, codes, modules, skipped = plain["symbols"]
    names = list(map(ordered.split("\n").__getitem__, array("I", places)))
    table = kallsyms.SymbolTable(array("Q", addresses), types, names, array("H", codes), modules, skipped)
    return extended(table, generated)


def _unpack_columns(catalog: Catalog, plain: Plain) -> None:
    catalog.facts.frombytes(plain["facts"])
    catalog.symbol_rows.frombytes(plain["rows"])
    catalog.group_codes.frombytes(plain["codes"])
    symbols = catalog.knowledge.symbols
    # A row of -1 takes the last name, or an empty one, for a moment.
    names = symbols.names if symbols is not None else [""]
    catalog.names = list(map(names.__getitem__, catalog.symbol_rows))
    for entry, name in plain["names"]:
        catalog.names[entry] = name
    catalog.texts = catalog.names.copy()
    for entry, text in plain["texts"]:
        catalog.texts[entry] = text
    catalog.name_groups(plain["groups"])
    catalog.sections = [Section(*section) for section in plain["sections"]]


def _pack_symbols(of: SymbolFacts) -> Plain:
    """The names go in their own order, in which they are searched, each row's place among them beside."""
    symbols = of.symbols
    places = array("I", bytes(4 * len(symbols)))
    for place, row in enumerate(of.order):
        places[row] = place
    names = "\n".join(map(symbols.names.__getitem__, of.order))
    columns = (symbols.addresses.tobytes(), symbols.types, names, places.tobytes(), symbols.module_codes.tobytes())
    return *columns, symbols.modules, symbols.skipped


def _pack_formats(formats: Iterable[EventFormat]) -> tuple[Plain, Plain, Plain]:
    """The distinct fields, the distinct runs of fields (by number), and the events with numbers of runs."""
    fields: dict[Field, int] = {}
    runs: dict[tuple[Field, ...], int] = {}

    def run(of: tuple[Field, ...]) -> int:
        return runs.setdefault(of, len(runs))

    events = [(e.group, e.name, e.id, run(e.fields), run(e.common), e.print_fmt) for e in formats]
    numbers = [tuple(fields.setdefault(field, len(fields)) for field in of) for of in runs]
    return list(map(attrgetter(*Field.__slots__), fields)), numbers, events


def _unpack_formats(fields: Plain, numbers: Plain, events: Plain) -> dict[str, EventFormat]:
    known = list(starmap(Field, fields))
    runs = [tuple(map(known.__getitem__, of)) for of in numbers]
    return {
        f"{group}:{name}": EventFormat(group, name, number, runs[own], runs[common], print_fmt)
        for group, name, number, own, common, print_fmt in events
    }


def _unpack_perf(rows: Plain) -> dict[str, PerfEvent]:
    if not rows:
        return {}
    from tracescope.sources.perf_events import PerfEvent

    return {key: PerfEvent(*values) for key, *values in rows}


class KernelTypes(Mapping[str, "Btf"]):
    """The BTF of each module, read from the host when it is first asked for; what cannot be read any more is empty."""

    def __init__(self, host: Host, modules: Iterable[str]) -> None:
        self._host = host
        self._modules = dict.fromkeys(modules)
        self._read: dict[str, Btf] = {}
        self._lock = RLock()

    def __getitem__(self, module: str) -> Btf:
        if module not in self._modules:
            raise KeyError(module)
        with self._lock:
            if module not in self._read:
                self._read[module] = self._btf(module)
            return self._read[module]

    def _btf(self, module: str) -> Btf:
        from tracescope.sources import btf

        try:
            return btf.read(self._host, module, None if module == "vmlinux" else self["vmlinux"])
        except TraceScopeError:
            return btf.Btf.parse(_NO_TYPES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
