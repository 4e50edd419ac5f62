"""What of a condition the kernel's own event filters can say, so that fewer records are written. Pure.

Source: Documentation/trace/events.rst, "Event filtering". A filter never holds back what is wanted: each record
that passes is looked at again, so parts that the kernel cannot say are left out.
"""

from __future__ import annotations

import re

from tracescope.attach.expression.typed import Comparison, Constant, Junction, Read, Typed
from tracescope.attach.expression.types import Integer
from tracescope.attach.plan import Filters
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.targets.target import Shape

__all__ = ("kernel_filter",)

_SIGNS = ("==", "!=", "<", "<=", ">", ">=")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMM = re.compile(r"[\w./:+@-]+", re.ASCII)


def kernel_filter(condition: Typed | None, probe: PlannedProbe, filters: Filters) -> str:
    """The filter for one event; empty when the kernel can say nothing of it."""
    parts = []
    if filters.comm and all(_COMM.fullmatch(name) for name in filters.comm):
        names = " || ".join(f'COMM == "{name}"' for name in filters.comm)
        parts.append(f"({names})")
    # The end of a pair is another event, with other fields.
    if condition is not None and probe.end is None and (said := _said(condition, probe)):
        parts.append(said)
    return " && ".join(parts)


def _said(node: Typed, probe: PlannedProbe) -> str:
    match node:
        case Comparison(sign, Read() as left, Constant(value)):
            return _comparison(left, sign, value, probe)
        case Comparison(sign, Constant(value), Read() as right):
            return _comparison(right, _MIRRORED.get(sign, sign), value, probe)
        case Junction("&&", parts):
            return _joined("&&", [said for part in parts if (said := _said(part, probe))])
        case Junction(_, parts):
            found = [_said(part, probe) for part in parts]
            return _joined("||", found) if all(found) else ""
    return ""


def _joined(sign: str, parts: list[str]) -> str:
    return f"({f' {sign} '.join(parts)})" if len(parts) > 1 else "".join(parts)


def _comparison(read: Read, sign: str, value: int, probe: PlannedProbe) -> str:
    """Only of a whole field in its own type: there both mean the same."""
    name = read.located.name.removeprefix("args.")
    field = next((layout.field for layout in probe.fields if layout.field.name == name), None)
    type_ = read.located.type
    if field is None or sign not in _SIGNS or not isinstance(type_, Integer) or type_.bits:
        return ""
    # Of a function's event only whole words have the type that the condition gives them.
    word = probe.shape in (Shape.REGISTERS, Shape.RESULT) and field.size == 8
    if not (probe.shape is Shape.RECORD or word) or field.location or field.array is not None or "comm" in name.lower():
        return ""
    if (type_.size, type_.signed) != (field.size, field.signed) or field.size not in (1, 2, 4, 8):
        return ""
    low = -(1 << 8 * field.size - 1) if field.signed else 0
    high = (1 << 8 * field.size - field.signed) - 1
    return f"{name} {sign} {value}" if low <= value <= min(high, (1 << 63) - 1) else ""
