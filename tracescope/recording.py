"""A session's events in one file, readable up to the last second when the writer is killed.

Plain JSON Lines: `{"tracescope": header}`, then the events as `--json` prints them, and now and then
`{"counts": {"events", "lost"}}`, at the end with `"final": true`. No compression: a cut or a damaged byte then costs
one line, not a block, and head, grep and jq read the file while it grows. A kill loses nothing that was handed to the
kernel; a power cut may.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from tracescope import __version__
from tracescope.errors import Damaged, Refused, TraceScopeError, from_oserror
from tracescope.host import Host

__all__ = ("Header", "Recorder", "Recording", "host_facts", "open_recording")

EventT = TypeVar("EventT")

_Object: TypeAlias = dict[str, Any]

SCHEMA = 1
KINDS = ("attach", "exec")
# Half of the second that may be lost: the rest is for what is still on its way here.
_FLUSH_SECONDS = 0.5
_FLUSH_BYTES = 1 << 20
# Small: rows that live long are work for the garbage collector.
_READ_BYTES = 1 << 14
_MAX_LINE = 1 << 20
_BEGIN = b'{"tracescope":'
_OBJECTS = {dict}
# Made once: dumps() with separators makes one for each row.
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording says of itself."""

    kind: str
    """Whose events they are: `attach` or `exec`."""
    time: str
    version: str = __version__
    host: Mapping[str, object] = field(default_factory=dict)
    session: Mapping[str, object] = field(default_factory=dict)

    @property
    def ncpus(self) -> int | None:
        """How many CPUs the host had, if it is known."""
        count = self.host.get("ncpus")
        return count if type(count) is int and 0 < count < 1 << 20 else None


