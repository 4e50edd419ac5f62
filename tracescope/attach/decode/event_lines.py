"""An event as `tracescope attach` prints it: a line of text, or a line of JSON.

Thousands a second: what repeats is made once: the second of the time, names as JSON.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from tracescope.attach.decode.events import Event, errno_name, event_words
from tracescope.attach.record.values import Value
from tracescope.printable import printable

__all__ = ("COLUMNS", "json_line", "text_line")

COLUMNS = f"{'time':15} cpu {'pid':>7} {'tid':>7} {'ppid':>7} {'comm':15} probe, arguments"
"""What stands where in a `text_line`."""

_SECOND = 1_000_000_000
_encode = json.JSONEncoder(separators=(",", ":")).encode
_quoted = lru_cache(maxsize=4096)(encode_basestring_ascii)


def text_line(event: Event) -> str:
    """Time of day in this machine's zone, CPU, pid, tid, ppid, comm, probe, arguments; safe for a terminal."""
    second, rest = divmod(event.time_ns, _SECOND)
    ppid = "-" if event.ppid is None else event.ppid
    where = f"{_local(second)}.{rest // 1000:06} {event.cpu:3} {event.pid:7} {event.tid:7} {ppid:>7}"
    return printable(
        f"{where} {event.comm:15} {event.probe.removeprefix('tracepoint:')} {event_words(event)}".rstrip()
    )  # fmt: skip


def json_line(event: Event) -> str:
    """The text of `event_json`, ASCII only."""
    second, rest = divmod(event.time_ns, _SECOND)
    ppid = "" if event.ppid is None else f',"ppid":{event.ppid}'
    line = (
        f'{{"time":"{_utc(second)}.{rest // 1000:06}Z","cpu":{event.cpu},"probe":{_quoted(event.probe)},'
        f'"pid":{event.pid},"tid":{event.tid}{ppid},"comm":{_quoted(event.comm)},"args":{_object(event.args)}'
    )
    if event.ret is not None:
        name = errno_name(event.ret)
        line += f',"ret":{event.ret},"errno":"{name}"' if name else f',"ret":{event.ret}'
    if event.duration_ns is not None:
        line += f',"duration_ns":{event.duration_ns}'
    for name, value in (("kstack", event.kstack), ("ustack", event.ustack), ("words", event.words)):
        if value is not None:
            line += f',"{name}":{_encode(value)}'
    return line + "}"


def _object(args: dict[str, Value]) -> str:
    """Plain numbers and texts are most of what there is."""
    parts = []
    for name, value in args.items():
        # What is derived from them (an enumeration, a number in hexadecimal) is the encoder's.
        text = str(value) if type(value) is int else _encode(value)
        parts.append(f"{_quoted(name)}:{text}")
    return "{" + ",".join(parts) + "}"


@lru_cache(maxsize=64)
def _local(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


@lru_cache(maxsize=64)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
