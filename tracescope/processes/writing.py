"""Events as the text of their objects: what `exec --json` prints and a recording holds. Pure.

The same as the JSON of `to_json()`, ASCII only. Thousands a second: for each kind a function is made, as dataclasses
makes `__init__`, that puts the text together without the object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from json.encoder import encode_basestring_ascii
from typing import TypeAlias

from tracescope.processes.events import KINDS, ProcessEvent, keys_of, rfc3339

__all__ = ("event_json_line",)

_Writer: TypeAlias = Callable[[ProcessEvent], str]

# How the value of each annotation is written.
_TEXTS = {
    "int": "{value}",
    "int | None": "{value}",
    "str | None": "{quoted(value)}",
    "bool | None": "{'true' if value else 'false'}",
    "tuple[str | None, ...] | None": "[{','.join(['null' if word is None else quoted(word) for word in value])}]",
}


def _writer(kind: type[ProcessEvent]) -> _Writer:
    annotations = {field.name: str(field.type) for field in fields(kind)}
    lines = [f"""text = f'{{{{"event":"{kind.name}","time":"{{rfc3339(event.time_ns)}}"'"""]
    for key in keys_of(kind):
        # The quotes inside of the expression are not those around it: before Python 3.12 they must differ.
        value = f'''f""","{key}":{_TEXTS[annotations[key]]}"""'''
        lines += [f"value = event.{key}", f"if value is not None: text += {value}"]
    space: dict[str, _Writer] = {}
    scope = {"rfc3339": rfc3339, "quoted": encode_basestring_ascii}
    exec("def write(event):\n " + "\n ".join([*lines, "return text + '}'"]), scope, space)
    return space["write"]


_WRITERS: dict[type, _Writer] = {kind: _writer(kind) for kind in KINDS.values()}


def event_json_line(event: ProcessEvent) -> str:
    """The object of one event on one line, without its end."""
    return _WRITERS[type(event)](event)
