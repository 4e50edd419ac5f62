"""Where the registers lie in the context of a program on a function or a sample: 8-byte words of struct pt_regs. Pure.

Source: arch/x86/include/uapi/asm/ptrace.h, arch/arm64/include/uapi/asm/ptrace.h; which of them hold arguments says the
System V ABI for x86-64 (3.2.3) and the Procedure Call Standard for AArch64 (6.8).
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from tracescope.errors import Refused

__all__ = ("ARGUMENTS", "MACHINES", "Registers", "argument_word", "register_word", "result_word", "sample_words")


@dataclass(frozen=True, slots=True)
class Registers:
    """One processor's: `names` by their word; then a sample's period and address follow."""

    names: tuple[str, ...]
    arguments: tuple[int, ...]
    result: int
    ip: int


_X86_NAMES = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi")
_X86 = Registers((*_X86_NAMES, "orig_rax", "rip", "cs", "eflags", "rsp", "ss"), (14, 13, 12, 11, 9, 8), 10, 16)
_ARM = Registers((*(f"x{number}" for number in range(31)), "sp", "pc", "pstate"), tuple(range(8)), 0, 32)
MACHINES = {"x86_64": _X86, "aarch64": _ARM}
_HERE = MACHINES.get(platform.machine())

ARGUMENTS = len(_HERE.arguments) if _HERE else 0
"""How many arguments of a function are in registers."""


def _here() -> Registers:
    if _HERE is None:
        machine = platform.machine()
        raise Refused("functions cannot be attached", f"the registers of {machine} are not known", "take a tracepoint")
    return _HERE


def argument_word(number: int) -> int:
    """The word that holds an argument; raises Refused on an unknown processor."""
    return _here().arguments[number]


def result_word() -> int:
    """The word that holds what a function returns; errors as above."""
    return _here().result


def sample_words() -> tuple[int, int, int]:
    """Instruction pointer, period, address of a sample; errors as above."""
    here = _here()
    return here.ip, len(here.names), len(here.names) + 1


def register_word(name: str, machine: str | None = None) -> tuple[int, int] | None:
    """The word of a register by the assembler's name (`rdi`, `edi`, `w3`), and how many bytes of it the name means."""
    here = MACHINES.get(machine) if machine else _HERE
    if here is None:
        return None
    if name in here.names:
        return here.names.index(name), 8
    if here is _ARM:
        whole = f"x{name[1:]}"
        return (here.names.index(whole), 4) if name[:1] == "w" and whole in here.names else None
    for whole, size in _x86_wholes(name):
        if whole in here.names:
            return here.names.index(whole), size
    return None


def _x86_wholes(name: str) -> list[tuple[str, int]]:
    """The 64-bit registers that a shorter name may be a part of, and its bytes."""
    if name[:1] == "r":
        return [(name[:-1], {"d": 4, "w": 2, "b": 1}[name[-1]])] if name[-1:] in ("d", "w", "b") else []
    if name[:1] == "e":
        return [(f"r{name[1:]}", 4)]
    low = name.removesuffix("l")
    return [(f"r{name}", 2), (f"r{low}x", 1), (f"r{low}", 1)]
