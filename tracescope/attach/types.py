"""What programs ask of the kernel's own types; what was found is kept for the next session on the same boot.

To read and parse 5 MB of BTF takes as long as all the rest of a session's start.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from functools import cached_property
from typing import TypeVar

from tracescope import __version__
from tracescope.attach.record.offsets import ObjectOffsets, Offsets
from tracescope.catalog import cache
from tracescope.errors import Missing, TraceScopeError
from tracescope.host import Host
from tracescope.sources import btf
from tracescope.sources.btf import Btf

__all__ = ("KernelTypes", "kept_offsets", "kernel_types", "read_types")

OffsetsT = TypeVar("OffsetsT", Offsets, ObjectOffsets)

_SAME_KERNEL = ("/proc/sys/kernel/random/boot_id", "/proc/version", "/sys/kernel/notes")
_TYPES = "/sys/kernel/btf/vmlinux"


class KernelTypes:
    """A host's types, read when they are needed; `types` are they, where they were read already."""

    def __init__(self, host: Host, types: Btf | None = None) -> None:
        self._host = host
        self._given = types

    @cached_property
    def btf(self) -> Btf | None:
        """The types; None where the host does not show them."""
        return self._given or kernel_types(self._host)

    @cached_property
    def offsets(self) -> Offsets | None:
        """None also where this kernel's structures have other members."""
        return self._known(Offsets, Offsets.from_btf)

    @cached_property
    def objects(self) -> ObjectOffsets | None:
        """As `offsets`."""
        return self._known(ObjectOffsets, ObjectOffsets.from_btf)

    def _known(self, kind: type[OffsetsT], read: Callable[[Btf], OffsetsT]) -> OffsetsT | None:
        def found() -> tuple[int, ...]:
            if self.btf is None:
                raise Missing("the host does not show its types")
            return astuple(read(self.btf))

        names = [field.name for field in fields(kind)]
        try:
            return kind(*found() if self._given else kept_offsets(self._host, kind.__name__, names, found))
        except TraceScopeError:
            return None


def kept_offsets(host: Host, what: str, names: Sequence[str], read: Callable[[], Sequence[int]]) -> Sequence[int]:
    """What `read` finds, as many as there are names, or found in an earlier process; raises what it raises."""
    key = _key(host, what, *names)
    kept = cache.load(key, "offsets") if key else None
    if isinstance(kept, tuple) and len(kept) == len(names):
        return kept
    found = tuple(read())
    if key:
        cache.save(key, found, "offsets")
    return found


def kernel_types(host: Host) -> Btf | None:
    """The kernel's own types, where the host shows them."""
    try:
        return read_types(host)
    except TraceScopeError:
        return None


def read_types(host: Host) -> Btf:
    """The kernel's own types, as `sources.btf.read`; errors too."""
    key = _key(host, "index")
    kept = cache.load(key, "types") if key else None
    if isinstance(kept, tuple):
        starts, kinds, size = array("I"), bytearray(kept[1]), kept[2]
        starts.frombytes(kept[0])
        data = host.read(_TYPES)
        if len(data) == size:
            return Btf(data, index=(starts, kinds))
    types = btf.read(host)
    if key:
        starts, kinds = types.index
        cache.save(key, (starts.tobytes(), bytes(kinds), types.data_size), "types")
    return types


def _key(host: Host, *what: str) -> str | None:
    """What tells one boot of one kernel from all others; None where nothing is kept."""
    if not host.live or os.environ.get(cache.OFF) == "off":
        return None
    try:
        return repr((__version__, what, [host.read(path) for path in _SAME_KERNEL]))
    except TraceScopeError:
        return None
