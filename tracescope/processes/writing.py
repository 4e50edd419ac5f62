"""Events as the text of their objects: what `exec --json` prints and a recording holds. Pure."""

from __future__ import annotations

import json

from msgspec.json import Encoder

from tracescope.processes.events import ProcessEvent, rfc3339

__all__ = ("event_json_line",)

_encode = Encoder().encode
_encode_any = json.JSONEncoder(separators=(",", ":")).encode


def event_json_line(event: ProcessEvent) -> str:
    """The object of one event on one line, without its end: the JSON of `to_json()`, ASCII only."""
    try:
        data = _encode(event)
    except UnicodeEncodeError:
        # Bytes that are no text, kept by surrogateescape.
        return _encode_any(event.to_json())
    if not data.isascii():
        return _encode_any(event.to_json())
    # The time stands in it as a number.
    begin = data.index(b',"time":') + 8
    return f'{data[:begin].decode()}"{rfc3339(event.time_ns)}"{data[data.index(b",", begin) :].decode()}'
