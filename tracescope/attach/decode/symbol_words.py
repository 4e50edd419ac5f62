"""Addresses of functions as symbols: `vfs_read+0x10 [module]`, an address where no symbol is known."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tracescope.attach.record.layout import HEADER
from tracescope.attach.record.values import Reader, Value
from tracescope.host import Host
from tracescope.sources.print_lookups import read_lookups
from tracescope.sources.print_operand import Lookups, Place

__all__ = ("KernelFacts", "as_code", "as_symbol")


class KernelFacts:
    """What the host knows beside the records, read once, when it is first asked for or `warm()`ed; for any thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._lookups: Lookups | None = None

    @property
    def lookups(self) -> Lookups:
        """The lookups of a print fmt; symbols among them are `symbol`."""
        with self._lock:
            if self._lookups is None:
                self._lookups = read_lookups(self._host)
            return self._lookups

    def symbol(self, address: int) -> Place | None:
        """The symbol that holds an address of the kernel."""
        find = self.lookups.symbol
        with self._lock:
            return find(address) if find else None

    def warm(self) -> None:
        """Read the symbols now, in a thread: the first event shall not wait for them."""
        threading.Thread(target=self.symbol, args=(0,), name="symbols", daemon=True).start()


def as_symbol(plain: Reader, symbol: Callable[[int], Place | None]) -> Reader:
    """A reader of an address that gives the symbol's name where there is one."""

    def read(record: bytes) -> Value:
        value = plain(record)
        address = int(value, 16) if isinstance(value, str) and value.startswith("0x") else value
        place = symbol(address) if isinstance(address, int) and address else None
        return value if place is None else _text(place)

    return read


def as_code(kernel: Reader, code: Callable[[int, int], str | None]) -> Reader:
    """A reader of an address, of the kernel or of the event's process: `code` names the latter, by pid and address."""

    def read(record: bytes) -> Value:
        value = kernel(record)
        if not isinstance(value, str) or not value.startswith("0x"):
            return value
        return code(HEADER.unpack_from(record)[3], int(value, 16)) or value

    return read


def _text(place: Place) -> str:
    text = f"{place.name}+{place.offset:#x}" if place.offset else place.name
    return f"{text} [{place.module}]" if place.module else text
