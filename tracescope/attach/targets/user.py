"""Targets in programs and libraries: functions at their entry and return, USDT probes.

`uprobe:PATH:FUNCTION`, `uprobe:libc:malloc`, `uprobe:PATH:FUNCTION+8`, `usdt:PATH:PROVIDER:NAME`, `usdt:PATH:NAME`;
globs at the end.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracescope.attach.targets.registers import ARGUMENTS
from tracescope.attach.targets.target import Shape, Target, UserPlace, UserSite, word_fields, words_format
from tracescope.errors import Missing, Refused
from tracescope.model import ProbeKind
from tracescope.sources.elf_symbols import symbols
from tracescope.sources.usdt import UsdtProbe, usdt_notes

__all__ = ("find_file", "usdt_probes", "user_functions")

_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_FUNCTIONS = ("FUNC", "IFUNC")
_WILD = re.compile(r"[*?[]")


def find_file(name: str, pid: int = -1) -> str:
    """The file of a path, a library's short name (`libc`), or a program on PATH; raises Missing.

    With a process, a path is one of its own root.
    """
    if "/" in name:
        found = f"/proc/{pid}/root{name}" if pid > 0 and name.startswith("/") else name
        if not os.path.isfile(found):
            raise Missing(f"{name} is not there", "no file has this path", "the whole path, or a library's name: libc")
        return os.path.realpath(found) if pid <= 0 else found
    libraries = [one for folder in _library_folders() for one in _libraries(folder, name)]
    found_program = shutil.which(name)
    if libraries or found_program:
        return os.path.realpath(libraries[0] if libraries else str(found_program))
    raise Missing(
        f"there is no program or library {name}", "it is neither on PATH nor where libraries lie", "give its path"
    )


def _library_folders() -> Iterator[Path]:
    machine = f"{os.uname().machine}-linux-gnu"
    for folder in _FOLDERS:
        yield from (Path(folder, machine), Path(folder))


def _libraries(folder: Path, name: str) -> list[str]:
    base = name if name.startswith("lib") else f"lib{name}"
    pattern = base if ".so" in base else f"{base}.so*"
    # `libc.so` may be a script for the linker.
    return sorted(str(path) for path in folder.glob(pattern) if _is_elf(path)) if folder.is_dir() else []


def _is_elf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def user_functions(kind: ProbeKind, rest: str, pid: int = -1) -> list[Target]:
    """Functions of a file by name or glob, at entry or return; raises TraceScopeError with near names."""
    file, _, name = rest.rpartition(":")
    if not file or not name:
        raise Refused(f"{kind}:{rest} is no full name", "it takes a file and a function", f"{kind}:libc:malloc")
    path = find_file(file, pid)
    symbol, plus, offset = name.partition("+")
    found = {one.name: one for one in symbols(path) if one.type in _FUNCTIONS and one.offset is not None}
    known = {name: one.offset or 0 for name, one in found.items() if one.type == "FUNC"}
    if symbol in found and symbol not in known:
        why = "it only chooses, once in each process, the function that will run (IFUNC)"
        raise Refused(f"{kind}:{rest} cannot be attached", why, "take what it chose, or its caller")
    if plus and not re.fullmatch(r"0x[0-9a-fA-F]+|\d+", offset):
        raise Refused(f"{kind}:{rest} is no probe", f"{offset!r} is no number of bytes", f"{symbol}+16, {symbol}+0x10")
    names = fnmatch.filter(known, symbol) if _WILD.search(symbol) else [symbol] if symbol in known else []
    if not names:
        near = difflib.get_close_matches(symbol, known, 3) or [one for one in known if symbol in one][:3]
        fix = f"did you mean {', '.join(near)}" if near else "a stripped file shows only what it exports"
        raise Missing(f"there is no function {symbol} in {path}", "its symbol tables do not have it", fix)
    return [_function(kind, path, one, known[one] + int(offset or "0", 0), offset, pid) for one in sorted(names)]


def _function(kind: ProbeKind, path: str, name: str, place: int, offset: str, pid: int) -> Target:
    returns = kind is ProbeKind.URETPROBE
    rows = [("ret", "s64", 8, True)] if returns else [(f"arg{at}", "u64", 8, False) for at in range(ARGUMENTS)]
    fields = word_fields(rows)
    probe = f"{kind}:{path}:{name}" + (f"+{offset}" if offset else "")
    shape = Shape.RESULT if returns else Shape.REGISTERS
    where = UserPlace(path, (UserSite(place),), pid)
    return Target(kind, probe, words_format("", name, fields), shape, where, (None,) * len(fields), user=True)


def usdt_probes(rest: str, pid: int = -1) -> list[Target]:
    """USDT probes of a file; raises TraceScopeError with those that are there."""
    file, _, name = rest.rpartition(":")
    file, colon, provider = file.rpartition(":")
    if not colon:
        # As bpftrace has it, the provider may be left out.
        file, provider = provider, "*"
    if not file or not name:
        raise Refused(f"usdt:{rest} is no full name", "it takes a file, a provider and a name", "usdt:FILE:*:*")
    path = find_file(file, pid)
    sites: dict[str, list[UsdtProbe]] = {}
    for note in usdt_notes(path):
        sites.setdefault(f"{note.provider}:{note.name}", []).append(note)
    names = fnmatch.filter(sites, f"{provider}:{name}")
    if not names:
        what = f"there is no USDT probe {provider}:{name} in {path}"
        if not sites:
            raise Missing(what, "the file has none at all", f"tracescope list 'uprobe:{path}:*' shows its functions")
        raise Missing(what, "its notes do not have it", f"it has {', '.join(sorted(sites)[:3])}")
    return [_usdt(path, one, sites[one], pid) for one in sorted(names)]


def _usdt(path: str, name: str, notes: Sequence[UsdtProbe], pid: int) -> Target:
    sites = tuple(
        UserSite(note.offset, note.semaphore_offset or 0, note.arguments) for note in notes if note.offset is not None
    )
    if not sites:
        raise Refused(f"usdt:{path}:{name} cannot be attached", "its places are not in the file")
    # What all sites have; they may keep it in different places.
    count = min(len(site.operands) for site in sites)
    rows = [
        (f"arg{at}", f"{'s' if one.signed else 'u'}{8 * (one.size or 8)}", one.size or 8, one.signed)
        for at, one in enumerate(sites[0].operands[:count])
    ]
    fields = word_fields(rows)
    where = UserPlace(path, sites, pid)
    probe = f"{ProbeKind.USDT}:{path}:{name}"
    return Target(
        ProbeKind.USDT, probe, words_format("", name, fields), Shape.OPERANDS, where, (None,) * count, user=True
    )
