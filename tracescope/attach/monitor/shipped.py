"""The process monitor as it is shipped: compiled, for every little-endian machine and every kernel with BTF.

`script/build-bpf` makes exec.bpf.o of the text that is here, and writes what it was made of to exec.bpf.json. It takes
what a plan asks for when it is loaded; a plan that asks for more than it has room for is compiled where it runs.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from enum import IntFlag
from importlib.resources import files
from typing import Any

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.loading import Loaded, load_linked
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.libbpf.library import link, missing_library
from tracescope.attach.libbpf.translate import to_libbpf
from tracescope.attach.monitor.plan import OFFSETS, MonitorPlan
from tracescope.attach.monitor.program import KINDS, NUMBERS, source
from tracescope.attach.plan import Filters
from tracescope.attach.program.exec_text import reader_text
from tracescope.attach.program.filters import TREE_SIZE, comm_words

__all__ = ("OBJECT", "RECORD", "SETTINGS", "Filter", "choices", "load", "record", "settings", "shipped_text", "why_not")

OBJECT, RECORD = "exec.bpf.o", "exec.bpf.json"
"""The object, and what it was made of."""
_PATH_STEPS, _CGROUPS, _CHOICES = 8, 8, 1024
SETTINGS = struct.Struct(f"@6I{_PATH_STEPS}I{_CGROUPS}I{_CGROUPS}Q{len(OFFSETS)}I0Q")
"""`struct settings`."""
_CHOICE = struct.Struct("=3Q")


class Filter(IntFlag):
    """The filters, as bits."""

    ONLY_PID = 1
    BUT_NOT_PID = 2
    ONLY_TID = 4
    ONLY_NAMESPACE = 8
    ONLY_UID = 16
    ONLY_CGROUP = 32
    ONLY_COMM = 64
    ONLY_TREE = 128


# What a program sees of a system call is 8-byte words, on every kernel so far; a plan whose formats differ is compiled.
_CALLS = {
    "SYS_ENTER_EXECVE_FILENAME": 2,
    "SYS_ENTER_EXECVE_ARGV": 3,
    "SYS_ENTER_EXECVEAT_FD": 2,
    "SYS_ENTER_EXECVEAT_FILENAME": 3,
    "SYS_ENTER_EXECVEAT_ARGV": 4,
    "SYS_ENTER_EXECVEAT_FLAGS": 6,
    "SYS_EXIT_EXECVE_RET": 2,
    "SYS_EXIT_EXECVEAT_RET": 2,
}


def shipped_text() -> str:
    """The text that the object is compiled of, for clang."""
    numbers = NUMBERS | KINDS | _CALLS | {str(one.name): int(one) for one in Filter}
    numbers |= {"WITH_LIFE": 1, "FOLLOWS": 1, "TREE": TREE_SIZE}
    numbers |= {"PATH_STEPS": _PATH_STEPS, "CGROUPS": _CGROUPS, "CHOICES": _CHOICES, "OFFSETS": len(OFFSETS)}
    defines = "".join(f"#define {name} {number}\n" for name, number in numbers.items())
    defines += "".join(f"#define {name} (settings.offsets[{index}])\n" for index, name in enumerate(OFFSETS))
    return to_libbpf("\n".join((defines, source("shipped.h"), reader_text(counted=False), source("monitor.c"))))


def record() -> dict[str, Any]:
    """What the object was made of: the digest of its text, clang's version, the digest of each program."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath(RECORD).read_text("ascii"))
    return found


def why_not(plan: MonitorPlan) -> str:
    """Why the object cannot do what the plan asks for, or cannot be loaded here; empty when it can."""
    refused = missing_library()
    if refused:
        return refused.why
    if sys.byteorder != "little":
        return "it is made for little-endian machines"
    if any(_CALLS.get(name, number) != number for name, number in plan.words.items()):
        return "this kernel's records of system calls are laid out in another way"
    if plan.transport is not Transport.RING:
        return "it hands over through a ring buffer"
    filters = plan.filters
    if len(filters.cgroup) > _CGROUPS or len(list(choices(filters))) > _CHOICES:
        return "there are too many values to filter by"
    if any(len(one.path) > _PATH_STEPS for one in filters.namespace):
        return "this kernel keeps namespaces in another way"
    return ""


def settings(plan: MonitorPlan) -> bytes:
    """`struct settings` of the object."""
    filters = plan.filters
    path = filters.namespace[0].path if filters.namespace else ()
    ids, levels = [one.id for one in filters.cgroup], [one.level for one in filters.cgroup]
    modes = (plan.strict, not plan.failed_only, plan.records_life, plan.says_dead)
    padded = [*_padded(path, _PATH_STEPS), *_padded(levels, _CGROUPS), *_padded(ids, _CGROUPS)]
    return SETTINGS.pack(
        *map(int, modes), _bits(filters), len(path), *padded, *(plan.offsets[name] for name in OFFSETS)
    )


def _padded(numbers: Any, size: int) -> list[int]:
    return [*numbers, *[0] * (size - len(numbers))]


def _bits(filters: Filters) -> int:
    used = {
        Filter.ONLY_PID: filters.pid,
        Filter.BUT_NOT_PID: filters.but_not,
        Filter.ONLY_TID: filters.tid,
        Filter.ONLY_NAMESPACE: filters.namespace,
        Filter.ONLY_UID: filters.uid,
        Filter.ONLY_CGROUP: filters.cgroup,
        Filter.ONLY_COMM: filters.comm,
        Filter.ONLY_TREE: filters.tree,
    }
    return sum(int(one) for one, values in used.items() if values)


def choices(filters: Filters) -> Iterator[bytes]:
    """The keys of the map that holds what filters let through: `struct choice`."""
    numbers = {
        Filter.ONLY_PID: filters.pid,
        Filter.BUT_NOT_PID: filters.but_not,
        Filter.ONLY_TID: filters.tid,
        Filter.ONLY_NAMESPACE: [one.number for one in filters.namespace],
        Filter.ONLY_UID: filters.uid,
    }
    for one, values in numbers.items():
        yield from (_CHOICE.pack(one, value, 0) for value in dict.fromkeys(values))
    for comm in dict.fromkeys(filters.comm):
        yield _CHOICE.pack(Filter.ONLY_COMM, *comm_words(comm))


def load(plan: MonitorPlan) -> Loaded:
    """Link the object against this kernel and load what the plan needs of it; raises AttachError or Refused."""
    data = files(__package__).joinpath(OBJECT).read_bytes()
    with link(data, "exec", constants={".rodata": settings(plan)}, only=plan.programs) as linked:
        loaded = load_linked(linked.kept_maps(), linked.programs, lines=lambda: linked.lines)
    try:
        for key in choices(plan.filters):
            bpf.map_update(loaded.maps["choices"], key, b"\1")
    except BaseException:
        loaded.close()
        raise
    return loaded
