"""From the addresses of stacks to functions: the kernel's by kallsyms, a process's by what it has mapped."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right

from tracescope.attach.symbols.mappings import Mappings
from tracescope.attach.symbols.stacks import Frame, Stack
from tracescope.attach.symbols.user import UserSymbols
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.sources import kallsyms
from tracescope.sources.kallsyms import SymbolTable, is_marker, is_padding
from tracescope.sources.nm import TEXT_LETTERS

__all__ = ("KernelSymbols", "Symbols")

# No function of the kernel is that long: what lies further behind a symbol belongs to nothing known.
_MAX_FUNCTION = 1 << 20
_MAX_KNOWN = 200_000


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


class Symbols:
    """Names stacks; what it has named once it knows. Safe to use from any thread."""

    def __init__(self, host: Host, mappings: Mappings) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._kernel: KernelSymbols | None = None
        self._user = UserSymbols(host, mappings)
        self._seen: set[int] = set()
        self._known: dict[tuple[int | None, int, bool], Frame] = {}

    def see_once(self, pid: int) -> None:
        """A stack of this process was taken: look at what it has mapped while it lives, unless that was done before.

        It does not wait for a large file of symbols that another thread has read: the process may be gone by then.
        """
        if pid not in self._seen:
            self._seen.add(pid)
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
