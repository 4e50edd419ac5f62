"""The kernel's types and function prototypes: /sys/kernel/btf/vmlinux, and each module's split BTF beside it.

Input: BTF as in Documentation/bpf/btf.rst. `btf_types` reads the bytes, `btf_layout` knows structures, `btf_c` writes
C; here are the functions, and what a host has.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cache, cached_property
from typing import Self

from tracescope.errors import Damaged
from tracescope.host import Host
from tracescope.model import Parameter, Signature
from tracescope.sources.btf_layout import TypeLayouts
from tracescope.sources.btf_prototypes import Prototypes
from tracescope.sources.btf_types import (
    LONGEST_CHAIN,
    QUALIFIERS,
    Kind,
    Row,
    circular,
)

__all__ = ("Btf", "modules", "read")

_FOLDER = "/sys/kernel/btf"
_UNNAMED = QUALIFIERS | {Kind.PTR, Kind.ARRAY}
_FOUND_BY_NAME = frozenset({Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.TYPEDEF, Kind.FWD})
_TAGS = frozenset({"struct", "union", "enum"})
_WORDS = re.compile(r"\w+|[^\w\s]")
_QUALIFIERS = frozenset({"const", "volatile", "restrict"})


class Btf(TypeLayouts):
    """The types and functions of a kernel, or of one module on top of its kernel's."""

    def __init__(
        self, data: bytes, base: Self | None = None, index: tuple[array[int], bytearray] | None = None
    ) -> None:
        super().__init__(data, base, index)
        self._prototypes: dict[int, Prototypes] = {}

    @classmethod
    def parse(cls, data: bytes, base: Self | None = None) -> Self:
        """Read BTF bytes; a module's need the kernel's as `base`. Raises Damaged."""
        return cls(data, base)

    def functions(self) -> Collection[str]:
        """The name of every function, without the base's."""
        return self.names(Kind.FUNC).keys()

    def function(self, name: str) -> Signature | None:
        """A function's prototype."""
        proto = self._prototype(name)
        if proto is None:
            return None
        variadic = len(proto.words) > 2 and proto.words[-1] == 0
        parameters = tuple(Parameter(word, text) for word, text, _ in self._parameters(proto))
        return Signature(name, parameters, self.c_declaration(proto.value), variadic)

    def parameters(self, name: str) -> list[tuple[str, str, int]]:
        """Name, type as C and type id of each parameter, without `...`; empty for an unknown function."""
        proto = self._prototype(name)
        return [] if proto is None else list(self._parameters(proto))

    def bpftrace_arguments(self, name: str) -> list[tuple[str, str]]:
        """Type and name as `bpftrace -lv` lists them: parameters (`...` is a nameless void), `retval` unless void."""
        proto = self._prototype(name)
        if proto is None:
            return []
        rows = [(self.c_declaration(type_id), word) for word, type_id in self.parameters_of(proto)]
        return [*rows, (self.c_declaration(proto.value), "retval")] if proto.value else rows

    def prototypes(self, most: int) -> Prototypes:
        """The functions whose prototype is not plain: more than `most` registers, `...`, structures by value."""
        if most not in self._prototypes:
            base = None if self.base is None else self.base.prototypes(most)
            self._prototypes[most] = Prototypes(self, base, most)
        return self._prototypes[most]

    def passes_structures(self) -> bool | None:
        """Do fentry's trampolines pass structures of up to 16 bytes on? None where the processor decides, or unknown.

        kernel/bpf/btf.c takes them since `btf_func_model.arg_flags` is there, and x86 with it (commit 720e6a435194).
        """
        if self.find("struct btf_func_model") is None:
            return None
        if not self.has_member("struct btf_func_model", "arg_flags"):
            return False
        on_x86 = self.find("struct pt_regs") is not None and self.has_member("struct pt_regs", "di")
        return True if on_x86 else None

    def returned(self, name: str) -> int:
        """The id of the type that a function returns; 0 for none, and for an unknown function."""
        proto = self._prototype(name)
        return 0 if proto is None else proto.value

    def function_id(self, name: str) -> int | None:
        """The id of a function, the base's not counted: what fentry and fexit attach to."""
        return self.names(Kind.FUNC).get(name)

    def _prototype(self, name: str) -> Row | None:
        type_id = self.names(Kind.FUNC).get(name)
        if type_id is None:
            return None
        proto = self.row(self.row(type_id).value)
        if proto.kind is not Kind.FUNC_PROTO:
            raise Damaged("the BTF is damaged", f"function {name} has no prototype")
        return proto

    def _parameters(self, proto: Row) -> Iterator[tuple[str, str, int]]:
        for name, type_id in self.parameters_of(proto):
            if type_id:
                yield name, self.c_declaration(type_id), type_id

    def functions_with(self, type_name: str) -> list[str]:
        """The functions that take this type, sorted: `sock` by value or any pointer, `struct sock *` exactly so.

        A bare name may also be a union, an enum or a typedef; qualifiers do not count.
        """
        return sorted(self._users[0].get(_key(type_name), ()))

    def functions_returning(self, type_name: str) -> list[str]:
        """The functions that return this type, sorted; the name is as for `functions_with`."""
        return sorted(self._users[1].get(_key(type_name), ()))

    @cached_property
    def _users(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """By key of a type: the functions that take it, the functions that return it."""
        taking: dict[str, list[str]] = defaultdict(list)
        returning: dict[str, list[str]] = defaultdict(list)
        keys = cache(self._keys)
        for name, type_id in self.names(Kind.FUNC).items():
            proto = self.row(self.row(type_id).value)
            for key in {key for type_id in proto.words[1::2] if type_id for key in keys(type_id)}:
                taking[key].append(name)
            for key in keys(proto.value):
                returning[key].append(name)
        return taking, returning

    def _keys(self, type_id: int) -> set[str]:
        """What a type is found by: its C text, and each name on the way through pointers and typedefs."""
        keys = {_key(self.c_declaration(type_id))}
        for _ in range(LONGEST_CHAIN):
            type_id = self.strip(type_id, _UNNAMED)
            row = self.row(type_id)
            if row.kind in _FOUND_BY_NAME and row.name:
                keys.add(row.name)
            if row.kind is not Kind.TYPEDEF:
                return keys
            type_id = row.value
        raise circular(type_id)


def _key(text: str) -> str:
    """A type's text without spaces and qualifiers; `struct x` is `x`."""
    words = [word for word in _WORDS.findall(text) if word not in _QUALIFIERS]
    return words[1] if len(words) == 2 and words[0] in _TAGS else "".join(words)


def read(host: Host, module: str = "vmlinux", base: Btf | None = None) -> Btf:
    """A host's BTF of the kernel or a module; without `base` a module's reads the kernel's too."""
    if module != "vmlinux" and base is None:
        base = read(host)
    return Btf.parse(host.read(f"{_FOLDER}/{module}"), base)


def modules(host: Host) -> list[str]:
    """The names that `read` takes, `vmlinux` among them."""
    return host.names(_FOLDER)
