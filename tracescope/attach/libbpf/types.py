"""Where the running kernel's structures keep their members, as libbpf reads the BTF: in 10 ms, all types in 60.

Source: include/uapi/linux/btf.h. For what a plan asks of a few structures; `sources.btf` answers everything else.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tracescope.attach.libbpf.library import Library, library
from tracescope.errors import Missing, Refused

__all__ = ("LibraryTypes", "Size", "library_types")

_STRUCT, _UNION, _TYPEDEF, _CONST, _VOLATILE = 4, 5, 8, 9, 10
_THROUGH = (_TYPEDEF, _CONST, _VOLATILE)
_HEAD, _MEMBER = struct.Struct("=3I"), struct.Struct("=3I")
_DEEPEST = 32


class Size(NamedTuple):
    """How large a structure is, in bytes."""

    size: int


class _Type(NamedTuple):
    """`struct btf_type`: `value` is a size or another type."""

    kind: int
    flag: bool
    value: int
    members: bytes


class LibraryTypes:
    """Questions about structures by name; both raise Missing when the kernel has no such structure or member."""

    def __init__(self, lib: Library, btf: int) -> None:
        self._lib = lib
        self._btf = btf
        self._known: dict[str, dict[str, int]] = {}

    def member_offset(self, struct: str, member: str) -> int:
        """The offset of a member in bytes, also of one in an anonymous structure; raises Refused for a bitfield."""
        if struct not in self._known:
            self._known[struct] = dict(self._members(self._find(struct), 0, 0))
        bits = self._known[struct].get(member)
        if bits is None:
            raise Missing(f"{struct} has no member {member}", f"{member} is not in this kernel's BTF")
        if bits % 8:
            raise Refused(f"{struct}.{member} has no offset in bytes", f"{member} is a bitfield")
        return bits // 8

    def layout(self, struct: str) -> Size:
        """Its size."""
        return Size(self._type(self._find(struct)).value)

    def _find(self, name: str) -> int:
        found = int(self._lib.btf__find_by_name_kind(self._btf, name.encode("ascii"), _STRUCT))
        if found < 0:
            raise Missing(f"there is no type {name}", "this kernel's BTF does not have it")
        return found

    def _type(self, number: int) -> _Type:
        place = self._lib.btf__type_by_id(self._btf, number)
        _, info, value = _HEAD.unpack(ctypes.string_at(place, _HEAD.size))
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        size = count * _MEMBER.size if kind in (_STRUCT, _UNION) else 0
        return _Type(kind, bool(info >> 31), value, ctypes.string_at(place + _HEAD.size, size))

    def _members(self, number: int, base: int, depth: int) -> Iterator[tuple[str, int]]:
        """Names and offsets in bits; 1 more for a bitfield, which has none in bytes."""
        found = self._type(number)
        if found.kind in _THROUGH and depth < _DEEPEST:
            yield from self._members(found.value, base, depth + 1)
        for name_at, type_id, place in _MEMBER.iter_unpack(found.members):
            offset = base + (place & 0xFFFFFF if found.flag else place)
            name = self._lib.btf__name_by_offset(self._btf, name_at)
            if name:
                yield name.decode("ascii", "replace"), offset | (found.flag and place >> 24 != 0)
            elif depth < _DEEPEST:
                yield from self._members(type_id, offset, depth + 1)


@contextmanager
def library_types() -> Iterator[LibraryTypes]:
    """The running kernel's types, until the block ends; raises Missing where it shows none, Refused without libbpf."""
    lib = library()
    btf = lib.btf__load_vmlinux_btf()
    if not btf:
        raise Missing("the kernel shows no BTF", "/sys/kernel/btf/vmlinux is not there, or not readable")
    try:
        yield LibraryTypes(lib, btf)
    finally:
        lib.btf__free(btf)
