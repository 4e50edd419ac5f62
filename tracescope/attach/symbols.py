"""From the addresses of stacks to functions: the kernel's by kallsyms, a process's by its ELF files and its perf map.

A perf map, `/tmp/perf-PID.map`, has a line `start size name` in hexadecimal for each function that a just-in-time
compiler made (tools/perf/Documentation/jit-interface.txt). It holds what the process wrote there.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress

from tracescope.attach.mappings import Mapping, Mappings, parse_maps
from tracescope.attach.stacks import Frame, Stack
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import decode
from tracescope.sources import elf, kallsyms
from tracescope.sources.elf import ElfSymbol, SymbolIndex
from tracescope.sources.kallsyms import SymbolTable, is_marker, is_padding
from tracescope.sources.nm import TEXT_LETTERS

__all__ = ("KernelSymbols", "Symbols", "UserSymbols", "parse_perf_map")

# No function of the kernel is that long: what lies further behind a symbol belongs to nothing known.
_MAX_FUNCTION = 1 << 20
_MAX_PERF_MAP = 64 << 20
_PERF_LINE = re.compile(rb"(?:0x)?([0-9a-f]{1,16}) (?:0x)?([0-9a-f]{1,16}) ([^\n]+)")
_AGAIN_SECONDS = 1.0
_MAX_KNOWN = 200_000
_VDSO = "[vdso]"


class KernelSymbols:
    """The kernel's functions by address."""

    def __init__(self, table: SymbolTable) -> None:
        self._table = table
        letters, addresses = table.types, table.addresses
        self._rows = [row for row in range(len(table)) if addresses[row] and letters[row] in TEXT_LETTERS]
        self._rows.sort(key=addresses.__getitem__)
        self._addresses = [addresses[row] for row in self._rows]

    def frame(self, address: int, *, called: bool) -> Frame:
        """The function at an address; `called`: the address is behind a call, which may be the function's end."""
        last = bisect_right(self._addresses, address - called)
        start = self._addresses[last - 1] if last else 0
        if address - start > _MAX_FUNCTION:
            return Frame(address)
        rows = self._rows[bisect_left(self._addresses, start) : last]
        symbol = self._table[min(rows, key=self._rank)]
        return Frame(address, symbol.name, address - start, symbol.module)

    def _rank(self, row: int) -> tuple[bool, bool, int]:
        """Of the names of one place the global and short ones say most, those of a range or of padding least."""
        name = self._table.names[row]
        return is_marker(name) or is_padding(name), self._table.types[row].islower(), len(name)


def parse_perf_map(data: bytes) -> SymbolIndex:
    """The functions of a perf map, by address; lines that are none are left out. The later of two at one place counts."""
    found = {}
    for line in data.split(b"\n"):
        match = _PERF_LINE.fullmatch(line)
        if match:
            start, size = int(match[1], 16), int(match[2], 16)
            found[start] = ElfSymbol(decode(match[3]), start, size, "FUNC", "GLOBAL", "DEFAULT", "", start)
    return SymbolIndex(found.values())


