"""What `bpftrace -l` and `-lv` print, versions 0.11 to 0.27: a probe a line, with -v its arguments indented by four.

Source: bpftrace's src/probe_matcher.cpp. Names are given in today's spelling: kfunc is fentry, kretfunc is fexit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tracescope.errors import Damaged
from tracescope.host import Host
from tracescope.model import Parameter
from tracescope.printable import decode

__all__ = ("Listing", "parse_listing", "read")

# What a line begins with → the kind in today's words.
_KINDS = {
    kind: kind
    for kind in (
        "tracepoint",
        "rawtracepoint",
        "fentry",
        "fexit",
        "kprobe",
        "kretprobe",
        "uprobe",
        "uretprobe",
        "usdt",
        "software",
        "hardware",
        "iter",
        "interval",
        "profile",
        "watchpoint",
    )
} | {"kfunc": "fentry", "kretfunc": "fexit"}

# The rest of these names is kept as printed: a C++ signature may hold `*` and `:`.
_USER_KINDS = {"uprobe", "uretprobe", "usdt"}

_INDENT = "    "
_ARGUMENT = re.compile(r"(.*[\s*)])(\w+)((?:\[[^\[\]]*\])*)", re.DOTALL)


@dataclass(slots=True)
class Listing:
    """The probes in the order printed, each with its arguments (none without -v; `retval` is the return value)."""

    probes: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)
    echoed: int = 0
    """Searches without a match that bpftrace prints as if they were probes (`hardware:*:`)."""
    repeated: int = 0
    """Probes that an earlier line has."""
    skipped: int = 0
    """Warnings, banners, type definitions: lines that are neither a probe nor an argument."""


def parse_listing(data: bytes) -> Listing:
    """The listing; `Damaged` when text is there and no line of it is a probe or an echoed search."""
    found = Listing()
    probes = found.probes
    arguments: list[Parameter] | None = None
    known = _Arguments()
    name = ""
    for line in decode(data).split("\n"):
        if line.startswith(_INDENT):
            if arguments is None:
                found.skipped += 1
                continue
            arguments.append(known[line])
            continue
        if arguments:
            probes[name] = tuple(arguments)
        arguments = None
        name = _probe(line)
        if not name:
            found.skipped += bool(line)
        elif name[-1] == "*":
            found.echoed += 1
        elif name in probes:
            # Functions of one name are listed once each: the last arguments stand.
            found.repeated += 1
            arguments = []
        else:
            probes[name] = ()
            arguments = []
    if arguments:
        probes[name] = tuple(arguments)
    if found.skipped and not probes and not found.echoed:
        raise Damaged("the bpftrace listing cannot be read", "no line of it is a probe")
    return found


def _probe(line: str) -> str:
    """The probe's name in today's spelling; ends with `*` for an echoed search, empty when the line is no probe."""
    head, _, rest = line.partition(":")
    kind = _KINDS.get(head)
    if kind is None:
        return ""
    if kind in _USER_KINDS:
        return f"{kind}:{rest.rstrip()}"
    # 0.11 to now print an empty period: `software:cpu-clock:`.
    rest = rest.rstrip(" \t\r:")
    if "*" in rest:
        return "*"
    if not rest or " " in rest:
        return ""
    if kind == "rawtracepoint":
        rest = rest.rpartition(":")[2]
    elif kind in ("fentry", "fexit") and ":" not in rest:
        # 0.11 knows the core kernel's BTF only and does not name it.
        rest = f"vmlinux:{rest}"
    return f"{kind}:{rest}"


class _Arguments(dict[str, Parameter]):
    """Line → argument, each parsed once: most lines of a listing are alike."""

    def __missing__(self, line: str) -> Parameter:
        """`    char comm[16];` → `comm`, `char[16]`; a variadic `...` is printed as `void` without a name."""
        text = line.strip().rstrip("; ")
        row = _ARGUMENT.fullmatch(text)
        if row is None or line.rstrip(";\r").endswith(" "):
            argument = Parameter("", text)
        else:
            argument = Parameter(row[2], row[1].rstrip() + row[3])
        self[line] = argument
        return argument


def read(host: Host, *, verbose: bool = False) -> Listing:
    """What the host's bpftrace lists; with `verbose` the arguments too (seconds of work for bpftrace)."""
    return parse_listing(host.run("bpftrace", "-lv" if verbose else "-l"))
