"""Where the registers lie in the context of a program on a function: words of struct pt_regs. x86-64."""

from __future__ import annotations

__all__ = ("ARGUMENTS", "argument_word", "result_word", "sample_words")

ARGUMENTS = 6


def argument_word(number: int) -> int:
    """The word that holds an argument."""
    return (14, 13, 12, 11, 9, 8)[number]


def result_word() -> int:
    """The word that holds what a function returns."""
    return 10


def sample_words() -> tuple[int, int, int]:
    """Instruction pointer, period, address of a sample."""
    return 16, 21, 22
