"""List the kernel's symbols with the class and scope of their type letter.

PATTERN is a glob over the symbol's name. --type takes nm letters: 'tT' is code, 'bBdDrR' is data.
"""

from __future__ import annotations

import argparse
import fnmatch
import re

from tracescope.catalog.listed import is_exported
from tracescope.catalog.read import read_sources, sources_for
from tracescope.catalog.store import SYMBOL, Catalog
from tracescope.cli.output import note, print_json, print_text
from tracescope.cli.sources import complain_of
from tracescope.host import open_host
from tracescope.sources.nm import classify

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="a glob over the symbol's name; default: all")
    parser.add_argument("--type", metavar="LETTERS", help="only these nm letters, such as tT")
    parser.add_argument("--json", action="store_true", help="one object a line")


def run(args: argparse.Namespace) -> int:
    """Print the rows of kallsyms that match, in its order."""
    host = open_host(args.host)
    catalog = read_sources(host, sources_for([SYMBOL]))
    complain_of(host, catalog)
    symbols = catalog.knowledge.symbols
    if symbols is None:
        return 1
    tests = [re.compile(fnmatch.translate(pattern)).match for pattern in args.patterns]
    by_row = _entries(catalog)
    printed = 0
    for row, name in enumerate(symbols.names):
        if args.type and symbols.types[row] not in args.type:
            continue
        if not tests or any(test(name) for test in tests):
            _print(catalog, by_row[row], row, as_json=args.json)
            printed += 1
    if not printed:
        note("nothing matches: a pattern is a glob over the name, such as 'vfs_*'; --type takes letters of nm")
    return 0


def _entries(catalog: Catalog) -> dict[int, int]:
    return {row: entry for entry, row in enumerate(catalog.symbol_rows) if row >= 0}


def _print(catalog: Catalog, entry: int, row: int, *, as_json: bool) -> None:
    symbol = catalog.knowledge.symbols[row]  # type: ignore[index]
    exported = is_exported(catalog, entry)
    kind = classify(symbol.type, symbol.module, exported=exported is True)
    if not as_json:
        module = f" [{symbol.module}]" if symbol.module else ""
        print_text(f"{symbol.address:016x} {symbol.type} {symbol.name}{module}  {kind.name}, {kind.scope}")
        return
    verdict = catalog.verdict(SYMBOL, entry)
    print_json(
        {
            "name": symbol.name,
            "address": f"0x{symbol.address:016x}",
            "type": symbol.type,
            "class": kind.name,
            "scope": kind.scope,
            "module": symbol.module,
            "exported": exported,
            "verdict": verdict.answer.value,
            "reasons": [reason.value for reason in verdict.reasons],
        }
    )
