"""What ftrace can trace, and what kprobes refuse.

`available_filter_functions`: `name` or `name [module]` a line, with the patch site's address in front in `…_addrs`
(Documentation/trace/ftrace.rst). debugfs `kprobes/blacklist`: `0xSTART-0xEND name`, a tab between (kernel/kprobes.c).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from tracescope.errors import Damaged, Missing
from tracescope.host import Host
from tracescope.printable import decode

__all__ = (
    "BLACKLIST",
    "Blacklist",
    "FunctionList",
    "parse_blacklist",
    "parse_filter_functions",
    "read_blacklist",
    "read_functions",
)

BLACKLIST = "/sys/kernel/debug/kprobes/blacklist"

# A record of a function that was freed with its init section; the kernel numbers them.
_INVALID = "__ftrace_invalid_address__"

_ADDRESS = re.compile(r"(?:0x)?([0-9a-f]{8,16}) (?=\S)")
_FUNCTION = re.compile(r"([^\s\[\]]+)(?:[ \t]+\[([^\s\[\]]+)\])?[ \t\r]*")
_RANGE = re.compile(r"0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\s+(.+)")


@dataclass(slots=True)
class FunctionList:
    """The functions ftrace can trace; `(name, module) in functions`, the module "" for the core kernel."""

    core: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)
    sites: array[int] = field(default_factory=lambda: array("Q"))
    """Addresses of the patch sites, sorted; empty where the kernel does not give them."""
    repeated: int = 0
    """Rows whose name and module an earlier row has: more than one function of that name."""
    invalid: int = 0
    """`__ftrace_invalid_address__` rows."""
    skipped: int = 0
    """Lines that are no row."""

    def __len__(self) -> int:
        return len(self.core) + sum(map(len, self.modules.values()))

    def __contains__(self, function: tuple[str, str]) -> bool:
        name, module = function
        return name in (self.modules.get(module, ()) if module else self.core)

    def has_site(self, start: int, end: int) -> bool:
        """True when a patch site lies in [start, end): tells functions of one name apart. Needs `sites`."""
        at = bisect_left(self.sites, start)
        return at < len(self.sites) and self.sites[at] < end


@dataclass(slots=True)
class Blacklist:
    """The functions kprobes refuse; `(name, module) in blacklist`, the module "" for the core kernel."""

    functions: set[tuple[str, str]] = field(default_factory=set)
    starts: array[int] = field(default_factory=lambda: array("Q"))
    """Starts of the merged address ranges, sorted; empty where the kernel hides addresses."""
    ends: array[int] = field(default_factory=lambda: array("Q"))
    repeated: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.functions)

    def __contains__(self, function: tuple[str, str]) -> bool:
        return function in self.functions

    def covers(self, address: int) -> bool:
        """True when the address lies in a refused range."""
        at = bisect_right(self.starts, address) - 1
        return at >= 0 and address < self.ends[at]


def parse_filter_functions(data: bytes) -> FunctionList:
    """The function list, with or without addresses; `Damaged` when text is there and no line of it is a row."""
    found = FunctionList()
    lines = decode(data).split("\n")
    if lines and _ADDRESS.match(lines[0]):
        lines = _without_addresses(lines, found)
    core = found.core
    for line in lines:
        if not line:
            continue
        if " " not in line and "\t" not in line and "\r" not in line and "[" not in line:
            name, module = line, ""
        elif row := _FUNCTION.fullmatch(line):
            name, module = row[1], row[2] or ""
        else:
            found.skipped += 1
            continue
        names = found.modules.setdefault(module, set()) if module else core
        if name in names:
            found.repeated += 1
        elif name.startswith(_INVALID):
            found.invalid += 1
        else:
            names.add(name)
    if found.skipped and not len(found) + found.invalid:
        raise Damaged("the function list cannot be read", "no line of it names a function")
    return found


def _without_addresses(lines: list[str], found: FunctionList) -> list[str]:
    """Move the addresses to `found.sites`; the lines without them."""
    names = []
    sites = []
    for line in lines:
        if row := _ADDRESS.match(line):
            sites.append(int(row[1], 16))
            names.append(line[row.end() :])
        elif line:
            found.skipped += 1
    found.sites = array("Q", sorted(filter(None, sites)))
    return names


def parse_blacklist(data: bytes) -> Blacklist:
    """The refused functions; `Damaged` when text is there and no line of it is a row."""
    found = Blacklist()
    ranges = []
    for line in decode(data).split("\n"):
        row = _RANGE.fullmatch(line)
        function = _FUNCTION.fullmatch(row[3]) if row else None
        if not row or not function:
            found.skipped += bool(line)
            continue
        key = (function[1], function[2] or "")
        found.repeated += key in found.functions
        found.functions.add(key)
        ranges.append((int(row[1], 16), int(row[2], 16)))
    if found.skipped and not found.functions:
        raise Damaged("the kprobe blacklist cannot be read", "no line of it names a function")
    _merge(ranges, found)
    return found


def _merge(ranges: Iterable[tuple[int, int]], found: Blacklist) -> None:
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if found.ends and start <= found.ends[-1]:
            found.ends[-1] = max(found.ends[-1], end)
        else:
            found.starts.append(start)
            found.ends.append(end)


def read_functions(host: Host) -> FunctionList:
    """The host's function list, with addresses where the kernel has them."""
    path = f"{host.tracefs}/available_filter_functions"
    try:
        data = host.read(f"{path}_addrs")
    except Missing:
        data = host.read(path)
    return parse_filter_functions(data)


def read_blacklist(host: Host) -> Blacklist:
    """The host's kprobe blacklist; debugfs is often refused (lockdown) or not mounted."""
    return parse_blacklist(host.read(BLACKLIST))
