"""Where a kernel address lies: `vfs_read+0x10/0x340`, as `%pS` of the kernel's printf says it.

Source: kernel/kallsyms.c, kallsyms_lookup(); kernel/module/kallsyms.c, find_kallsyms_symbol(). Input: the rows of
/proc/kallsyms.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from tracescope.sources.kallsyms import SymbolTable
from tracescope.sources.print_operand import Place

__all__ = ("Places",)

_START = "_stext"
_END = "_end"
_PAGE = 4096
# What is made at run time has no module's name in the kernel's own words.
_NAMELESS = frozenset({"bpf"})


class Places:
    """The symbols by address; of several at one address, the first row's name, as the kernel takes it.

    A module's last symbol ends with its page: kallsyms does not say where.
    """

    def __init__(self, table: SymbolTable) -> None:
        addresses = table.addresses
        lowest = next((addresses[row] for row, name in enumerate(table.names) if name == _START), 1)
        rows = [row for row in range(len(table)) if addresses[row] >= lowest]
        rows.sort(key=addresses.__getitem__)
        self._table = table
        self._rows = array("L")
        self._addresses = array("Q")
        last = -1
        for row in rows:
            if addresses[row] != last:
                last = addresses[row]
                self._rows.append(row)
                self._addresses.append(last)

    def __call__(self, address: int) -> Place | None:
        """The symbol that holds an address; None for an address outside of the kernel's code and data."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None
        symbol = self._table[self._rows[at]]
        if symbol.name == _END and not symbol.module:
            return None
        end = (symbol.address // _PAGE + 1) * _PAGE
        if at + 1 < len(self._rows) and self._module(at + 1) == symbol.module:
            end = self._addresses[at + 1]
        if address >= end:
            return None
        module = "" if symbol.module in _NAMELESS else symbol.module
        return Place(symbol.name, address - symbol.address, end - symbol.address, module)

    def _module(self, at: int) -> str:
        row = self._rows[at]
        return self._table.modules[self._table.module_codes[row]]
