"""A USDT probe's argument as C: out of a register, out of memory that registers lead to, or a constant. Pure.

Input: the assembler's operand of a note (sources/usdt.py): `%edi`, `-20(%rbp)`, `8(%rax,%rcx,4)`, `$-5`; on arm64 `x0`,
`[sp, 8]`, `5`.
"""

from __future__ import annotations

import re

from tracescope.attach.targets.registers import register_word
from tracescope.errors import Refused
from tracescope.sources.usdt import UsdtArgument

__all__ = ("operand_text",)

_NUMBER = r"-?(?:0x[0-9a-f]+|\d+)"
_CONSTANT = re.compile(rf"[$#]?({_NUMBER})")
_REGISTER = re.compile(r"%?([a-z][a-z0-9]*)")
_X86_MEMORY = re.compile(rf"({_NUMBER})?\(%([a-z0-9]+)(?:,\s*%([a-z0-9]+)(?:,\s*([1248]))?)?\)")
_ARM_MEMORY = re.compile(rf"\[\s*([a-z0-9]+)\s*(?:,\s*#?({_NUMBER}))?\s*\]")


def operand_text(argument: UsdtArgument, destination: str) -> str:
    """A statement that puts the argument into `destination`, a u64; raises Refused for what cannot be read."""
    text = argument.expression.strip().lower()
    type_ = _type(argument)
    if (match := _CONSTANT.fullmatch(text)) is not None:
        return f"{destination} = ({type_}){int(match[1], 0) & (1 << 64) - 1}ULL;"
    if (match := _REGISTER.fullmatch(text)) is not None:
        word, _ = _word(argument, match[1])
        return f"{destination} = ({type_})ctx[{word}];"
    return _memory(argument, text, type_, destination)


def _memory(argument: UsdtArgument, text: str, type_: str, destination: str) -> str:
    if (match := _X86_MEMORY.fullmatch(text)) is not None:
        offset, base, index, scale = match.groups()
    elif (match := _ARM_MEMORY.fullmatch(text)) is not None:
        (base, offset), index, scale = match.groups(), None, None
    else:
        raise _unknown(argument, "nobody here knows such an operand")
    if base == "rip":
        raise _unknown(argument, "it lies relative to the code, wherever that was loaded")
    address = f"ctx[{_word(argument, base)[0]}]"
    if index:
        address += f" + ctx[{_word(argument, index)[0]}] * {int(scale or 1)}"
    if offset:
        address += f" + {int(offset, 0) & (1 << 64) - 1}ULL"
    read = f"bpf_probe_read_user(&value, sizeof(value), (void *)({address}))"
    return f"{{ {type_} value = 0; {read}; {destination} = value; }}"


def _word(argument: UsdtArgument, name: str) -> tuple[int, int]:
    found = register_word(name)
    if found is None:
        raise _unknown(argument, f"there is no register {name}")
    return found


def _type(argument: UsdtArgument) -> str:
    if argument.floating:
        raise _unknown(argument, "a program in the kernel has no floating point registers")
    size = argument.size or 8
    if size not in (1, 2, 4, 8):
        raise _unknown(argument, f"it has {size} bytes")
    return f"{'s' if argument.signed else 'u'}{8 * size}"


def _unknown(argument: UsdtArgument, why: str) -> Refused:
    return Refused(f"the argument {argument.expression} cannot be read", why)
