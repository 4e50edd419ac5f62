"""What to count by and what to measure: a user's expressions, and the words for the probe and its stacks. Pure.

`comm, args.fd, kstack`: each expression is a key; `probe` is always one; `stack` stands for both stacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracescope.attach.ask.asked import before, capture
from tracescope.attach.ask.scope import COMM
from tracescope.attach.ask.summary import ENTRIES, Key, KeyKind, Linear, Measure, Reading, Scale
from tracescope.attach.expression.c_text import compile_value
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.parse import parse, parse_list
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.syntax import Expression, Name
from tracescope.attach.expression.typed import Constant, Read, sign_of
from tracescope.attach.record.captures import Plain
from tracescope.attach.record.layout import CaptureKind
from tracescope.errors import UsageError

__all__ = ("TEXT_BYTES", "Counted", "parse_keys", "parse_linear")

TEXT_BYTES = 64
"""The most of a text that is a part of a key, with its NUL."""
_PROBE = "probe"
_STACKS = {"kstack": KeyKind.KERNEL_STACK, "ustack": KeyKind.USER_STACK}
_BOTH = "stack"


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted of each probe's events: by `keys`, and of which value, on which scale."""

    keys: tuple[Expression | KeyKind, ...] = ()
    value: Expression | None = None
    scale: Scale | None = None
    entries: int = ENTRIES

    @property
    def names(self) -> tuple[str, ...]:
        """The keys' titles."""
        return tuple(key.value if isinstance(key, KeyKind) else key.title for key in self.keys)

    def reading(self, scope: Scope, probe: int) -> Reading:
        """The same for the probe with this number; raises UsageError with the place of what is wrong."""
        keys = tuple(_key(key, scope, f"key_{probe}_{number}") for number, key in enumerate(self.keys))
        return Reading(keys, _measure(self.value, scope, f"value_{probe}") if self.value else None)


def parse_keys(text: str, stacks: Sequence[KeyKind] = ()) -> tuple[Expression | KeyKind, ...]:
    """The keys of a list with commas, each once, then the stacks that are not among them; raises UsageError."""
    found: dict[str, Expression | KeyKind] = {}
    for expression in parse_list(text) if text.strip() else ():
        word = expression.root.word if isinstance(expression.root, Name) else ""
        if word == _BOTH:
            found |= {kind.value: kind for kind in stacks or _STACKS.values()}
        elif word in _STACKS:
            found[word] = _STACKS[word]
        elif word != _PROBE:
            found.setdefault(expression.title, expression)
    return tuple((found | {kind.value: kind for kind in stacks}).values())


def parse_linear(text: str) -> tuple[Expression, Linear]:
    """The value and the scale of `VALUE:LOW:HIGH:STEP`; raises UsageError."""
    value, *bounds = text.rsplit(":", 3)
    if len(bounds) != 3:
        raise UsageError(f"{text!r} is no linear scale", "it takes VALUE:LOW:HIGH:STEP", "args.count:0:4K:256")
    low, high, step = (_constant(bound) for bound in bounds)
    return parse(value), Linear(low, high, step)


def _constant(text: str) -> int:
    typed = check_condition(parse(text), Scope())
    if not isinstance(typed, Constant):
        raise UsageError(f"{text!r} is no number", "a scale is made of constants", "write a number")
    return typed.value


def _key(key: Expression | KeyKind, scope: Scope, prefix: str) -> Key:
    if isinstance(key, KeyKind):
        return Key(key)
    typed = check_value(key, scope)
    if isinstance(typed, Read) and typed.located.base == COMM and not typed.located.steps:
        return Key(KeyKind.COMM)
    found = capture(key.title, typed, compile_value(typed, prefix))
    if found.kind is CaptureKind.TEXT:
        return Key(KeyKind.TEXT, found.code, min(found.size, TEXT_BYTES), found.user)
    return Key(KeyKind.NUMBER, found.code, show=found.decode)


def _measure(value: Expression, scope: Scope, prefix: str) -> Measure:
    typed = check_condition(value, scope)
    made = compile_value(typed, prefix)
    code = Plain(made.value, before(typed) + made.statements, made.failed, made.definitions)
    return Measure(code, signed=sign_of(typed) is True)
