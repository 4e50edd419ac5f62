"""The words that differ between BCC's C and libbpf's: maps, what carries events, members of structs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracescope.attach.expression.chain import Offset
from tracescope.attach.targets.target import Target
from tracescope.export.c.carried import Carried
from tracescope.export.c.context import Context

__all__ = ("Dialect", "members_of", "room_text")


class Dialect(Protocol):
    """What a writer of programs asks."""

    parent: str
    """The function `parent()`: the process id of the current task's parent."""
    lose: str
    """A statement: one more event was lost."""
    inline: str
    """What makes a function one that is always inlined."""

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

    def per_cpu(self, name: str, value: str) -> str:
        """The declaration of one value for each CPU."""
        ...

    def stack_map(self, name: str, entries: int) -> str:
        """The declaration of a map of stacks."""
        ...

    def events(self, structs: Sequence[str]) -> str:
        """The declaration of what carries events, of any of these structs, and of the room where they are made."""
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

    def reserve(self) -> str:
        """An expression: room for `*event`, or NULL."""
        ...

    def submit(self) -> str:
        """Statements that hand `event` over."""
        ...

    def output(self, event: str, size: str) -> str:
        """An expression that hands over so many bytes at an address; not 0 where there was no room."""
        ...

    def stack(self, table: str, flags: str) -> str:
        """An expression: the number of the current stack, or -errno."""
        ...


def room_text(dialect: Dialect, structs: Sequence[str]) -> str:
    """`room()`: where an event of any of these structs is made before it is copied into its CPU's buffer."""
    members = "".join(f"\tstruct {struct} as_{at};\n" for at, struct in enumerate(structs))
    return (
        "\n/* Events are made here, and then copied: one may be larger than a program's stack. */\n"
        f"union room {{\n{members}}};\n{dialect.per_cpu('rooms', 'union room')}\n"
        f"static {dialect.inline} void *room(void)\n{{\n\tint zero = 0;\n\n"
        f"\treturn {dialect.lookup('rooms', 'zero')};\n}}\n"
    )


def members_of(step: Offset) -> tuple[list[tuple[str, str]], int]:
    """The members by struct and name, and the bytes that have no name."""
    named = [(struct, member) for struct, member, _ in step.members]
    return named, step.bytes - sum(size for *_, size in step.members)
