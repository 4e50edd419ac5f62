"""Which bytes behind a pointer a meaning needs, and when they are there. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ("Copy", "Phase")


class Phase(StrEnum):
    """When the bytes behind a pointer say what they mean."""

    ENTER = "enter"
    """As the caller passes them."""
    EXIT = "exit"
    """When the call has succeeded: the kernel has filled them in."""
    FAILED = "failed"
    """When the call has returned an error: what remains of an interrupted sleep."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The bytes to copy from user memory for one argument, at most `cap`.

    Without `count` they are `cap` bytes. With it, `count` names the argument (or `ret`, the result) that says how many
    elements of `unit` bits there are; it has `count_bits`, or is a 32-bit number at the address that the argument holds
    (`count_behind`). Text ends at a NUL. A mask (`unit` 1) is whole 64-bit words.
    """

    phase: Phase
    cap: int
    count: str = ""
    unit: int = 8
    count_bits: int = 64
    count_behind: bool = False
    text: bool = False

    def size(self, arguments: Mapping[str, int], *, capped: bool = True) -> int:
        """Bytes for these arguments (and `ret`), at most `cap` if `capped`.

        It is `cap` when the count is not among them, or behind a pointer.
        """
        count = arguments.get(self.count)
        if count is None or self.count_behind:
            return self.cap
        count &= (1 << self.count_bits) - 1
        bits = count * self.unit
        size = -(-bits // 64) * 8 if self.unit == 1 else -(-bits // 8)
        return min(size, self.cap) if capped else size
