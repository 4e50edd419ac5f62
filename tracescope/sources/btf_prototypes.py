"""Prototypes that fentry may be refused for: what kernel/bpf/btf.c btf_distill_func_proto looks at, in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from tracescope.sources.btf_types import THROUGH_NAMES, Kind, TypeTable

__all__ = ("Prototype", "Prototypes")

_LARGEST = 16
_REGISTER = 8


class Prototype(NamedTuple):
    """What may be in the way of fentry.

    `parameters`: their number, without `...`; `registers`: how many they fill when a structure is passed in as many as
    it is long; `variadic`: `...` follows; `structure`, `union`: one of up to 16 bytes is a parameter; `untraceable`:
    a larger or empty one is, or a floating-point number, or any of these is returned.
    """

    parameters: int
    registers: int
    variadic: bool
    structure: bool
    union: bool
    untraceable: bool


class Prototypes:
    """The prototypes of one BTF blob that are not plain: of more than `most` parameters, or with any of the flags."""

    def __init__(self, table: TypeTable, base: Prototypes | None, most: int) -> None:
        self._table, self._base, self._most = table, base, most

    def functions(self) -> Iterator[tuple[str, Prototype]]:
        """The functions of the blob with such a prototype."""
        target, unusual = self._table.target, self.unusual
        for name, type_id in self._table.names(Kind.FUNC).items():
            if found := unusual.get(target(type_id)):
                yield name, found

    @cached_property
    def unusual(self) -> dict[int, Prototype]:
        """By id, the base's too."""
        table, by_value = self._table, self.by_value
        found = {} if self._base is None else self._base.unusual.copy()
        for type_id in table.ids(Kind.FUNC_PROTO):
            types, returned = table.parameter_types(type_id), table.target(type_id)
            variadic = len(types) > 1 and types[-1] == 0
            plain = by_value.keys().isdisjoint(types) and returned not in by_value
            if not plain or variadic or len(types) > self._most:
                found[type_id] = self._described(types.tolist(), returned, variadic)
        return found

    def _described(self, types: list[int], returned: int, variadic: bool) -> Prototype:
        values = [self.by_value[word] for word in types if word in self.by_value]
        parameters = len(types) - variadic
        registers = parameters - len(values) + sum(-(-size // _REGISTER) for _, size in values)
        fitting = {kind for kind, size in values if kind is not Kind.FLOAT and 0 < size <= _LARGEST}
        refused = any(kind is Kind.FLOAT or not 0 < size <= _LARGEST for kind, size in values)
        return Prototype(
            parameters, registers, variadic, Kind.STRUCT in fitting, Kind.UNION in fitting,
            refused or returned in self.by_value,
        )  # fmt: skip

    @cached_property
    def by_value(self) -> dict[int, tuple[Kind, int]]:
        """Structures, unions and floating-point numbers under all their names: kind and size in bytes, by id."""
        table, found = self._table, {} if self._base is None else self._base.by_value.copy()
        for kind in (Kind.STRUCT, Kind.UNION, Kind.FLOAT):
            found |= {type_id: (kind, table.target(type_id)) for type_id in table.ids(kind)}
        named = {type_id: table.target(type_id) for type_id in table.ids(*THROUGH_NAMES)}
        while further := {name: found[type_id] for name, type_id in named.items() if type_id in found}:
            found |= further
            named = {name: type_id for name, type_id in named.items() if name not in further}
        return found
