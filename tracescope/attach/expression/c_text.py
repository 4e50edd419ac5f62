"""Typed expressions → C for BCC: what the kernel decides is what `python_value` decides. Pure.

Every name in the text is made here or given by an operand; numbers are integers, texts of the user become integers.
A read that fails sets a flag of the expression: a condition that met one is false, a value that met one is void.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.attach.expression.arithmetic import BITS, WORD
from tracescope.attach.expression.c_match import Function, Functions
from tracescope.attach.expression.chain import Load, Located, Offset
from tracescope.attach.expression.typed import (
    Calculation,
    Change,
    Comparison,
    Constant,
    Junction,
    Match,
    Negation,
    Read,
    SameText,
    SameTexts,
    Typed,
    is_truth,
    sign_of,
    type_of,
)
from tracescope.attach.expression.types import Integer, Space, Text, Type

__all__ = ("CCondition", "CValue", "WriteOffset", "compile_condition", "compile_value", "copy_text", "numeric")

_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


WriteOffset: TypeAlias = Callable[[Offset], str]


def numeric(step: Offset) -> str:
    """The bytes of an offset as a number: those of the running kernel."""
    return f"{step.bytes}ULL"


@dataclass(frozen=True, slots=True)
class CCondition:
    """A condition in C. Put in once, before everything: `c_helpers.HELPERS`."""

    definitions: str
    """Functions: outside and above the probe's own."""
    statements: str
    """Declarations: in the probe's function, where the operands are known, before `value` is used."""
    value: str
    """Not 0 when the event passes. Use it once."""


@dataclass(frozen=True, slots=True)
class CValue:
    """A value in C; the parts are as in `CCondition`, and the statements compute it."""

    definitions: str
    statements: str
    value: str
    """The name of a u64 with the number or the address."""
    failed: str
    """Not 0 when the value could not be read."""
    type: Type
    """Of the number: how its 64 bits are to be read, and shown."""


def compile_condition(typed: Typed, prefix: str, offset: WriteOffset = numeric) -> CCondition:
    """The C of a condition; all names in it begin with `prefix`, a C identifier in lower case."""
    writer = _Writer(prefix, offset)
    condition = writer.truth(typed)
    if not writer.fails:
        return CCondition(writer.functions.text, "", condition)
    return CCondition(writer.functions.text, writer.declaration, f"({condition} && !{writer.failed})")


def compile_value(typed: Typed, prefix: str, offset: WriteOffset = numeric) -> CValue:
    """The C of a value: a number, an address, or the address of a text; all names in it begin with `prefix`."""
    writer = _Writer(prefix, offset)
    type_ = type_of(typed)
    name, value = f"{prefix}_value", writer.value(typed)
    statements = f"{writer.declaration if writer.fails else ''}    u64 {name} = {value};\n"
    return CValue(writer.functions.text, statements, name, writer.failed if writer.fails else "0", type_)


def copy_text(value: CValue, target: str, size: int) -> str:
    """A C expression: the bytes copied to `target` with the NUL, at most `size`; below 0 when they cannot be read.

    `target` has `size` bytes, and those behind the NUL stay as they are: for a key, set it to zero before.
    """
    if not isinstance(value.type, Text):
        raise TypeError("only text is copied")
    space = "user" if value.type.space is Space.USER else "kernel"
    most = size if value.type.size is None else min(size, value.type.size + 1)
    return f"bpf_probe_read_{space}_str({target}, {most}, (void *)({value.value}))"


