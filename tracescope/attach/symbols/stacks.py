"""A stack as the kernel took it, and as people read it: frames by name, innermost first; folded for flame graphs.

A folded line is `outermost;…;innermost count` (github.com/brendangregg/FlameGraph). Names are hostile: a frame of a
process's own perf map holds what the process wrote there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracescope.printable import printable

__all__ = ("CUT", "DEPTH", "Frame", "Stack", "fold", "folded")

DEPTH = 127
"""The most frames that are taken; also the kernel's own limit, unless `kernel.perf_event_max_stack` is lower."""
CUT = "[cut]"
"""Stands for the frames beyond."""
_UNKNOWN = "[unknown]"


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses, innermost first; of the process `pid`, or of the kernel when that is None."""

    frames: tuple[int, ...]
    pid: int | None = None
    error: int = 0
    """Why there are none, as an errno: EFAULT, the thread has no such stack; else it was lost."""

    @property
    def cut(self) -> bool:
        """True when there may be more frames."""
        return len(self.frames) >= DEPTH


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame by name; without a symbol `name` is empty."""

    address: int
    name: str = ""
    offset: int = 0
    """Bytes into the function, or into `place` where no function is known."""
    place: str = ""
    """The kernel module, or the file of a process; empty for the core kernel, and where nobody knows."""

    @property
    def text(self) -> str:
        """`malloc+0x1d [libc.so.6]`, `[libc.so.6]+0x2a10f`, or the address."""
        if self.name:
            return f"{self.name}+{self.offset:#x}" + (f" [{self.place}]" if self.place else "")
        return f"[{self.place}]+{self.offset:#x}" if self.place else f"{self.address:#x}"

    @property
    def folded(self) -> str:
        """The function alone, so that all its places are one frame of the graph."""
        return self.name or (f"[{self.place}]" if self.place else _UNKNOWN)


def fold(parts: Iterable[str], count: int) -> str:
    """A line of a flame graph's input: `parts` from the outermost on, made safe."""
    return f"{';'.join(map(_safe, parts))} {count}"


def folded(frames: Sequence[Frame], *, cut: bool) -> list[str]:
    """The frames of one stack for `fold()`: the outermost first."""
    return [CUT] * cut + [frame.folded for frame in reversed(frames)]


def _safe(text: str) -> str:
    """Text that ends neither a frame nor the line."""
    return printable(text).replace(";", "\\x3b") or _UNKNOWN
