"""What a `print fmt` needs beside the record, from a host: symbols, constant strings, enumerators, HZ.

Sources: /proc/kallsyms; tracefs `printk_formats` (kernel/trace/trace_printk.c, t_show()); BTF; the kernel's
configuration in /proc/config.gz or /boot. Each is read when it is first asked for.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import decode
from tracescope.sources import btf
from tracescope.sources.btf import Btf
from tracescope.sources.btf_types import Kind
from tracescope.sources.c_expression import unescape
from tracescope.sources.print_operand import Lookups, Place

__all__ = ("parse_hz", "parse_printk_formats", "read_lookups")

_STRING = re.compile(r'^0x([0-9a-f]{1,16}) : "(.*)"$', re.MULTILINE)
_HZ = re.compile(rb"^CONFIG_HZ=([0-9]{1,5})$", re.MULTILINE)
_MAX_CONFIG = 4 << 20
_GZIP = 16 + zlib.MAX_WBITS


def read_lookups(host: Host) -> Lookups:
    """A host's lookups; what it does not show is not known, and nothing fails for it."""
    facts = _Facts(host)
    return Lookups(facts.symbol, facts.string, facts.enumerator, _read_hz(host))


def parse_printk_formats(data: bytes) -> dict[int, str]:
    """The kernel's constant strings that it shows to tracers, by address."""
    return {int(address, 16): unescape(text) for address, text in _STRING.findall(decode(data))}


def parse_hz(config: bytes) -> int | None:
    """CONFIG_HZ of a kernel configuration."""
    found = _HZ.search(config)
    return int(found[1]) if found else None


def _read_hz(host: Host) -> int | None:
    with suppress(TraceScopeError, zlib.error):
        unpacked = zlib.decompressobj(wbits=_GZIP).decompress(host.read("/proc/config.gz"), _MAX_CONFIG)
        return parse_hz(unpacked)
    with suppress(TraceScopeError):
        release = decode(host.read("/proc/sys/kernel/osrelease").strip())
        return parse_hz(host.read(f"/boot/config-{release}"))
    return None


class _Facts:
    """A host's sources, read once each."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def symbol(self, address: int) -> Place | None:
        """The symbol that holds an address."""
        return self._places(address) if self._places else None

    def string(self, address: int) -> str | None:
        """The constant string at an address."""
        return self._strings.get(address)

    def enumerator(self, name: str) -> int | None:
        """An enumerator's value in the core kernel, or else in a module; None when two enums disagree."""
        return self._enumerators[name] if name in self._enumerators else self._module_enumerators.get(name)

    @cached_property
    def _places(self) -> Callable[[int], Place | None] | None:
        from tracescope.sources import kallsyms
        from tracescope.sources.kernel_places import Places

        with suppress(TraceScopeError):
            table = kallsyms.read(self._host)
            if not table.addresses_hidden:
                return Places(table)
        return None

    @cached_property
    def _strings(self) -> dict[int, str]:
        with suppress(TraceScopeError):
            return parse_printk_formats(self._host.read(f"{self._host.tracefs}/printk_formats"))
        return {}

    @cached_property
    def _btf(self) -> Btf | None:
        with suppress(TraceScopeError):
            return btf.read(self._host)
        return None

    @cached_property
    def _enumerators(self) -> dict[str, int | None]:
        return {} if self._btf is None else _all_enumerators([self._btf])

    @cached_property
    def _module_enumerators(self) -> dict[str, int | None]:
        found = []
        with suppress(TraceScopeError):
            for module in btf.modules(self._host):
                if module != "vmlinux" and self._btf is not None:
                    with suppress(TraceScopeError):
                        found.append(btf.read(self._host, module, self._btf))
        return _all_enumerators(found)


def _all_enumerators(tables: Iterable[Btf]) -> dict[str, int | None]:
    """Value by name; None for a name that has several values."""
    values: dict[str, int | None] = {}
    for table in tables:
        with suppress(TraceScopeError):
            for type_id in table.ids(Kind.ENUM, Kind.ENUM64):
                for name, value in table.enumerators(table.row(type_id)):
                    values[name] = value if values.get(name, value) == value else None
    return values
