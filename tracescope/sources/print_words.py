"""A tracepoint's event in the kernel's own words: its `print fmt`, compiled to a function of the record's values.

The words are those of the `trace` file with the option `hash-ptr` off: `%p` is the address in 16 digits, which the
kernel otherwise shows hashed. What only the kernel can say (`jiffies`, a function of its own, a string in its memory)
is shown as `?name`, and listed in `holes`.

Source: include/trace/stages/stage3_trace_output.h; lib/vsprintf.c. System calls and the events of the `ftrace` group
have a second, private form in `trace`; this is the one of their format, which trace-cmd shows too.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tracescope.errors import Damaged
from tracescope.model import EventFormat
from tracescope.printable import decode, encode
from tracescope.sources.c_expression import parse
from tracescope.sources.c_types import INT, LONG, ULONG
from tracescope.sources.print_expression import ExpressionCompiler
from tracescope.sources.print_fmt import split_print_fmt
from tracescope.sources.print_operand import (
    NOTHING_KNOWN,
    Lookups,
    Operand,
    Place,
    Unknown,
    Values,
    integer,
    memory,
)
from tracescope.sources.printf import Conversion, cut_format, number_writer, widen, write_number, write_string
from tracescope.sources.printf_pointer import memory_writer

__all__ = ("PrintWords", "compile_print_fmt")

_Piece = Callable[[Values], bytes]

_MAX_ERRNO = 4095


@dataclass(frozen=True, slots=True)
class PrintWords:
    """A compiled print fmt: call it with a record's values by field name."""

    pieces: tuple[_Piece, ...]
    holes: tuple[str, ...]
    """What this host cannot know: names, `function()`s, conversions; each shown as `?…` when it is reached."""

    def __call__(self, values: Values) -> str:
        """The text, as `decode` makes it: bytes that are not UTF-8 keep their value, nothing is made printable."""
        return decode(b"".join([piece(values) for piece in self.pieces]))


def compile_print_fmt(event: EventFormat, lookups: Lookups = NOTHING_KNOWN) -> PrintWords:
    """An event's print fmt as a function; Damaged when the format has none."""
    if not event.print_fmt.strip():
        raise Damaged(f"{event.probe} has no print fmt", "its format ends before that line")
    text, arguments = split_print_fmt(event.print_fmt)
    fields = {field.name: field for field in (*event.common, *event.fields)}
    compiler = ExpressionCompiler(fields, lookups)
    enumerator = lookups.enumerator

    def known(name: str) -> int | None:
        return None if enumerator is None or name in fields or name.startswith("REC->") else enumerator(name)

    waiting = iter(arguments)
    pieces: list[_Piece] = []
    for part in cut_format(text):
        if isinstance(part, bytes):
            pieces.append(_literal(part))
        else:
            pieces.append(_piece(compiler, part, [_operand(compiler, known, waiting) for _ in range(part.stars + 1)]))
    return PrintWords(tuple(pieces), tuple(compiler.holes))


def _literal(data: bytes) -> _Piece:
    return lambda _values: data


def _operand(compiler: ExpressionCompiler, known: Callable[[str], int | None], waiting: Iterator[str]) -> Operand:
    """The next argument, compiled."""
    text = next(waiting, None)
    if text is None:
        return compiler.unknown("missing argument")
    node = parse(text, known)
    return compiler.unknown(_short(text)) if node is None else compiler.operand(node)


def _short(text: str) -> str:
    """An argument that could not be read, as its first words."""
    words = " ".join(text.split())
    return words if len(words) <= 40 else f"{words[:39]}…"


