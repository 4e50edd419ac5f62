"""What the user asks of a probe's events: a condition that they meet, values that are read in addition. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracescope.attach.ask.scope import COMM
from tracescope.attach.expression.c_text import CValue, compile_condition, compile_value
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.parse import parse, parse_list
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import Typed, reads
from tracescope.attach.expression.types import Integer, Space, Text
from tracescope.attach.record.captures import Plain
from tracescope.attach.record.layout import Capture, CaptureKind, Code
from tracescope.attach.record.values import Hex, Value

__all__ = ("NOTHING", "Asked", "before", "capture", "condition", "shown")

_TEXT_BYTES = 1024
_COMM = "    u64 ts_comm[2] = {};\n    bpf_get_current_comm(ts_comm, sizeof(ts_comm));\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """The texts, as a user gives them."""

    where: str = ""
    show: tuple[str, ...] = ()


NOTHING = Asked()


def condition(text: str, scope: Scope, probe: int) -> Code | None:
    """What must be true of an event of the probe with this number; None without a text.

    Raises UsageError with the place.
    """
    if not text.strip():
        return None
    typed = check_condition(parse(text), scope)
    made = compile_condition(typed, f"where_{probe}")
    return Plain(made.value, before(typed) + made.statements, definitions=made.definitions)


def shown(texts: Sequence[str], scope: Scope, probe: int) -> tuple[Capture, ...]:
    """The values of a list of expressions at the probe with this number, each under its own text.

    Raises UsageError with the place.
    """
    captures: list[Capture] = []
    for expression in (one for text in texts for one in parse_list(text)):
        typed = check_value(expression, scope)
        made = compile_value(typed, f"show_{probe}_{len(captures)}")
        captures.append(capture(expression.title, typed, made))
    return tuple(captures)


def capture(name: str, typed: Typed, made: CValue) -> Capture:
    """A value of the user's, to be read under a name."""
    code = Plain(made.value, before(typed) + made.statements, made.failed, made.definitions)
    if isinstance(made.type, Text):
        size = _TEXT_BYTES if made.type.size is None else min(_TEXT_BYTES, made.type.size + 1)
        return Capture(name, CaptureKind.TEXT, code, size, user=made.type.space is Space.USER)
    if isinstance(made.type, Integer):
        return Capture(name, CaptureKind.NUMBER, code, decode=_integer(made.type))
    return Capture(name, CaptureKind.NUMBER, code, decode=lambda number: f"{number & (1 << 64) - 1:#x}")


def before(typed: Typed) -> str:
    """The statements that a builtin needs, before those of the expression."""
    return _COMM if any(located.base == COMM for located in reads(typed)) else ""


def _integer(type_: Integer) -> Callable[[int], Value]:
    """A number of 64 bits in its own width and sign, by its name where it has one."""
    mask, sign = (1 << type_.width) - 1, 1 << (type_.width - 1)
    names = {value & mask: name for name, value in reversed(tuple(type_.names.items()))}

    def shown(number: int) -> Value:
        number &= mask
        if names:
            return names.get(number) or Hex(number)
        return number - (1 << type_.width) if type_.signed and number & sign else number

    return shown
