"""From the objects of `exec --json` back to events. Pure.

A recording holds millions of objects and few shapes: combinations of keys. For each a function is made, as dataclasses
makes `__init__`, that takes the values apart, checks their types and fills the event in. What it does not take goes the
long way, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TypeAlias

from tracescope.errors import Damaged
from tracescope.processes.events import KINDS, ProcessEvent, keys_of, time_of

__all__ = ("event_from_json", "events_from_json")

_Quick: TypeAlias = Callable[[Mapping[str, object]], ProcessEvent | None]

_TOO_LONG = 1 << 63
_DURATIONS = ("lifetime_ns", "cpu_ns")
_MAX_SHAPES = 100
# What json.loads() gives for each annotation.
_TYPES = {"int": int, "int | None": int, "str": str, "str | None": str, "bool | None": bool}


def _types_of(kind: type[ProcessEvent]) -> dict[str, type]:
    return {field.name: _TYPES.get(str(field.type), list) for field in fields(kind)}


def _nothing(_: Mapping[str, object]) -> None:
    """Takes no object."""


def _quick(kind: type[ProcessEvent], shape: tuple[str, ...]) -> _Quick:
    """A function for the objects with just these keys in this order; it returns None for what it does not take."""
    known = {*keys_of(kind), "time"}
    if not {"time", "pid"}.issubset(shape):
        return _nothing
    # The names in the text are those of the fields: other keys come from a file and are not in it.
    names = [key if key in known else "_" for key in shape]
    given = [key for key in keys_of(kind) if key in shape]
    types = _types_of(kind) | {"time": str}
    checks = [f"type({key}) is not {types[key].__name__}" for key in ("time", *given)]
    checks += [f"not 0 <= {key} < {_TOO_LONG}" for key in _DURATIONS if key in given]
    lines = [f"{', '.join(names)}, = data.values()", f"if {' or '.join(checks)}: return None"]
    if "argv" in given:
        # Rare: an argument that is no text.
        lines += ["try: join(argv)", "except TypeError: return None", "argv = tuple(argv)"]
    lines += ["try: time_ns = time_of(time)", "except (ValueError, OverflowError): return None", "event = new(kind)"]
    lines += [f"event.{key} = {key if key in ('time_ns', *given) else None}" for key in ("time_ns", *keys_of(kind))]
    space: dict[str, _Quick] = {}
    scope = {"kind": kind, "new": object.__new__, "time_of": time_of, "join": "".join}
    exec("def quick(data):\n " + "\n ".join([*lines, "return event"]), scope, space)
    return space["quick"]


class _Reader:
    """Makes the events of one kind from their objects."""

    def __init__(self, kind: type[ProcessEvent]) -> None:
        self._kind = kind
        self._keys = keys_of(kind)
        self._types = [_types_of(kind)[key] for key in self._keys]
        self._argv = self._keys.index("argv") if "argv" in self._keys else None
        self._durations = [self._keys.index(key) for key in _DURATIONS if key in self._keys]
        self.shapes: dict[tuple[str, ...], _Quick] = {}
        """What reads the objects with these keys."""

    def read(self, data: Mapping[str, object]) -> ProcessEvent:
        """The event in an object; Damaged when a value is missing or of another type."""
        shape = tuple(data)
        quick = self.shapes.get(shape)
        if quick is None:
            quick = _quick(self._kind, shape) if len(self.shapes) < _MAX_SHAPES else _nothing
            if quick is not _nothing:
                self.shapes[shape] = quick
        return quick(data) or self._read(data)

    def _read(self, data: Mapping[str, object]) -> ProcessEvent:
        values = list(map(data.get, self._keys))
        self._check(values)
        if self._argv is not None and values[self._argv] is not None:
            values[self._argv] = self._arguments(values[self._argv])
        for index in self._durations:
            if values[index] is not None and not 0 <= values[index] < _TOO_LONG:  # type: ignore[operator]
                raise self._damaged(f"`{self._keys[index]}` is no duration")
        try:
            moment = time_of(data["time"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(f"its time: {error}") from None
        return self._kind(moment, *values)  # type: ignore[arg-type]

    def _check(self, values: list[object]) -> None:
        for key, value, wanted in zip(self._keys, values, self._types, strict=True):
            if type(value) is not wanted and (value is not None or key == "pid"):
                raise self._damaged(f"`{key}` is {value!r:.40}")

    def _arguments(self, argv: object) -> tuple[str | None, ...]:
        words: tuple[str | None, ...] = tuple(argv)  # type: ignore[arg-type]
        try:
            "".join(words)  # type: ignore[arg-type]
        except TypeError:
            # Rare: an argument that could not be read is None.
            if not {str, type(None)}.issuperset(map(type, words)):
                raise self._damaged("an argument is no text") from None
        return words

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"this is no {self._kind.name} event", why)


_READERS = {name: _Reader(kind) for name, kind in KINDS.items()}
_QUICK = {name: reader.shapes for name, reader in _READERS.items()}


def event_from_json(data: Mapping[str, object]) -> ProcessEvent:
    """The event in an object of `exec --json`; keys of a later schema are left out, Damaged if it is no such object."""
    try:
        reader = _READERS[data["event"]]
    except (KeyError, TypeError):
        raise Damaged("this is no event of a process", f"its `event` is {data.get('event')!r:.40}") from None
    return reader.read(data)


def events_from_json(rows: Iterable[Mapping[str, object]]) -> tuple[list[ProcessEvent], int]:
    """The events in such objects, and how many of the objects are none."""
    events: list[ProcessEvent] = []
    damaged = 0
    for data in rows:
        try:
            event = _QUICK[data["event"]][tuple(data)](data)
        except (KeyError, TypeError):
            event = None
        try:
            events.append(event or event_from_json(data))
        except Damaged:
            damaged += 1
    return events, damaged
