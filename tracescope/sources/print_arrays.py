"""What a `print fmt` does with strings and arrays: `__get_str`, `__print_array`, `__print_hex`, `__get_bitmask`.

Source: include/trace/stages/stage3_trace_output.h; kernel/trace/trace_output.c, trace_print_array_seq() and its
neighbours; lib/hexdump.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tracescope.printable import encode
from tracescope.sources.c_tree import Call, Field, Literal, Name, Node
from tracescope.sources.c_types import CHAR, CType, Number
from tracescope.sources.print_operand import (
    Compiler,
    Operand,
    Values,
    elements,
    field_operand,
    integer,
    memory,
    size_of,
)
from tracescope.sources.printf_pointer import bitmap

__all__ = ("array", "bitmask", "bytes_of", "dump", "hexadecimal", "length", "string", "whole_array")

_U32 = CType(32, signed=False)
_PREFIX_OFFSET = 2


def bytes_of(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__get_dynamic_array(name)`, `__get_sockaddr(name)`."""
    if len(arguments) != 1 or not isinstance(arguments[0], (Name, Field)):
        return None
    return field_operand(compiler, arguments[0].name)


def string(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__get_str(name)`."""
    operand = bytes_of(compiler, arguments)
    return operand and Operand(operand.run, element=CHAR)


def length(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__get_dynamic_array_len(name)`, in bytes."""
    operand = bytes_of(compiler, arguments)
    if operand is None:
        return None
    read = memory(operand)
    return Operand(lambda values: len(read(values)), _U32)


def bitmask(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__get_bitmask(name)`, `__get_cpumask(name)`."""
    operand = bytes_of(compiler, arguments)
    if operand is None:
        return None
    read = memory(operand)

    def run(values: Values) -> bytes:
        data = read(values)
        return bitmap(data, len(data) * 8)

    return Operand(run, element=CHAR)


def hexadecimal(separator: bytes) -> Callable[[Compiler, Sequence[Node]], Operand | None]:
    """`__print_hex(data, length)` with a space, `__print_hex_str(data, length)` with nothing between the bytes."""

    def make(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
        if len(arguments) != 2:
            return None
        data, count = memory(compiler.operand(arguments[0])), integer(compiler.operand(arguments[1]))

        def run(values: Values) -> bytes:
            return separator.join(b"%02x" % byte for byte in data(values)[: max(count(values), 0)])

        return Operand(run, element=CHAR)

    return make


def array(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__print_array(data, count, size)`: `{0x1,0x2}`."""
    size = _element_size(compiler, arguments[2:])
    if size is None:
        return None
    data, count = memory(compiler.operand(arguments[0])), integer(compiler.operand(arguments[1]))
    return Operand(lambda values: _in_braces(elements(data(values), size)[: max(count(values), 0)]), element=CHAR)


def whole_array(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__print_dynamic_array(name, size)`."""
    size, operand = _element_size(compiler, arguments[1:]), bytes_of(compiler, arguments[:1])
    if size is None or operand is None:
        return None
    data = memory(operand)
    return Operand(lambda values: _in_braces(elements(data(values), size)), element=CHAR)


def _element_size(compiler: Compiler, arguments: Sequence[Node]) -> int | None:
    """A number, or `sizeof(x[0])`; None for what no element has."""
    only = arguments[0] if len(arguments) == 1 else None
    if isinstance(only, Call) and only.name == "sizeof" and len(only.arguments) == 1:
        size = size_of(compiler, only.arguments[0])
    else:
        size = only.value if isinstance(only, Number) else None
    return size if size in (1, 2, 4, 8) else None


def _in_braces(numbers: Sequence[int]) -> bytes:
    return b"{" + b",".join(b"0x%x" % number for number in numbers) + b"}"


def dump(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """`__print_hex_dump(prefix, prefix type, row, group, data, length, ascii)`: a line feed, then the lines."""
    if len(arguments) != 7:
        return None
    prefix = arguments[0]
    if not isinstance(prefix, Literal):
        return None
    kind, row, group, count, ascii_too = (integer(compiler.operand(arguments[at])) for at in (1, 2, 3, 5, 6))
    data, start = memory(compiler.operand(arguments[4])), encode(prefix.text)

    def run(values: Values) -> bytes:
        taken, lines = data(values)[: max(count(values), 0)], b"\n"
        width = row(values) if row(values) in (16, 32) else 16
        for at in range(0, len(taken), width):
            offset = b"%08x: " % at if kind(values) == _PREFIX_OFFSET else b""
            line = _dump_line(taken[at : at + width], width, group(values), bool(ascii_too(values)))
            lines += start + offset + line + b"\n"
        return lines

    return Operand(run, element=CHAR)


def _dump_line(data: bytes, row: int, group: int, ascii_too: bool) -> bytes:
    """hex_dump_to_buffer()."""
    size = group if group in (1, 2, 4, 8) and len(data) % group == 0 else 1
    line = b" ".join(b"%0*x" % (2 * size, number) for number in elements(data, size))
    if not ascii_too:
        return line
    return line.ljust(row * 2 + row // size + 1) + bytes(_printed(data))


def _printed(data: bytes) -> Iterator[int]:
    return (byte if 0x20 <= byte < 0x7F else ord(".") for byte in data)