class UserSymbols:
    """The functions of processes by address, those of ended ones too as far as their mappings are known."""

    def __init__(self, host: Host, mappings: Mappings) -> None:
        self._host = host
        self._mappings = mappings
        self._indexes: dict[tuple[str, int], SymbolIndex | None] = {}
        self._maps: dict[int, _PerfMap] = {}
        self._looked: dict[int, float] = {}

    def see(self, pid: int) -> bool:
        """Look at what a process has mapped, if it still lives and was not looked at a moment ago."""
        now = time.monotonic()
        if now - self._looked.get(pid, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
            return False
        self._looked[pid] = now
        with suppress(TraceScopeError):
            self._mappings.add(pid, parse_maps(self._host.read(f"/proc/{pid}/maps")))
            return True
        return False

    def frame(self, pid: int, address: int, *, called: bool) -> Frame:
        """The function at an address of a process; `called` as for the kernel's."""
        at = address - called
        mapping = self._mappings.find(pid, at)
        if mapping is None and self.see(pid):
            mapping = self._mappings.find(pid, at)
        if mapping is None:
            return Frame(address)
        place = os.path.basename(mapping.path).strip("[]")
        index = self._index(pid, mapping)
        found = index.resolve(mapping.in_file(at)) if index else self._perf_map(pid).resolve(at)
        if found is None:
            return Frame(address, offset=mapping.in_file(address), place=place)
        symbol, inside = found
        return Frame(address, symbol.name, inside + called, place)

    def _index(self, pid: int, mapping: Mapping) -> SymbolIndex | None:
        """The symbols of a mapped file; None for memory without one, or when it is not that file any more."""
        key = mapping.path, mapping.inode
        if key not in self._indexes:
            self._indexes[key] = self._read(pid, mapping)
        return self._indexes[key]

    def _read(self, pid: int, mapping: Mapping) -> SymbolIndex | None:
        if mapping.path == _VDSO:
            return _vdso(self._host)
        for path in _places(pid, mapping):
            with suppress(TraceScopeError):
                return SymbolIndex(elf.symbols(path))
        return None

    def _perf_map(self, pid: int) -> SymbolIndex:
        if pid not in self._maps:
            self._maps[pid] = _PerfMap(self._host, pid)
        return self._maps[pid].index()


def _places(pid: int, mapping: Mapping) -> Iterator[str]:
    """Where a mapped file may be read: of a living process as it sees it, and where its name is the same here."""
    if not mapping.path.startswith("/"):
        return
    yield f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"
    for path in (f"/proc/{pid}/root{mapping.path}", mapping.path):
        with suppress(OSError, ValueError):
            if os.stat(path).st_ino == mapping.inode:
                yield path


def _vdso(host: Host) -> SymbolIndex | None:
    """The symbols of the code that the kernel maps into every process, out of this one."""
    with suppress(TraceScopeError, OSError):
        for mapping in parse_maps(host.read("/proc/self/maps")):
            if mapping.path == _VDSO:
                memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return SymbolIndex(elf.symbols(os.pread(memory, mapping.end - mapping.start, mapping.start)))
                finally:
                    os.close(memory)
    return None


class _PerfMap:
    """The perf map of one process, read again when it has grown."""

    def __init__(self, host: Host, pid: int) -> None:
        self._owners = {0, os.geteuid()}
        inside = pid
        with suppress(TraceScopeError, OSError, IndexError, ValueError):
            self._owners.add(os.stat(f"/proc/{pid}").st_uid)
            status = host.read(f"/proc/{pid}/status")
            inside = int(status.partition(b"\nNSpid:")[2].split(b"\n")[0].split()[-1])
        self._paths = f"/proc/{pid}/root/tmp/perf-{inside}.map", f"/tmp/perf-{inside}.map"
        self._size = -1
        self._index = SymbolIndex(())

    def index(self) -> SymbolIndex:
        """Its functions as they are now; none where there is no map that this process's user has written."""
        for path in self._paths:
            with suppress(OSError):
                # Neither a link to somewhere else nor a pipe that nobody writes to.
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    self._look(file)
                finally:
                    os.close(file)
                break
        return self._index

    def _look(self, file: int) -> None:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_uid in self._owners and status.st_size != self._size:
            self._size = status.st_size
            self._index = parse_perf_map(os.pread(file, min(self._size, _MAX_PERF_MAP), 0))


class Symbols:
    """Names stacks; what it has named once it knows. Safe to use from any thread."""

    def __init__(self, host: Host, mappings: Mappings) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._kernel: KernelSymbols | None = None
        self._user = UserSymbols(host, mappings)
        self._known: dict[tuple[int | None, int, bool], Frame] = {}

    def see(self, pid: int) -> None:
        """A stack of this process was taken: look at what it has mapped while it lives."""
        with self._lock:
            self._user.see(pid)

    def frames(self, stack: Stack) -> tuple[Frame, ...]:
        """The frames by name, innermost first."""
        with self._lock:
            return tuple(self._frame(stack.pid, address, called=at > 0) for at, address in enumerate(stack.frames))

    def _frame(self, pid: int | None, address: int, *, called: bool) -> Frame:
        key = pid, address, called
        frame = self._known.get(key)
        if frame is None:
            frame = (
                self._kernel_frame(address, called) if pid is None else self._user.frame(pid, address, called=called)
            )
            if frame.name:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[key] = frame
        return frame

    def _kernel_frame(self, address: int, called: bool) -> Frame:
        if self._kernel is None:
            self._kernel = KernelSymbols(_kernel_table(self._host))
        return self._kernel.frame(address, called=called)


def _kernel_table(host: Host) -> SymbolTable:
    """An empty one where the kernel shows none: then addresses stay what they are."""
    try:
        return kallsyms.read(host)
    except TraceScopeError:
        return SymbolTable()
