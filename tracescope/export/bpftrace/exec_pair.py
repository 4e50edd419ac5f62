"""Entry and return of execve as one line of bpftrace: its arguments are kept one by one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.attach.targets.target import Target
from tracescope.export.bpftrace.words import Words

__all__ = ("ARGUMENTS", "MAPS", "PAIR_NOTES", "forget", "keep", "print_kept", "returns_too")

ARGUMENTS = 8
"""So many are kept."""
MAPS = ("argv", "argc")
PAIR_NOTES = (
    "What this cannot show, and `tracescope exec` does: arguments behind the 8th, or longer than bpftrace's strings",
    "(BPFTRACE_STRLEN); those whose page was not in memory at entry, which are empty here; starts of 32-bit programs;",
    "how the process ended. What waits for the return is kept under the task: an exec out of a thread takes over the",
    "process's TID. On arm64 before Linux 6.0 a call that succeeds does not return, and is not seen.",
)
_JOIN = (
    "join() prints at once and gives no value: `@argv[tid] = join(...)` is the classic mistake, refused by the",
    "kernel's verifier. So each argument is kept by str().",
)


def keep(words: Words) -> Iterator[str]:
    """What is done at the entry."""
    yield from (f"// {line}" for line in _JOIN)
    yield "$count = 0;"
    for number in range(ARGUMENTS):
        pointer = _pointer(words, number)
        yield (
            f"if ({_after(number)}{pointer} != 0) "
            f"{{ @argv[{words.thread}, {number}] = str({pointer}); $count = {number + 1}; }}"
        )
    yield f"if ({_after(ARGUMENTS)}{_pointer(words, ARGUMENTS)} != 0) {{ $count = {ARGUMENTS + 1}; }}"
    yield f"@argc[{words.thread}] = $count;"


def print_kept(words: Words) -> Iterator[str]:
    """What follows the other values on the line."""
    for number in range(ARGUMENTS):
        form = "%s" if number == 0 else " %s"
        yield f'if ({_more(words, number)}) {{ printf("{form}", @argv[{words.thread}, {number}]); }}'
    yield f'if ({_more(words, ARGUMENTS)}) {{ printf(" ..."); }}'
    yield r'printf("\n");'


def forget(words: Words) -> Iterator[str]:
    """What is done when the line was printed, or not."""
    for number in range(ARGUMENTS):
        yield f"if ({_more(words, number)}) {{ {words.delete('argv', f'{words.thread}, {number}')} }}"
    yield words.delete("argc", words.thread)


def returns_too(target: Target) -> tuple[str, ...]:
    """Where else the call may return: x86 gives the new program the number of execve (set_personality_64bit())."""
    is_execveat = target.end is not None and target.end.probe == "tracepoint:syscalls:sys_exit_execveat"
    return ("tracepoint:syscalls:sys_exit_execve",) if is_execveat else ()


def _after(number: int) -> str:
    return f"$count == {number} && " if number else ""


def _more(words: Words, number: int) -> str:
    return f"@argc[{words.thread}] > {number}"


def _pointer(words: Words, number: int) -> str:
    """An element of argv; before 0.17 a pointer is no array."""
    if words.version >= (0, 17):
        return f"{words.dot}argv[{number}]"
    return f"*(uint64 *)((uint64){words.dot}argv{f' + {8 * number}' if number else ''})"
