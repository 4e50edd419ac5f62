"""What the arguments and the results of system calls mean.

Input: `tables/calls.toml` for what is particular to a call; what C types and the kernel's usual names tell is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tracescope.attach.meaning.copies import Phase
from tracescope.attach.meaning.kinds import Address, Choice, Meaning, Number, Result
from tracescope.attach.meaning.names import MACHINE, load_table, name_set
from tracescope.attach.meaning.spec import Target, meaning_from

__all__ = ("meaning_of", "result_meaning")

_TABLE = "calls.toml"
_EXEC = frozenset({"execve", "execveat"})

_SHORT = dict.fromkeys(("umode_t", "unsigned short", "u16", "__u16", "old_uid_t", "old_gid_t"), (16, False))
_UNSIGNED = "unsigned|unsigned int|uint|u32|__u32|uid_t|gid_t|qid_t|mode_t|dev_t|__poll_t"
_SIGNED = "int|pid_t|clockid_t|timer_t|mqd_t|rwf_t|key_t|key_serial_t|__s32|s32"
_WIDTHS = _SHORT | dict.fromkeys(_UNSIGNED.split("|"), (32, False)) | dict.fromkeys(_SIGNED.split("|"), (32, True))
_WIDTHS |= dict.fromkeys(("long", "off_t", "loff_t", "ssize_t", "__s64", "s64"), (64, True))

_BY_TYPE = {
    "umode_t": "mode",
    "uid_t": "uid",
    "gid_t": "gid",
    "pid_t": "pid",
    "clockid_t": "clock",
    "size_t": "size",
    "loff_t": "offset",
    "off_t": "offset",
    "rwf_t": "rwf",
    "key_serial_t": "key",
    "mqd_t": "fd",
}
_PATHS = {"filename", "pathname", "path", "from_pathname", "to_pathname"}
_DIRECTORIES = dict.fromkeys(("dfd", "olddfd", "newdfd", "from_dfd", "to_dfd", "mountdirfd"), "dfd")
_DESCRIPTORS = dict.fromkeys(("fd", "fildes", "oldfd", "newfd", "epfd", "ufd", "mqdes", "group_fd", "max_fd"), "fd")
_DESCRIPTORS |= dict.fromkeys(("fd_in", "fd_out", "in_fd", "out_fd", "fdin", "fdout"), "fd")
_DESCRIPTORS |= dict.fromkeys(("fanotify_fd", "fs_fd", "ruleset_fd", "kernel_fd", "initrd_fd"), "fd")
_BY_NAME = _DIRECTORIES | _DESCRIPTORS
# A count of bytes where the type does not say it (`unsigned long len`).
_SIZES = {"len", "old_len", "new_len", "size"}
# Where -1 as an owner leaves the owner alone.
_KEEPS_OWNER = re.compile(r"[fl]?chown(at)?|setres?[ug]id")


def meaning_of(
    call: str, argument: str, c_type: str, phase: Phase = Phase.ENTER, *, machine: str = MACHINE
) -> Meaning | None:
    """The meaning of an argument of the system call `sys_enter_<call>`; None when it is a plain number.

    `c_type` is the type in the event's format. The pointers of execve are addresses here: their text is read elsewhere.
    With `Phase.EXIT` it is the meaning of the memory that the kernel has filled in, None when it fills in none; its
    copy's phase tells whether it does so on success or on failure.
    """
    at = Phase.ENTER if phase is Phase.ENTER else Phase.EXIT
    return _meaning(call, argument, _bare(c_type), at, machine)


def result_meaning(call: str, *, machine: str = MACHINE) -> Result:
    """The meaning of what the system call returns."""
    errors = [name_set(id_, machine) for id_ in ("errno", "kernel_errno")]
    row = load_table(_TABLE)["result"].get(call)
    success = None if row is None else _from_row(call, row, Target(64, True, Phase.EXIT, machine), pointer=False)
    return Result(tuple(names for names in errors if names), success)


@lru_cache(maxsize=4096)
def _meaning(call: str, argument: str, c_type: str, phase: Phase, machine: str) -> Meaning | None:
    pointer = "*" in c_type or c_type.startswith("cap_user_")
    if pointer and call in _EXEC:
        return Address()
    bits, signed = _WIDTHS.get(c_type, (64, False)) if not c_type.startswith("enum ") else (32, False)
    target = Target(bits, signed, phase, machine)
    row = load_table(_TABLE)[phase.value].get(call, {}).get(argument)
    if row is None:
        return None if phase is not Phase.ENTER else _by_type(call, argument, c_type, target, pointer=pointer)
    found = _from_row(call, row, target, pointer=pointer)
    return Address() if found is None and pointer and phase is Phase.ENTER else found


def _bare(c_type: str) -> str:
    """The type without `const`, and with its stars together."""
    return re.sub(r"\s*\*\s*", " *", re.sub(r"\b(const|volatile)\b", "", c_type)).replace("  ", " ").strip()


def _by_type(call: str, argument: str, c_type: str, target: Target, *, pointer: bool) -> Meaning | None:
    """What type and name tell."""
    if pointer:
        is_path = c_type == "char *" and argument in _PATHS
        return meaning_from("path", target) if is_path else Address()
    if c_type in ("uid_t", "gid_t") and _KEEPS_OWNER.fullmatch(call):
        return meaning_from("owner", target)
    return meaning_from(_BY_TYPE.get(c_type) or _by_name(argument, c_type), target)


def _by_name(argument: str, c_type: str) -> str:
    if c_type in ("int", "unsigned int", "unsigned", "unsigned long"):
        return "size" if argument in _SIZES and c_type == "unsigned long" else _BY_NAME.get(argument, "")
    return ""


def _from_row(call: str, row: str | Mapping[str, Any], target: Target, *, pointer: bool) -> Meaning | None:
    return meaning_from(row, target) if isinstance(row, str) else _choice(call, row, target, pointer=pointer)


def _choice(call: str, row: Mapping[str, Any], target: Target, *, pointer: bool) -> Meaning | None:
    """A table with `on` and `cases`: by the value of another argument, always one of 32 bits."""
    decides = row.get("names") or load_table(_TABLE)["enter"].get(call, {}).get(row["on"], "")
    names = name_set(decides, target.machine)
    numbers = names.numbers if names else {}
    mask = row.get("mask", 0xFFFFFFFF)
    cases: dict[int, Meaning | None] = {}
    for name, below in row.get("cases", {}).items():
        number = int(name) if name.isdigit() else numbers.get(name)
        if number is not None:
            cases[number & mask] = _from_row(call, below, target, pointer=pointer)
    plain: Number | Address | None = None
    if target.phase is Phase.ENTER:
        plain = Address() if pointer else Number(target.bits, target.signed)
    other = _from_row(call, row.get("other", ""), target, pointer=pointer)
    return Choice(row["on"], mask, cases, other, plain)
