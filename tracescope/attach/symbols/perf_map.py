"""Functions that a just-in-time compiler made, as the process says in its perf map.

Source: tools/perf/Documentation/jit-interface.txt: `/tmp/perf-PID.map` has a line `start size name` for each, with
numbers in hexadecimal. It holds what the process wrote there.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import decode
from tracescope.sources.elf_symbols import ElfSymbol, SymbolIndex

__all__ = ("PerfMap", "parse_perf_map")

_MAX_BYTES = 64 << 20
_LINE = re.compile(rb"(?:0x)?([0-9a-f]{1,16}) (?:0x)?([0-9a-f]{1,16}) ([^\n]+)")


def parse_perf_map(data: bytes) -> SymbolIndex:
    """The functions of a perf map, by address; lines that are none are left out, of one place the last counts."""
    found = {}
    for line in data.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match:
            start, size = int(match[1], 16), int(match[2], 16)
            found[start] = ElfSymbol(decode(match[3]), start, size, "FUNC", "GLOBAL", "DEFAULT", "", start)
    return SymbolIndex(found.values())


class PerfMap:
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
            self._index = parse_perf_map(os.pread(file, min(self._size, _MAX_BYTES), 0))