class _Writer:
    """The C of one expression."""

    def __init__(self, prefix: str, offset: WriteOffset) -> None:
        self._offset = offset
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"no prefix for C names: {prefix!r}")
        self.failed = f"{prefix}_failed"
        self.fails = False
        """True when something that was written can fail."""
        self.functions = Functions(prefix)

    @property
    def declaration(self) -> str:
        """The flag of what failed."""
        return f"    u32 {self.failed} = 0;\n"

    def _flag(self) -> str:
        self.fails = True
        return f"&{self.failed}"

    def truth(self, node: Typed) -> str:
        """A C expression that is not 0 when the condition holds."""
        match node:
            case Negation(operand):
                return f"(!{self.truth(operand)})"
            case Junction(sign, parts):
                return f"({f' {sign} '.join(self.truth(part) for part in parts)})"
            case Comparison():
                return self._comparison(node)
            case SameText(text, data):
                return self._call(self.functions.same(text, data), text)
            case Match(text, prefix, suffix):
                calls = [self._call(function, text) for function in self.functions.match(text, prefix, suffix)]
                return f"({' && '.join(calls)})" if len(calls) > 1 else calls[0]
            case SameTexts(left, right):
                return self._call(self.functions.same_texts(left, right), left, right)
        return f"({self.value(node)} != 0)"

    def _call(self, function: Function, *texts: Located) -> str:
        if function.loads:
            return f"{function.name}({', '.join(map(_pointer, texts))})"
        return f"{function.name}({', '.join(map(self.address, texts))}, {self._flag()})"

    def value(self, node: Typed) -> str:
        """A C expression of type u64, in parentheses where it needs them."""
        match node:
            case Constant(value):
                return _number(value)
            case Read(located):
                return self._read(located)
            case Change(sign, operand):
                return f"({sign}{self.value(operand)})"
            case Calculation():
                return self._calculation(node)
        return f"(u64){self.truth(node)}" if is_truth(node) else "0"

    def address(self, located: Located) -> str:
        """What the steps give: the value of a number or pointer, the address of anything else."""
        text = f"ts_address((void *){located.base})" if located.own else f"(u64)({located.base})"
        for step in located.steps:
            match step:
                case Offset(number):
                    text = f"({text} + {self._offset(step)})" if number else text
                case Load(space, size):
                    text = f"ts_{space.value}_u{8 * size}({text}, {self._flag()})"
        return text

    def _read(self, located: Located) -> str:
        text, type_ = self.address(located), located.type
        if not isinstance(type_, Integer):
            return text
        if type_.bits:
            return _cut_bits(text, type_, located.shift)
        cast = "" if type_.width == BITS else f"(s64)(s{type_.width})" if type_.signed else f"(u{type_.width})"
        return f"(u64){cast}{text.removeprefix('(u64)')}"

    def _calculation(self, node: Calculation) -> str:
        left, right, sign = self.value(node.left), self.value(node.right), node.sign
        signs = _signed(sign_of(node.left)), _signed(sign_of(node.right))
        if sign in ("/", "%"):
            function = "ts_divide" if sign == "/" else "ts_remainder"
            return f"{function}({left}, {signs[0]}, {right}, {signs[1]})"
        if sign == "<<":
            return f"ts_shift_left({left}, {right})"
        if sign == ">>":
            return f"ts_shift_right({left}, {signs[0]}, {right})"
        return f"({left} {sign} {right})"

    def _comparison(self, node: Comparison) -> str:
        signs = sign_of(node.left), sign_of(node.right)
        left, right = self.value(node.left), self.value(node.right)
        if True in signs and False in signs:
            return f"(ts_compare({left}, {_signed(signs[0])}, {right}, {_signed(signs[1])}) {node.sign} 0)"
        cast = "(s64)" if True in signs and node.sign not in ("==", "!=") else ""
        return f"({cast}{left} {node.sign} {cast}{right})"


def _pointer(text: Located) -> str:
    """Where a text in the program's own memory is, to load from there."""
    offset = sum(step.bytes for step in text.steps if isinstance(step, Offset))
    return f"(char *)({text.base}) + {offset}" if offset else f"(char *)({text.base})"


def _signed(sign: bool | None) -> int:
    return int(sign is True)


def _number(value: int) -> str:
    """A number as 64 bits."""
    if -(1 << 31) < value < 0:
        return f"(u64)({value}LL)"
    return f"{value}ULL" if 0 <= value < 1 << 31 else f"{value & WORD:#x}ULL"


def _cut_bits(text: str, type_: Integer, shift: int) -> str:
    """A bitfield out of what was loaded, with its sign."""
    up, down = BITS - type_.bits - shift, BITS - type_.bits
    if type_.signed:
        return f"(u64)((s64)({text} << {up}) >> {down})"
    return f"(({text} << {up}) >> {down})"