def _piece(compiler: ExpressionCompiler, conversion: Conversion, operands: Sequence[Operand]) -> _Piece:
    """What a conversion writes; where that is not known, `?` and what is missing."""
    *before, value = operands
    write = _writer(compiler, conversion, value)
    stars = [integer(operand) for operand in before]

    def piece(values: Values) -> bytes:
        try:
            return write(values, conversion.sized([INT.wrap(star(values)) for star in stars]) if stars else conversion)
        except Unknown as unknown:
            return widen(conversion, b"?" + encode(str(unknown)))
        except KeyError as error:
            return widen(conversion, b"?" + encode(str(error.args[0])))

    return piece


_Writer = Callable[[Values, Conversion], bytes]


def _writer(compiler: ExpressionCompiler, conversion: Conversion, value: Operand) -> _Writer:
    if conversion.kind == "s":
        return _string(compiler, value)
    if conversion.kind == "p":
        return _pointer(compiler, conversion, value)
    number = integer(value)
    if conversion.kind == "c":
        return lambda values, sized: widen(sized, bytes((number(values) & 0xFF,)))
    if conversion.stars:
        return lambda values, sized: write_number(sized, sized.type.wrap(number(values)))
    write = number_writer(conversion)
    return lambda values, _sized: write(number(values))


def _string(compiler: ExpressionCompiler, value: Operand) -> _Writer:
    """`%s`: bytes that are known, or a constant string of the kernel."""
    run, lookup = value.run, compiler.lookups.string
    if value.type is not None and lookup is None and not value.hole:
        compiler.note("%s of an address")

    def write(values: Values, sized: Conversion) -> bytes:
        data = run(values)
        if isinstance(data, int):
            address = ULONG.wrap(data)
            text = "(null)" if not address else lookup(address) if lookup else None
            if text is None:
                raise Unknown(f"{address:#x}")
            data = encode(text)
        return write_string(sized, data)

    return write


def _pointer(compiler: ExpressionCompiler, conversion: Conversion, value: Operand) -> _Writer:
    extension = conversion.extension
    if extension[:1] in ("S", "s", "F", "f", "B"):
        number, lookup = integer(value), compiler.lookups.symbol or _no_symbol
        return lambda values, sized: widen(sized, _symbol(lookup, extension, ULONG.wrap(number(values))))
    if extension in ("", "x", "K"):
        return _address(value)
    if extension == "e":
        return _error(value)
    write_bytes = memory_writer(extension)
    if (write_bytes is None or value.type is not None) and not value.hole:
        compiler.note(conversion.text)
    data, run = memory(value), value.run

    def write(values: Values, sized: Conversion) -> bytes:
        if write_bytes is None:
            raise Unknown(conversion.text)
        if run(values) == 0:
            return widen(sized, b"(null)")
        text = write_bytes(sized, data(values))
        if text is None:
            raise Unknown(conversion.text)
        return text

    return write


def _no_symbol(_address: int) -> Place | None:
    return None


def _symbol(lookup: Callable[[int], Place | None], extension: str, address: int) -> bytes:
    """sprint_symbol(): `name+0x10/0x40 [module]`, without offset for `%ps`; the address where nothing is known."""
    # A return address may be the one behind the function's end.
    place = lookup(address - (extension[0] == "B"))
    if place is None:
        return b"0x%x" % address
    text = place.name
    if extension[0] not in "sf":
        text += f"+{place.offset + (extension[0] == 'B'):#x}/{place.size:#x}"
    return encode(f"{text} [{place.module}]" if place.module else text)


def _address(value: Operand) -> _Writer:
    """`%p`: 16 digits."""
    number = integer(value)

    def write(values: Values, sized: Conversion) -> bytes:
        digits = b"%x" % ULONG.wrap(number(values))
        return digits.rjust(16, b"0") if sized.width < 0 else widen(sized, digits)

    return write


def _error(value: Operand) -> _Writer:
    """`%pe`: the name of an error pointer, else an address."""
    number, address = integer(value), _address(value)

    def write(values: Values, sized: Conversion) -> bytes:
        name = errno.errorcode.get(-LONG.wrap(number(values)))
        return address(values, sized) if name is None else widen(sized, b"-" + name.encode())

    return write
