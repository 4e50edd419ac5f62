"""What is counted by, as members of a struct. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tracescope.attach.ask.keys import parse_keys
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.expression.c_text import compile_value
from tracescope.attach.expression.check import check_value
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import sign_of
from tracescope.attach.expression.types import Pointer, Text
from tracescope.export.c.carried import Column, Form, fresh
from tracescope.export.tracer import Tracer

__all__ = ("KEY_TEXT", "Key", "keys_of")

KEY_TEXT = 64


@dataclass(frozen=True, slots=True)
class Key:
    """One part of what is counted by."""

    title: str
    column: Column
    kind: KeyKind


def keys_of(tracer: Tracer, scope: Scope) -> list[Key]:
    """What is counted by, at a probe with this scope; raises UsageError."""
    keys: list[Key] = []
    for number, key in enumerate(parse_keys(tracer.count_by)):
        if isinstance(key, KeyKind):
            keys.append(Key(key.value, Column(key.value, key.value, Form.SIGNED, 8), key))
            continue
        typed = check_value(key, scope)
        name = fresh(key.title.replace("args.", ""), (one.column.name for one in keys))
        name = name if len(name) < 40 else f"key_{number}"
        made = compile_value(typed, "key")
        if isinstance(made.type, Text):
            keys.append(Key(key.title, Column(name, key.title, Form.TEXT, KEY_TEXT), KeyKind.TEXT))
        else:
            form = Form.ADDRESS if isinstance(made.type, Pointer) else Form.SIGNED if sign_of(typed) else Form.UNSIGNED
            keys.append(Key(key.title, Column(name, key.title, form, 8), KeyKind.NUMBER))
    return keys