def host_facts(host: Host) -> dict[str, object]:
    """What a recording keeps of this machine: uname, boot id, number of CPUs."""
    facts: dict[str, object] = {"uname": list(os.uname()), "ncpus": os.cpu_count()}
    with suppress(TraceScopeError):
        facts["boot_id"] = host.read("/proc/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
    return facts


class Recorder:
    """Writes a recording as the session runs, for one thread. Refuses a file that exists unless `overwrite`."""

    def __init__(
        self,
        path: Path | str,
        *,
        kind: str,
        host: Mapping[str, object] | None = None,
        session: Mapping[str, object] | None = None,
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.events = 0
        self._clock = clock
        self._lines: list[str] = []
        self._bytes = 0
        self._flushed = self._counted = clock()
        self._lost = 0
        # Arguments of commands hold secrets: nobody but the owner reads them.
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
        try:
            self._fd: int | None = os.open(self.path, flags, 0o600)
        except FileExistsError:
            fix = "take another name, or ask to overwrite it"
            raise Refused(f"{self.path} is there already", "a recording overwrites nothing by itself", fix) from None
        except OSError as error:
            raise self._refusal(error) from None
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        header = {"schema": SCHEMA, "version": __version__, "kind": kind, "time": now}
        self._put({"tracescope": header | {"host": host or {}, "session": session or {}}})
        self._hand_over()

    def write(self, event: Mapping[str, object] | str) -> None:
        """Record one event, as `--json` prints it: the object, or its text, ASCII on one line."""
        self._put(event)
        self.events += 1
        if self._bytes >= _FLUSH_BYTES or self._clock() - self._flushed >= _FLUSH_SECONDS:
            self._hand_over()

    def pulse(self, lost: int) -> None:
        """Call this several times a second, also when nothing happens; it flushes every half of one."""
        if self._clock() - self._counted >= _FLUSH_SECONDS:
            self._counted = self._clock()
            self.flush(lost)

    def flush(self, lost: int) -> None:
        """Hand everything to the kernel, with the number of events lost so far: what is written now survives a kill."""
        if self._lines or lost != self._lost:
            self._lost = lost
            self._put({"counts": {"events": self.events, "lost": lost}})
        self._hand_over()

    def close(self, lost: int | None = None) -> None:
        """Write the final counts; may be called again."""
        if self._fd is None:
            return
        self._put({"counts": {"events": self.events, "lost": self._lost if lost is None else lost, "final": True}})
        self._hand_over()
        os.close(self._fd)
        self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, row: Mapping[str, object] | str) -> None:
        line = (row if type(row) is str else _encode(row)) + "\n"
        self._lines.append(line)
        self._bytes += len(line)

    def _hand_over(self) -> None:
        if self._fd is None:
            raise Refused(f"{self.path} is closed", "the recording has ended")
        data = memoryview("".join(self._lines).encode("ascii"))
        self._lines.clear()
        self._bytes = 0
        self._flushed = self._clock()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            os.close(self._fd)
            self._fd = None
            raise self._refusal(error) from None

    def _refusal(self, error: OSError) -> Refused:
        fix = "take another folder, or make room" if error.errno else ""
        return Refused(f"{self.path} cannot be written", os.strerror(error.errno or 0), fix)


class Recording:
    """A recording to read: iterate it for its events; the counters are right when the iteration is over."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self._reset()

    def _reset(self) -> None:
        self.events = 0
        self.damaged = 0
        """Lines that could not be read."""
        self.lost: int | None = None
        """Events that the kernel could not hand over, by the last count; None without any count."""
        self.missing = 0
        """Events that were written, by the counts, and are not here."""
        self.cut = False
        """The last line is not whole."""
        self.complete = False
        """It has its end: the writer was not killed."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The events, as `--json` prints them; Missing, Forbidden or Damaged when the file cannot be read at all."""
        for events in self.batches():
            yield from events

    def batches(self) -> Iterator[list[_Object]]:
        """The events some dozens at a time: faster for who does one thing with all of them and then the next."""
        for _, events in self.decoded(lambda _: None):
            yield events

    def decoded(self, decode: Callable[[bytes], list[EventT] | None]) -> Iterator[tuple[list[EventT], list[_Object]]]:
        """The events some dozens at a time, as `decode` makes them of lines; where that is None, their objects."""
        self._reset()
        try:
            with self.path.open("rb") as file:
                file.readline(_MAX_LINE)
                for lines in self._blocks(file.read):
                    events = None if b'"counts"' in lines else decode(lines)
                    if events is None:
                        yield [], self._events(lines)
                    else:
                        self.events += len(events)
                        yield events, []
        except OSError as error:
            raise from_oserror(error, str(self.path)) from None

    def notes(self) -> list[str]:
        """What is wrong with the file, in sentences; empty when nothing is."""
        found = []
        if self.damaged:
            found.append(f"{self.damaged} line{'s' if self.damaged > 1 else ''} could not be read")
        if self.missing:
            found.append(f"{self.missing} recorded events are not in the file any more")
        if not self.complete:
            cut = " in the middle of a line" if self.cut else ""
            found.append(f"the recording stops{cut}: its writer did not end it")
        return found

    def _blocks(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """The file in pieces of whole lines; what stands after the last line feed is a cut tail."""
        rest = b""
        while block := read(_READ_BYTES):
            lines, end, tail = block.rpartition(b"\n")
            if end:
                yield rest + lines
                rest = tail
            else:
                rest += tail
            if len(rest) > _MAX_LINE:
                # No event is that long. What follows on the same line cannot be read either, and is one damage more.
                self.damaged += 1
                rest = b""
        self.cut = bool(rest)

    def _events(self, lines: bytes) -> list[_Object]:
        """Those of the lines that are events."""
        # All in one go is twice as fast as line by line.
        found = _loads(b"[" + lines.replace(b"\n", b",") + b"]")
        rows: list[Any] = found if type(found) is list else []
        if len(rows) != lines.count(b"\n") + 1:
            rows = [_loads(line) for line in lines.split(b"\n")]
        if set(map(type, rows)) != _OBJECTS:
            good = [row for row in rows if type(row) is dict]
            self.damaged += len(rows) - len(good)
            rows = good
        if b'"counts"' in lines:
            return self._without_counts(rows)
        self.events += len(rows)
        return rows

    def _without_counts(self, rows: list[_Object]) -> list[_Object]:
        before = self.events
        events: list[_Object] = []
        for row in rows:
            if "counts" in row and type(row["counts"]) is dict:
                self.events = before + len(events)
                self._count(row["counts"])
            else:
                events.append(row)
        self.events = before + len(events)
        return events

    def _count(self, counts: dict[str, Any]) -> None:
        events, lost = counts.get("events"), counts.get("lost")
        if type(events) is int and type(lost) is int:
            self.lost = lost
            self.missing = max(events - self.events, 0)
            self.complete = counts.get("final") is True


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        return None


def open_recording(path: Path | str) -> Recording:
    """A recording; Damaged for a file that is none, Refused for one of a later schema, with what to do about it."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            line = file.readline(_MAX_LINE)
    except OSError as error:
        raise from_oserror(error, str(path)) from None
    row = _loads(line) if line.startswith(_BEGIN) else None
    header = row.get("tracescope") if type(row) is dict else None
    if type(header) is not dict or type(header.get("schema")) is not int or header.get("kind") not in KINDS:
        why = "its first line is not the header that every recording begins with"
        raise Damaged(f"{path} is no recording", why, "record with --save FILE")
    if header["schema"] > SCHEMA:
        why = f"its schema is {header['schema']}, this tracescope knows up to {SCHEMA}"
        raise Refused(f"{path} was recorded by a later tracescope", why, "upgrade tracescope")
    return Recording(path, _header(header))


def _header(data: Mapping[str, Any]) -> Header:
    host, session = data.get("host"), data.get("session")
    return Header(
        kind=data["kind"],
        time=str(data.get("time", "")),
        version=str(data.get("version", "")),
        host=host if type(host) is dict else {},
        session=session if type(session) is dict else {},
    )
