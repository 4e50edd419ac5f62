"""From addresses in processes to functions: by what is mapped there, the ELF file's symbols, or the perf map."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from tracescope.attach.symbols.mappings import Mapping, Mappings, parse_maps
from tracescope.attach.symbols.perf_map import PerfMap
from tracescope.attach.symbols.stacks import Frame
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.sources.elf_symbols import SymbolIndex, symbols

__all__ = ("UserSymbols",)

_AGAIN_SECONDS = 1.0
_VDSO = "[vdso]"


class UserSymbols:
    """The functions of processes by address, those of ended ones too as far as their mappings are known."""

    def __init__(self, host: Host, mappings: Mappings) -> None:
        self._host = host
        self._mappings = mappings
        self._indexes: dict[tuple[str, int], SymbolIndex | None] = {}
        self._maps: dict[int, PerfMap] = {}
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
                return SymbolIndex(symbols(path))
        return None

    def _perf_map(self, pid: int) -> SymbolIndex:
        if pid not in self._maps:
            self._maps[pid] = PerfMap(self._host, pid)
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
                    return SymbolIndex(symbols(os.pread(memory, mapping.end - mapping.start, mapping.start)))
                finally:
                    os.close(memory)
    return None
