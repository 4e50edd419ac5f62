"""Records in our own layout, made of what another tracer hands over: so all sessions decode alike. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracescope.attach.program.exec_calls import TEXT_OFFSET
from tracescope.attach.program.exec_text import TEXT, ExecFlag
from tracescope.attach.record.layout import HEADER, PlannedProbe
from tracescope.attach.targets.target import Shape

__all__ = ("NO_PARENT", "ExecText", "Head", "pack")

NO_PARENT = 1 << 31
"""A bit of the record's flags, beyond those of captures: nobody knows the parent."""
_UNREAD = -14
_SLOT = struct.Struct("=q")
_PAIR = struct.Struct("=qQ")


@dataclass(frozen=True, slots=True)
class Head:
    """Whose event it is, and when: nanoseconds of CLOCK_MONOTONIC; `ppid` None when it is not known."""

    time_ns: int
    cpu: int
    pid: int
    tid: int
    ppid: int | None
    comm: bytes


@dataclass(frozen=True, slots=True)
class ExecText:
    """What is known of the text that an execve's pointers lead to; `cut`: there are more arguments."""

    filename: bytes | None = None
    argv: tuple[bytes | None, ...] | None = None
    cut: bool = False


def pack(
    probe: PlannedProbe, head: Head, raw: bytes, *, dynamic: Sequence[bytes | None] = (),
    result: tuple[int, int] | None = None, texts: Mapping[str, bytes] | None = None, exec_text: ExecText | None = None,
) -> bytes:  # fmt: skip
    """One record.

    `raw` are the words from offset 8 of the tracepoint's record on; `dynamic` the bytes of each dynamic field, None for
    what could not be read; `result` what came back and the duration; `texts` by the capture's name.
    """
    flags = NO_PARENT if head.ppid is None else 0
    parts = [raw[: probe.raw].ljust(8 * probe.words, b"\0")]
    if probe.end:
        parts.append(_PAIR.pack(*(result or (0, 0))))
    tail: list[bytes] = []
    for bit, data in enumerate(dynamic):
        if data is None:
            flags |= 1 << bit
        tail.append((data or b"")[: probe.cap])
    for capture in probe.captures:
        text = (texts or {}).get(capture.name)
        # The number says how many bytes there are, with the NUL; so many follow.
        size = _UNREAD if text is None else len(text) + 1
        parts.append(_SLOT.pack(size))
        tail.append(b"" if text is None else (text + b"\0")[: capture.size])
    if probe.shape is Shape.EXEC:
        tail = [_exec(exec_text or ExecText())]
        parts[0] = parts[0].ljust(TEXT_OFFSET - HEADER.size, b"\0")
    start = HEADER.pack(
        head.time_ns, head.cpu, probe.index, head.pid, head.tid, head.ppid or 0, flags, head.comm[:16]
    )  # fmt: skip
    return b"".join((start, *parts, *tail))


def _exec(text: ExecText) -> bytes:
    flags = ExecFlag.ENVP_UNREAD
    words: list[bytes] = []
    unread = 0
    if text.filename is None:
        flags |= ExecFlag.FILENAME_UNREAD
    else:
        words.append(text.filename)
    if text.argv is None:
        flags |= ExecFlag.ARGV_UNREAD
    else:
        words += [word for word in text.argv if word is not None]
        unread = sum(1 << index for index, word in enumerate(text.argv) if word is None)
        flags |= ExecFlag.ARGV_CUT if text.cut else 0
    data = b"".join(word + b"\0" for word in words)
    return TEXT.pack(int(flags), len(text.argv or ()), 0, len(data), unread, 0) + data
