"""What can go wrong, said in three parts: what happened, why, and how to mend it."""

from __future__ import annotations

__all__ = ("AttachError", "Damaged", "Forbidden", "Missing", "Refused", "TraceScopeError", "UsageError")


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
