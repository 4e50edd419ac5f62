r"""bpftrace's JSON lines as records of our own: numbers back into their places, texts behind them. Pure.

bpftrace writes one object a line. Its JSON is not always that: 0.17 writes the byte 0xff as `\uffffffff`, later
ones as it is.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tracescope.attach.borrowed.bpftrace_refused import Refusals
from tracescope.attach.borrowed.bpftrace_script import Reads, reads_of
from tracescope.attach.borrowed.records import ExecText, Head, pack
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.record.values import Value
from tracescope.attach.targets.target import Shape
from tracescope.printable import encode

__all__ = ("Lines", "lost_in", "marked", "output_of", "unescape")

_LINE = re.compile(rb'\s*\{\s*"type"\s*:\s*"(\w+)"\s*,\s*"data"\s*:\s*(.*)\}\s*', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u(f{6}[0-9a-f]{2}|[0-9a-fA-F]{4})|(.))", re.DOTALL)
_SHORT = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
# `Lost 5 events` in text; in JSON {"events": 5}, and later versions count by kind.
_LOST = re.compile(rb"\b[Ll]ost[ _](\d{1,18}) (?:\w+ )?events?\b")
_COUNT = re.compile(rb'"(?:events|count|lost)"\s*:\s*(\d{1,18})')
ValueT = TypeVar("ValueT")
_FIRST = 8
_MOST = 16384


def unescape(data: bytes) -> bytes:
    r"""The bytes of a JSON text as bpftrace writes it, without its quotes."""

    def plain(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            return _SHORT.get(match[2], match[2])
        code = int(match[1][-2:], 16) if len(match[1]) == 8 else int(match[1], 16)
        return bytes((code,)) if code < 0x100 else chr(code).encode("utf-8", "surrogatepass")

    return _ESCAPE.sub(plain, data)


def output_of(line: bytes) -> tuple[str, bytes]:
    """Type and data of an output line; ("", b"") for what is none. A text comes without quotes and escapes."""
    match = _LINE.fullmatch(line)
    if match is None:
        return "", b""
    data = match[2].strip()
    if data.startswith(b'"') and data.endswith(b'"') and len(data) > 1:
        data = unescape(data[1:-1])
    return match[1].decode("ascii"), data


def lost_in(line: bytes) -> int:
    """How many events a line of output or of standard error says were lost; 0 for any other line."""
    kind, data = output_of(line)
    if kind:
        found = _COUNT.search(data) if kind in ("lost_events", "missed_events") else None
        return int(found[1]) if found else 0
    found = _LOST.search(line)
    return int(found[1]) if found else 0


def marked(args: Mapping[str, Value], texts: Collection[str], longest: int) -> dict[str, Value]:
    """The same values; behind each of these texts that bpftrace has cut there is the mark that says so."""
    found: dict[str, Value] = {}
    for name, value in args.items():
        found[name] = value
        if name in texts and isinstance(value, str) and len(encode(value)) >= longest:
            found[f"{name}_truncated"] = True
    return found


@dataclass(slots=True)
class _Open:
    head: Head
    raw: bytes
    texts: dict[int, bytes] = field(default_factory=dict)
    argv: list[bytes] = field(default_factory=list)
    more: bool = False


class Lines:
    """Puts the lines of one session together; `longest` is the size at which bpftrace cuts a text."""

    def __init__(self, plan: Plan, longest: int, suspended_ns: int = 0, refused: Refusals | None = None) -> None:
        self._probes = plan.probes
        self._reads = [reads_of(probe, (refused or {}).get(probe.index, ())) for probe in plan.probes]
        self._longest = longest
        self._suspended = suspended_ns
        self._open: dict[tuple[int, int], _Open] = {}
        self._begun: dict[tuple[int, int], _Open] = {}
        self._ended: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.broken = 0
        """Lines that fit nowhere: a part of their event was lost."""

    def records(self, data: bytes) -> Iterator[bytes]:
        """The records that are complete with the data of one `printf`."""
        kind, _, rest = data.removesuffix(b"\n").partition(b" ")
        if kind not in (b"R", b"T", b"A", b"M", b"E", b"P"):
            return
        try:
            yield from self._line(kind, rest)
        except (ValueError, IndexError, KeyError, struct.error):
            self.broken += 1

    def _line(self, kind: bytes, rest: bytes) -> Iterator[bytes]:
        words = rest.split(b" ", 3)
        key = int(words[0]), int(words[1])
        probe, reads = self._probes[key[0]], self._reads[key[0]]
        match kind:
            case b"R":
                event = self._event(key[1], probe, reads, rest)
                if reads.texts or probe.shape is Shape.EXEC:
                    _keep(self._open, key, event)
                else:
                    yield from self._done(key, event)
            case b"T":
                self._open[key].texts[int(words[2])] = words[3]
            case b"A":
                argv = self._open[key].argv
                if len(argv) != int(words[2]):
                    del self._open[key]
                    raise ValueError
                argv.append(words[3])
            case b"M":
                self._open[key].more = True
            case b"E":
                yield from self._done(key, self._open.pop(key))
            case _:
                cpu, time_ns, ret = (int(word) for word in rest.split(b" ")[2:5])
                _keep(self._ended, key, (cpu, time_ns - self._suspended, ret))
                yield from self._paired(key)

    def _event(self, tid: int, probe: PlannedProbe, reads: Reads, rest: bytes) -> _Open:
        words = rest.split(b" ", 6 + len(reads.numbers))
        cpu, pid, ppid, time_ns = (int(word) for word in words[2:6])
        comm = words[6 + len(reads.numbers)]
        head = Head(time_ns - self._suspended, cpu, pid, tid, None if ppid < 0 else ppid, comm)
        raw = bytearray(8 * probe.words)
        for (one, index), word in zip(reads.numbers, words[6:], strict=False):
            size = one.size if index < 0 else one.size // int(one.array or 1)
            at = one.offset - _FIRST + max(index, 0) * size
            raw[at : at + size] = (int(word) & (1 << 8 * size) - 1).to_bytes(size, sys.byteorder)
        return _Open(head, bytes(raw))

    def _done(self, key: tuple[int, int], event: _Open) -> Iterator[bytes]:
        if self._probes[key[0]].end is None:
            yield self._record(key[0], event)
            return
        _keep(self._begun, key, event)
        yield from self._paired(key)

    def _paired(self, key: tuple[int, int]) -> Iterator[bytes]:
        """Both ends come from the CPU where each was, in any order."""
        begun, ended = self._begun.get(key), self._ended.get(key)
        if begun is None or ended is None:
            return
        cpu, time_ns, ret = ended
        if time_ns < begun.head.time_ns:
            # That was the end of a call before this one.
            del self._ended[key]
            return
        del self._begun[key], self._ended[key]
        head = Head(time_ns, cpu, begun.head.pid, begun.head.tid, begun.head.ppid, begun.head.comm)
        result = ret, time_ns - begun.head.time_ns
        yield self._record(key[0], _Open(head, begun.raw, begun.texts), result)

    def _record(self, number: int, event: _Open, result: tuple[int, int] | None = None) -> bytes:
        probe, reads = self._probes[number], self._reads[number]
        found = {one.name: event.texts.get(at) for at, one in enumerate(reads.texts)}
        raw, dynamic = bytearray(event.raw), []
        for layout in probe.fields:
            one = layout.field
            at, text = one.offset - _FIRST, found.get(one.name) or b""
            if one.location:
                cut = len(text) >= self._longest
                data = text.ljust(probe.cap, b"\0") if cut else text + b"\0"
                # Where the bytes were nobody asks; how many there are stands in the upper half.
                raw[at : at + 4] = struct.pack("=HH", 0, probe.cap + 1 if cut else len(data))
                dynamic.append(data if one.name in found else None)
            elif one.array is not None and one.name in found:
                raw[at : at + one.size] = text[: one.size].ljust(one.size, b"\0")
        # An empty text is one that could not be read, as often as not.
        read = {name: data for name, data in found.items() if data}
        return pack(
            probe, event.head, bytes(raw), dynamic=dynamic, result=result, texts=read,
            exec_text=self._exec(event, found.get("filename")) if probe.shape is Shape.EXEC else None,
        )  # fmt: skip

    def _exec(self, event: _Open, filename: bytes | None) -> ExecText:
        whole = filename if filename and len(filename) < self._longest else None
        cut = event.more or any(len(word) >= self._longest for word in event.argv)
        return ExecText(whole, tuple(word or None for word in event.argv), cut)

    def absent(self, number: int) -> frozenset[str]:
        """The fields of a probe that bpftrace cannot give."""
        return self._reads[number].absent


def _keep(table: dict[tuple[int, int], ValueT], key: tuple[int, int], value: ValueT) -> None:
    """Bounded: what never comes to its end goes, the oldest first."""
    table[key] = value
    if len(table) > _MOST:
        del table[next(iter(table))]
