"""The functions that a `print fmt` calls, by name; one that only the kernel has becomes `name(its arguments)`.

Source: include/trace/stages/stage3_trace_output.h; include/linux/jiffies.h; asm/byteorder.h.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tracescope.sources import print_arrays, print_tables
from tracescope.sources.c_tree import Name, Node
from tracescope.sources.c_types import LONG, ULONG, CType
from tracescope.sources.print_operand import Compiler, Known, Operand, Unknown, Values, constant, integer, size_of

__all__ = ("call",)

_U32 = CType(32, signed=False)
_SECOND = 1_000_000_000

_Function: TypeAlias = Callable[[Compiler, Sequence[Node]], "Operand | None"]


def call(compiler: Compiler, name: str, arguments: Sequence[Node]) -> Operand:
    """A call, compiled."""
    function = _FUNCTIONS.get(name)
    made = function(compiler, arguments) if function else None
    return made or _unknown_call(compiler, name, arguments)


def _unknown_call(compiler: Compiler, name: str, arguments: Sequence[Node]) -> Operand:
    compiler.note(f"{name}()")
    operands = [node.name if isinstance(node, Name) else compiler.quietly(node) for node in arguments]

    def run(values: Values) -> Known:
        raise Unknown(f"{name}({', '.join(_shown(operand, values) for operand in operands)})")

    return Operand(run, LONG, hole=True)


def _shown(operand: str | Operand, values: Values) -> str:
    if isinstance(operand, str):
        return operand
    try:
        value = operand.run(values)
    except (Unknown, KeyError):
        return "…"
    return str(value) if isinstance(value, int) else "…"


def _number(result: CType, change: Callable[[int], int]) -> _Function:
    """A function from a number to a number."""

    def make(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
        if not arguments:
            return None
        number = integer(compiler.operand(arguments[0]))
        return Operand(lambda values: result.wrap(change(number(values))), result)

    return make


def _same(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    return compiler.operand(arguments[0]) if arguments else None


def _zero(_compiler: Compiler, _arguments: Sequence[Node]) -> Operand:
    return constant(0, _U32)


def _sizeof(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    size = size_of(compiler, arguments[0]) if len(arguments) == 1 else None
    return None if size is None else constant(size, ULONG)


def _milliseconds(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`jiffies_to_msecs(jiffies)`, rounded up."""
    hz = compiler.lookups.hz
    return None if not hz else _number(_U32, lambda jiffies: -(-ULONG.wrap(jiffies) * 1000 // hz))(compiler, arguments)


def _bytes_in_order(bits: int, order: str) -> _Function:
    """A number of `order` as one of this machine, or back."""
    kind, size = CType(bits, signed=False), bits // 8
    if order == sys.byteorder:
        return _number(kind, int)
    return _number(kind, lambda value: int.from_bytes(kind.wrap(value).to_bytes(size, "little"), "big"))


_FUNCTIONS: dict[str, _Function] = {
    "__print_flags": print_tables.flags,
    "__print_flags_u64": print_tables.flags,
    "__print_symbolic": print_tables.symbolic,
    "__print_symbolic_u64": print_tables.symbolic,
    "__print_hex": print_arrays.hexadecimal(b" "),
    "__print_hex_str": print_arrays.hexadecimal(b""),
    "__print_array": print_arrays.array,
    "__print_dynamic_array": print_arrays.whole_array,
    "__print_hex_dump": print_arrays.dump,
    "__print_ns_to_secs": _number(ULONG, lambda value: ULONG.wrap(value) // _SECOND),
    "__print_ns_without_secs": _number(_U32, lambda value: ULONG.wrap(value) % _SECOND),
    "__builtin_expect": _same,
    "__builtin_constant_p": _zero,
    "sizeof": _sizeof,
    "jiffies_to_msecs": _milliseconds,
}
for _place in ("", "rel_"):
    _FUNCTIONS |= {
        f"__get_{_place}str": print_arrays.string,
        f"__get_{_place}dynamic_array": print_arrays.bytes_of,
        f"__get_{_place}dynamic_array_len": print_arrays.length,
        f"__get_{_place}bitmask": print_arrays.bitmask,
        f"__get_{_place}cpumask": print_arrays.bitmask,
        f"__get_{_place}sockaddr": print_arrays.bytes_of,
    }
for _bits, _letter in ((16, "s"), (32, "l")):
    _FUNCTIONS |= dict.fromkeys((f"ntoh{_letter}", f"hton{_letter}"), _bytes_in_order(_bits, "big"))
for _bits in (16, 32, 64):
    for _letter, _order in (("l", "little"), ("b", "big")):
        _names = (f"{_letter}e{_bits}_to_cpu", f"cpu_to_{_letter}e{_bits}")
        _FUNCTIONS |= dict.fromkeys((*_names, *(f"__{_name}" for _name in _names)), _bytes_in_order(_bits, _order))
# A page table entry, wrapped in a struct and unwrapped again.
for _level in ("pte", "pmd", "pud", "p4d", "pgd"):
    _FUNCTIONS |= {f"{_level}_val": _same, f"native_make_{_level}": _same, f"native_{_level}_val": _same}
