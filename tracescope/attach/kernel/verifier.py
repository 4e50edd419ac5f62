"""What the kernel's verifier says against a program, in plain words: where, which argument, what to do. Pure.

Input: the log of BPF_PROG_LOAD at level 1 (kernel/bpf/verifier.c). A line of it is an instruction (`13: (85) call
bpf_probe_read_kernel#113`), a line of source (`; text`), the state of the registers, or a message.
"""

from __future__ import annotations

import errno
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from tracescope.errors import AttachError
from tracescope.printable import printable

__all__ = ("Advice", "Complaint", "explain", "read_log", "refusal")

_INSTRUCTION = re.compile(r"(\d+): \([0-9a-f]{2}\) ([^;]*)")
_CALL = re.compile(r"call (?:(\w+)#\d+|(\d+))")
_REGISTER = re.compile(r"\bR(\d+)\b")
_ARGUMENTS = 5
_SOURCE = re.compile(r"; (.+?)(?: @ (\S+:\d+))?$")
# What stands behind the message, or where there is none.
_NO_MESSAGE = re.compile(
    r"[;|]|processed \d+ insns|verification time|stack depth|(cur|old) state:|live regs|\s*R\d+(_\w+)?=|\s*frame\d"
    r"|from \d+ to|mark_precise|(last|first)_idx|regs=|parent |max_states|func#|arg#\d"
)
# Linux's own: no errno header has it.
_ENOTSUPP = 524


class Advice(NamedTuple):
    """Why, and the fix; either may be empty."""

    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the log says: the message in the kernel's words, and where the verifier was."""

    message: str = ""
    """Empty when the log ends without one."""
    index: int | None = None
    """The number of the instruction."""
    helper: str = ""
    """The function that the instruction calls, `bpf_probe_read_kernel`; `#113` where an old kernel has no names."""
    register: int | None = None
    """The register that the message is about."""
    source: str = ""
    """The line of source, where the log or the compiler tells."""


class _Words(NamedTuple):
    messages: tuple[tuple[re.Pattern[str], Advice], ...]
    helpers: Mapping[str, Sequence[str]]
    errnos: Mapping[int, Advice]


@cache
def _words() -> _Words:
    """The tables of verifier.toml."""
    data = tomllib.loads(files(__package__).joinpath("verifier.toml").read_text("utf-8"))

    def advice(why: str, fix: str) -> Advice:
        return Advice(why, str(data.get(fix, fix)))

    codes = {"ENOTSUPP": _ENOTSUPP}
    return _Words(
        tuple((re.compile(row["pattern"]), advice(row["why"], row["fix"])) for row in data["message"]),
        data["helpers"],
        {codes.get(name) or getattr(errno, name): advice(*row) for name, row in data["errno"].items()},
    )


def read_log(log: str, sources: Mapping[int, str] | None = None) -> Complaint:
    """Find the message and the instruction; `sources` are lines of source by the instruction where each begins."""
    lines = log.splitlines()
    at = max((n for n, line in enumerate(lines) if _INSTRUCTION.match(line)), default=-1)
    messages = [line.strip() for line in lines[at + 1 :] if line.strip() and not _NO_MESSAGE.match(line)]
    message = printable(_best(messages))
    found = _INSTRUCTION.match(lines[at]) if at >= 0 else None
    if found is None:
        return Complaint(message)
    index, register = int(found[1]), _REGISTER.search(message)
    source = _at_or_before(index, sources or {}) or _last_source(lines[:at])
    call = _CALL.match(found[2])
    return Complaint(
        message, index, printable(call[1] or f"#{call[2]}") if call else "",
        int(register[1]) if register else None, printable(source),
    )  # fmt: skip


def _best(messages: Sequence[str]) -> str:
    """The message that says most, by the order of the table; or else the last."""
    known = (line for pattern, _ in _words().messages for line in messages if pattern.search(line))
    return next(known, messages[-1] if messages else "")


def _at_or_before(index: int, sources: Mapping[int, str]) -> str:
    before = [number for number in sources if number <= index]
    return sources[max(before)] if before else ""


def _last_source(lines: Sequence[str]) -> str:
    """The kernel prints a line of source where it begins."""
    found = next((found for line in reversed(lines) if (found := _SOURCE.match(line))), None)
    if found is None:
        return ""
    return f"{found[1].strip()} @ {found[2]}" if found[2] else found[1].strip()


def explain(complaint: Complaint, code: int, *, lockdown: str = "") -> Advice:
    """Why the kernel refused, and the fix: `code` is the errno, `lockdown` the kernel's mode, where it is known."""
    for pattern, advice in _words().messages:
        found = pattern.search(complaint.message)
        if found:
            words = {**found.groupdict(), "argument": _argument(complaint), "call": complaint.helper or "this helper"}
            return advice._replace(why=advice.why.format_map(words))
    if complaint.message:
        return Advice("")
    if code == errno.EPERM and lockdown == "confidentiality":
        return Advice("the kernel is locked down for confidentiality", "boot with lockdown=integrity or lockdown=none")
    return _words().errnos.get(code) or Advice(os.strerror(code))


def _argument(complaint: Complaint) -> str:
    """`argument 2 of bpf_probe_read_kernel (the size)`, or the register."""
    number = complaint.register
    if number is None:
        return "a value"
    if not complaint.helper or not 1 <= number <= _ARGUMENTS:
        return f"register R{number}"
    names = _words().helpers.get(complaint.helper, ())
    name = f" (the {names[number - 1]})" if number <= len(names) else ""
    return f"argument {number} of {complaint.helper}{name}"


def refusal(
    name: str, code: int, log: str, *, lockdown: str = "", sources: Mapping[int, str] | None = None
) -> AttachError:
    """The error to raise for a program that the kernel did not load; the whole log is kept in it."""
    complaint = read_log(log, sources)
    advice = explain(complaint, code, lockdown=lockdown)
    where = f" at instruction {complaint.index}" if complaint.index is not None else ""
    line = f", `{complaint.source}`" if complaint.source else ""
    said = f"it says “{complaint.message}”{where}{line}" if complaint.message else ""
    what = "the kernel's verifier refused" if complaint.message else "the kernel did not load"
    why = "; ".join(part for part in (advice.why, said) if part)
    return AttachError(f"{what} the program `{name}`", why, advice.fix, log=log)
