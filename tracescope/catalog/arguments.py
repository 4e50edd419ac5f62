"""What a probe carries: each argument's register and bpftrace name, and the type in BTF that it opens into.

Registers: System V ABI for x86-64, section 3.2.3; Procedure Call Standard for AArch64, section 6.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracescope.catalog.store import FORMAT, FUNCTION_KINDS, SYMBOL, Catalog, Row
from tracescope.model import ProbeKind, Signature

if TYPE_CHECKING:
    from tracescope.sources.btf import Btf

__all__ = ("Argument", "arguments_of", "btf_of", "raw_signature")

_TRACEITER = "__traceiter_"
"""Each raw tracepoint's iterator function takes its arguments after one of its own (include/linux/tracepoint.h)."""
_STRUCT = re.compile(r"\b(?:struct|union) \w+")
_WORD = 8


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or field, or (with the name `retval`) what a function returns."""

    name: str
    type: str
    type_id: int | None = None
    """What `Btf.resolve` opens; None when BTF does not know it."""
    register: str = ""
    """`di`, `dx cx`, `stack`; empty where there is none, or where the host's processor is not known."""
    bpftrace: str = ""
    """`arg0`, `sarg0`, `args->fd`, `retval`; empty for what bpftrace cannot name."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """How a processor's calls pass arguments."""

    registers: tuple[str, ...]
    returned: str
    copies_large: bool
    """A struct of more than two words is passed as a pointer to a copy; else it lies on the stack."""


_MACHINES = {
    # The system calls' entry points are named after the processor.
    "__x64_sys_read": _Machine(("di", "si", "dx", "cx", "r8", "r9"), "ax", copies_large=False),
    "__arm64_sys_read": _Machine(tuple(f"x{number}" for number in range(8)), "x0", copies_large=True),
}
_UNKNOWN = _Machine((), "", copies_large=False)


def btf_of(catalog: Catalog, row: Row) -> Btf | None:
    """The BTF that types a row: its module's, or the kernel's."""
    known = catalog.knowledge.btf
    return (
        known.get(row.module or "vmlinux") if row.kind in FUNCTION_KINDS or row.kind == SYMBOL else known.get("vmlinux")
    )


def raw_signature(btf: Btf, name: str) -> Signature | None:
    """A raw tracepoint's arguments, as a function's."""
    iterator = btf.function(f"{_TRACEITER}{name}")
    return Signature(name, iterator.parameters[1:], "void") if iterator else None


def arguments_of(catalog: Catalog, row: Row) -> tuple[Argument, ...]:
    """A function's parameters and return value, a raw tracepoint's arguments, or the fields of an event."""
    btf = btf_of(catalog, row)
    if row.kind in (ProbeKind.TRACEPOINT, FORMAT):
        event = catalog.knowledge.formats.get(f"{row.group}:{row.name}")
        fields = event.fields if event else ()
        return tuple(Argument(f.name, f.full_type, _named(btf, f.type), "", f"args->{f.name}") for f in fields)
    if btf is None:
        return ()
    if row.kind == ProbeKind.RAWTRACEPOINT:
        rows = btf.parameters(f"{_TRACEITER}{row.name}")[1:]
        return tuple(Argument(name, text, type_id, "", f"arg{at}") for at, (name, text, type_id) in enumerate(rows))
    return tuple(_function(catalog, row, btf))


def _function(catalog: Catalog, row: Row, btf: Btf) -> Iterator[Argument]:
    signature = btf.function(row.name)
    if signature is None:
        return
    machine = next((m for symbol, m in _MACHINES.items() if catalog.find(f"kprobe:{symbol}")), _UNKNOWN)
    rows = btf.parameters(row.name)
    places = _places(machine, [btf.size(type_id) for _, _, type_id in rows])
    for (name, text, type_id), (register, word) in zip(rows, places, strict=True):
        if row.kind == ProbeKind.KRETPROBE:
            # The registers hold something else by then.
            yield Argument(name, text, type_id)
        elif row.kind in (ProbeKind.FENTRY, ProbeKind.FEXIT):
            yield Argument(name, text, type_id, register, f"args->{name}" if name else "")
        else:
            yield Argument(name, text, type_id, register, word)
    if signature.returns != "void":
        yield Argument("retval", signature.returns, _named(btf, signature.returns), machine.returned, "retval")


def _places(machine: _Machine, sizes: list[int]) -> Iterator[tuple[str, str]]:
    """For each argument's size in bytes: its registers, and bpftrace's names of its words."""
    free, used, stacked = list(machine.registers), 0, 0
    for size in sizes:
        words = max(1, -(-size // _WORD))
        if words > 2 and machine.copies_large:
            words = 1
        if words <= min(2, len(free)) or not machine.registers:
            taken, free = free[:words], free[words:]
            yield " ".join(taken), " ".join(f"arg{used + at}" for at in range(words))
            used += words
        else:
            yield "stack", " ".join(f"sarg{stacked + at}" for at in range(words))
            stacked += words


def _named(btf: Btf | None, text: str) -> int | None:
    """The id of the struct or union that a type's C text names."""
    name = _STRUCT.search(text)
    return btf.find(name[0]) if btf is not None and name else None
