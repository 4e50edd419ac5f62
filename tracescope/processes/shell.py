r"""A command line that a shell runs with exactly the argv that was seen.

What cannot be pasted safely (control characters, bytes that are not UTF-8) is written as `$'\x1b'`, which bash, zsh
and ksh read; so is `exec -a`, needed when argv[0] is not the path. Anything else is plain POSIX shell.
"""

from __future__ import annotations

import shlex

from tracescope.errors import Refused
from tracescope.printable import printable
from tracescope.processes.events import ExecEvent, ExecFailed

__all__ = ("command_of", "shell_command")

_WHAT = "this command cannot be written down"


def command_of(event: ExecEvent | ExecFailed) -> str:
    """The command of one exec; Refused when its arguments are not known in full."""
    path = event.interpreter if isinstance(event, ExecEvent) and event.interpreter else event.filename
    if path is None or event.filename_error or event.argv is None or event.argv_error:
        raise Refused(_WHAT, "its path or its arguments could not be read")
    if event.argv_truncated:
        raise Refused(_WHAT, "only the beginning of its arguments was recorded, and half a command may do harm")
    if path.startswith("/dev/fd/"):
        raise Refused(_WHAT, "it was started from an open file, not by a path")
    return shell_command(event.argv, path)


def shell_command(argv: tuple[str | None, ...], filename: str) -> str:
    """A safely quoted command that starts `filename` with `argv`; Refused for what no shell can pass on."""
    words = [_quoted(word) for word in argv]
    # With a slash it is a path and nothing else: no alias, no builtin, no option, no search in PATH.
    path = filename if "/" in filename and not filename.startswith("-") else f"./{filename}"
    program = f"'{path}'" if _quoted(path) == path and "=" in path else _quoted(path)
    if argv and argv[0] == path:
        return " ".join([program, *words[1:]])
    return f"(exec -a {' '.join([words[0] if words else _quoted(''), program, *words[1:]])})"


def _quoted(word: str | None) -> str:
    if word is None:
        raise Refused(_WHAT, "one of its arguments could not be read")
    if "\0" in word:
        raise Refused(_WHAT, "a NUL byte cannot be part of an argument")
    if printable(word) == word:
        return shlex.quote(word)
    try:
        data = word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Refused(_WHAT, "an argument is not text that the kernel could have seen") from None
    # Octal ends after three digits; \x would swallow what follows.
    return "$'" + "".join(_escaped(byte) for byte in data) + "'"


def _escaped(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in b"\\'"
    return chr(byte) if plain else f"\\{byte:03o}"
