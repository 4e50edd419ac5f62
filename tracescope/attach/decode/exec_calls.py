"""The arguments of execve and execveat out of a record's text: file name, argv as a list, envp as a count."""

from __future__ import annotations

from collections.abc import Sequence

from tracescope.attach.program.exec_calls import TEXT_OFFSET
from tracescope.attach.program.exec_text import TEXT, ExecFlag
from tracescope.attach.record.values import Value
from tracescope.printable import decode

__all__ = ("arguments", "exec_values", "without_descriptor")


def exec_values(values: dict[str, Value], record: bytes) -> dict[str, Value]:
    """The same values with the pointers `filename`, `argv` and `envp` replaced by what they lead to.

    None stands for what could not be read; `argv_truncated` and `envp_truncated` say that there is more.
    """
    bits, argc, envc, used, low, high = TEXT.unpack_from(record, TEXT_OFFSET)
    flags = ExecFlag(bits)
    start = TEXT_OFFSET + TEXT.size
    words = [decode(word) for word in record[start : start + used].split(b"\0")]
    if not words[-1]:
        words.pop()
    filename = None if ExecFlag.FILENAME_UNREAD in flags else words.pop(0)
    argv: Value
    if ExecFlag.FROM_MEMORY in flags:
        argv = _from_memory(words, None if flags & (ExecFlag.ARGV_UNREAD | ExecFlag.ARGV_CUT) else argc)
        filename = without_descriptor(filename, values.get("fd"))
    else:
        argv = arguments(words, argc, low | high << 64, flags)
    found: dict[str, Value] = {}
    for name, value in values.items():
        if name == "filename":
            found[name] = filename
        elif name == "argv":
            found[name] = argv
            if ExecFlag.ARGV_CUT in flags:
                found["argv_truncated"] = True
        elif name == "envp":
            found[name] = None if ExecFlag.ENVP_UNREAD in flags else envc
            if ExecFlag.ENVP_CUT in flags:
                found["envp_truncated"] = True
        else:
            found[name] = value
    return found


def arguments(words: Sequence[str], argc: int, unread: int, flags: ExecFlag) -> list[str | None]:
    """The arguments that a call passed; bit n of `unread` says that argument n is not among the words."""
    rest = iter(words)
    argv = [None if unread >> index & 1 else next(rest) for index in range(argc)]
    return [*argv, None] if ExecFlag.ARGV_UNREAD in flags else argv


def _from_memory(words: list[str], argc: int | None) -> list[str | None]:
    """What the caller passed, from what the new program found: for a script the kernel put the interpreter in front."""
    if argc is None or len(words) <= argc:
        return list(words)
    # Interpreter, its argument and the script took the place of argv[0].
    return [None, *words[len(words) - argc + 1 :]] if argc else []


def without_descriptor(filename: str | None, fd: Value) -> str | None:
    """The path that execveat was given: the kernel names it `/dev/fd/N/path`."""
    prefix = f"/dev/fd/{fd}"
    if filename == prefix:
        return ""
    return filename.removeprefix(f"{prefix}/") if filename is not None else None
