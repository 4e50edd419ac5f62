"""/proc/kallsyms: one symbol a row, `address type name`, then a tab and `[module]`; the address in hexadecimal.

Source: kernel/kallsyms.c, s_show(). Addresses are all zero without the right to see them; names stay good.
Duplicate names are legal.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress

from tracescope.errors import Damaged
from tracescope.host import Host
from tracescope.model import Symbol
from tracescope.printable import decode
from tracescope.sources.nm import TEXT_LETTERS

__all__ = ("PATH", "SymbolTable", "base_name", "is_marker", "is_padding", "parse_kallsyms", "read", "suffix_of")

PATH = "/proc/kallsyms"

_CHUNK = 1 << 16
# After so many more wrong lines than rows, the rest is counted and not read.
_HOPELESS = 100_000
_MAX_MODULES = 1 << 16

_ROW = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]+([!-~])[ \t]+([^\s]+)(?:[ \t]+(\[[^\s\]]+\]))?[ \t\r]*")
_MODULE = re.compile(rb"\[[^\s\]]+\]")
_SUFFIX = re.compile(r"(?:\.(?:isra|constprop|part|cold|llvm|lto_priv|localalias|__uniq)(?:\.\d+)?)+\Z")
_MARKER = re.compile(r"_[se]?text|_[se]inittext|__\w+_text_(?:start|end)|__(?:start|stop)___\w+")
_EXPORT = "__ksymtab_"


@dataclass(slots=True)
class SymbolTable:
    """The rows as columns; `modules[module_codes[i]]` is row i's module, "" (code 0) for the core kernel."""

    addresses: array[int] = field(default_factory=lambda: array("Q"))
    types: str = ""
    names: list[str] = field(default_factory=list)
    module_codes: array[int] = field(default_factory=lambda: array("H"))
    modules: list[str] = field(default_factory=lambda: [""])
    skipped: int = 0
    """Lines that are no row."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Symbol:
        module = self.modules[self.module_codes[row]]
        return Symbol(self.addresses[row], self.types[row], self.names[row], module)

    def __iter__(self) -> Iterator[Symbol]:
        modules = self.modules
        for address, letter, name, code in zip(self.addresses, self.types, self.names, self.module_codes, strict=True):
            yield Symbol(address, letter, name, modules[code])

    @property
    def addresses_hidden(self) -> bool:
        """True when the kernel shows every address as zero."""
        return not any(self.addresses)

    def duplicates(self) -> dict[str, int]:
        """Names that more than one text row has (a kprobe by such a name is refused), with their number of rows."""
        counts = Counter(compress(self.names, map(TEXT_LETTERS.__contains__, self.types)))
        return {name: count for name, count in counts.items() if count > 1}

    def exported(self) -> dict[str, str]:
        """Exported name → the module that exports it; "" for the core kernel.

        The kernel refuses a second export of a name. Without CONFIG_KALLSYMS_ALL the core kernel's exports do not show.
        """
        names, types, codes, modules = self.names, self.types, self.module_codes, self.modules
        found = {names[i]: modules[code] for i, code in enumerate(codes) if code and types[i].isupper()}
        for row, name in enumerate(names):
            if name.startswith(_EXPORT):
                found[name.removeprefix(_EXPORT)] = modules[codes[row]]
        return found


def is_padding(name: str) -> bool:
    """True for the symbol of the bytes before a function (`__pfx_`, `__cfi_`): never a probe."""
    return name.startswith(("__pfx_", "__cfi_"))


def is_marker(name: str) -> bool:
    """True for a linker's mark of where a range starts or ends (`_stext`, `__entry_text_end`): no function."""
    return _MARKER.fullmatch(name) is not None


def suffix_of(name: str) -> str:
    """What the compiler added to a function's name: `.isra.0.cold`, or "" for nothing."""
    match = _SUFFIX.search(name) if "." in name else None
    return match.group() if match and match.start() else ""


def base_name(name: str) -> str:
    """The function's name in the source code: without the compiler's suffixes."""
    return name.removesuffix(suffix_of(name))


def parse_kallsyms(data: bytes) -> SymbolTable:
    """The rows of a kallsyms file; a last line without line feed is cut, so skipped. Damaged when there is no row."""
    table = SymbolTable()
    codes = {b"": 0}
    types: list[str] = []
    start, end = 0, data.rfind(b"\n") + 1
    while start < end:
        stop = data.find(b"\n", min(start + _CHUNK, end) - 1) + 1
        chunk = data[start:stop]
        if not _add_regular(table, types, codes, chunk):
            _add_lines(table, types, codes, chunk)
        start = stop
        if table.skipped > _HOPELESS + len(table):
            break
    table.skipped += data.count(b"\n", start) + (len(data) > end)
    if not table.names:
        raise Damaged(f"{PATH} holds no symbols", f"none of its {table.skipped} lines is a symbol")
    table.types = "".join(types)
    table.modules.extend(decode(name[1:-1]) for name in codes if name)
    return table


def _add_regular(table: SymbolTable, types: list[str], codes: dict[bytes, int], chunk: bytes) -> bool:
    """Add lines that all have 16 digits, a letter, a name, and either all or none a module; else add none."""
    parts, rows = chunk.split(), chunk.count(b"\n")
    width, rest = divmod(len(parts), rows)
    if rest or width not in (3, 4):
        return False
    addresses, letters, names = parts[0::width], b"".join(parts[1::width]), parts[2::width]
    column = _addresses(addresses)
    if column is None or len(letters) != rows or not letters.isascii():
        return False
    if width == 4:
        modules = parts[3::4]
        new = {*modules} - codes.keys()
        if not all(_MODULE.fullmatch(name) for name in new) or len(codes) + len(new) > _MAX_MODULES:
            return False
        codes.update(zip(sorted(new), range(len(codes), _MAX_MODULES), strict=False))
        table.module_codes.extend(map(codes.__getitem__, modules))
    else:
        table.module_codes.frombytes(bytes(table.module_codes.itemsize * rows))
    table.addresses.extend(column)
    types.append(letters.decode())
    table.names.extend(decode(b"\n".join(names)).split("\n"))
    return True


def _addresses(digits: list[bytes]) -> array[int] | None:
    """Numbers of exactly 16 hexadecimal digits, or None."""
    if {*map(len, digits)} != {16}:
        return None
    try:
        column = array("Q", bytes.fromhex(b"".join(digits).decode("latin-1")))
    except ValueError:
        return None
    if sys.byteorder == "little":
        column.byteswap()
    return column


def _add_lines(table: SymbolTable, types: list[str], codes: dict[bytes, int], chunk: bytes) -> None:
    """Add every line that is a row; count the others."""
    for line in chunk.split(b"\n"):
        if not line:
            continue
        match = _ROW.fullmatch(line)
        if match is None or (len(codes) == _MAX_MODULES and match[4] and match[4] not in codes):
            table.skipped += 1
            continue
        address, letter, name, module = match.groups(b"")
        table.addresses.append(int(address, 16))
        types.append(chr(letter[0]))
        table.names.append(decode(name))
        table.module_codes.append(codes.setdefault(module, len(codes)))


def read(host: Host) -> SymbolTable:
    """The symbols of a host."""
    return parse_kallsyms(host.read(PATH))
