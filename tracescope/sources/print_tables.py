"""`__print_flags(value, "|", { mask, "NAME" }, …)` and `__print_symbolic(value, { value, "NAME" }, …)`.

Source: kernel/trace/trace_output.c, trace_print_flags_seq() and trace_print_symbols_seq().
"""

from __future__ import annotations

from collections.abc import Sequence

from tracescope.printable import encode
from tracescope.sources.c_tree import Braces, Literal, Node, names_in
from tracescope.sources.c_types import CHAR, ULONG, Number
from tracescope.sources.print_operand import Compiler, Operand, Values, integer

__all__ = ("flags", "symbolic")


def flags(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """A set of flags; None for arguments of another form."""
    if len(arguments) < 2 or not isinstance(arguments[1], (Literal, Number)):
        return None
    table = _table(compiler, arguments[2:])
    if table is None:
        return None
    number = integer(compiler.operand(arguments[0]))
    delimiter = encode(arguments[1].text) if isinstance(arguments[1], Literal) else b""

    def run(values: Values) -> bytes:
        rest, found = ULONG.wrap(number(values)), []
        for mask, name in table:
            if not rest:
                break
            if rest & mask == mask:
                found.append(name)
                rest &= ~mask
        if rest:
            found.append(b"0x%x" % rest)
        return delimiter.join(found)

    return Operand(run, element=CHAR)


def symbolic(compiler: Compiler, arguments: Sequence[Node]) -> Operand | None:
    """One name for a value; None for arguments of another form."""
    table = _table(compiler, arguments[1:]) if arguments else None
    if table is None:
        return None
    number = integer(compiler.operand(arguments[0]))
    # The first entry of a value counts.
    names = dict(reversed(table))

    def run(values: Values) -> bytes:
        value = ULONG.wrap(number(values))
        name = names.get(value)
        return b"0x%x" % value if name is None else name

    return Operand(run, element=CHAR)


def _table(compiler: Compiler, entries: Sequence[Node]) -> list[tuple[int, bytes]] | None:
    """The entries up to one without a name or with NULL, their values as unsigned long; None when one has another form.

    An entry whose value is not known is left out, and noted.
    """
    table: list[tuple[int, bytes]] = []
    for entry in entries:
        if isinstance(entry, Braces) and len(entry.items) < 2:
            break
        if not isinstance(entry, Braces) or len(entry.items) != 2:
            return None
        value, name = entry.items
        if isinstance(name, Number) and name.value == 0:
            break
        if not isinstance(name, Literal):
            return None
        if isinstance(value, Number):
            table.append((ULONG.wrap(value.value), encode(name.text)))
        else:
            compiler.note(next(names_in(value), name.text))
    return table
