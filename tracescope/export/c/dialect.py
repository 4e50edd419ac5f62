"""The words that differ between BCC's C and libbpf's: maps, ring buffer, context, members of structs. Pure."""

from __future__ import annotations

from typing import Protocol

from tracescope.attach.expression.chain import Offset
from tracescope.attach.targets.target import Target
from tracescope.export.c.carried import Carried
from tracescope.export.c.context import Context

__all__ = ("Dialect", "members_of")


class Dialect(Protocol):
    """What a writer of programs asks."""

    parent: str
    """The function `parent()`: the process id of the current task's parent."""
    lose: str
    """A statement: one more event was lost."""

    def context(self, target: Target, rows: tuple[Carried, ...], name: str) -> Context:
        """How the program at this probe finds what it carries."""
        ...

    def section(self, target: Target) -> str:
        """A line above a program; or empty."""
        ...

    def function(self, target: Target, name: str) -> str:
        """The name of a program's function: `name`, unless the kind of probe asks for another."""
        ...

    def offset(self, step: Offset) -> str:
        """An expression for the bytes to a member of a kernel's struct."""
        ...

    def hash_map(self, name: str, key: str, value: str, entries: int, *, lru: bool = False) -> str:
        """The declaration of a map."""
        ...

    def stack_map(self, name: str, entries: int) -> str:
        """The declaration of a map of stacks."""
        ...

    def ring(self, name: str) -> str:
        """The declaration of a ring buffer."""
        ...

    def lookup(self, table: str, key: str) -> str:
        """An expression: the address of a value, or NULL."""
        ...

    def update(self, table: str, key: str, value: str, *, new: bool = False) -> str:
        """An expression that puts a value into a map; with `new` only where there is none."""
        ...

    def delete(self, table: str, key: str) -> str:
        """An expression that takes a value out."""
        ...

    def reserve(self, ring: str, size: str) -> str:
        """An expression: room in the ring, or NULL."""
        ...

    def submit(self, ring: str, event: str) -> str:
        """An expression that hands an event over."""
        ...

    def stack(self, table: str, flags: str) -> str:
        """An expression: the number of the current stack, or -errno."""
        ...


def members_of(step: Offset) -> tuple[list[tuple[str, str]], int]:
    """The members by struct and name, and the bytes that have no name."""
    named = [(struct, member) for struct, member, _ in step.members]
    return named, step.bytes - sum(size for *_, size in step.members)
