"""What can go wrong, said in three parts: what happened, why, and how to mend it."""

from __future__ import annotations

import errno
import os

__all__ = (
    "REPORT",
    "AttachError",
    "Damaged",
    "Forbidden",
    "Missing",
    "Refused",
    "TraceScopeError",
    "UsageError",
    "from_oserror",
)


REPORT = "report it, with what --print-program prints"
"""The fix for what is no fault of the host's."""


class TraceScopeError(Exception):
    """A clear refusal. `what` and `why` are sentences without a final full stop; `fix` may be empty."""

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """The three parts on one line."""
        text = self.what if not self.why else f"{self.what}: {self.why}"
        return f"{text} (fix: {self.fix})" if self.fix else text


class Missing(TraceScopeError):
    """The host does not have this file, folder or tool."""


class Forbidden(TraceScopeError):
    """The host has it and refuses to show it (EPERM, EACCES)."""


class Damaged(TraceScopeError):
    """The bytes are there and cannot be what they claim to be."""


class Refused(TraceScopeError):
    """The request makes sense and this host cannot fulfil it."""


class AttachError(TraceScopeError):
    """A probe could not be attached. `log` keeps the whole compiler or verifier output."""

    def __init__(self, what: str, why: str = "", fix: str = "", *, log: str = "") -> None:
        super().__init__(what, why, fix)
        self.log = log


class UsageError(TraceScopeError):
    """The command line cannot be understood (exit status 2)."""


def from_oserror(error: OSError, path: str) -> TraceScopeError:
    """What the failed reading of a path means: Missing, Forbidden, or else Damaged."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EPERM, errno.EACCES):
        fix = "" if os.geteuid() == 0 else "run as root"
        return Forbidden(f"{path} cannot be read", reason, fix)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV):
        return Missing(f"{path} is not there", reason)
    return Damaged(f"{path} cannot be read", reason)
