"""The check of `doctor` for BPF programs of ours: those of running sessions, and those that were left behind."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tracescope.attach.kernel.held import HeldProgram, Holder

__all__ = ("Finding", "find_programs", "programs_found")

_SETTLE, _LOOKS = 0.1, 5
_LONGEST = 60


class Finding(NamedTuple):
    """What was seen; `why` and `fix` are empty when it is well."""

    what: str
    why: str = ""
    fix: str = ""


def find_programs() -> Iterator[Finding]:
    """Look at this kernel's programs, at least one finding. One just let go of is given a moment to go."""
    from tracescope.attach.kernel.held import held_programs

    try:
        programs = held_programs()
        for _ in range(_LOOKS):
            if all(one.holders or one.pins for one in programs):
                break
            time.sleep(_SETTLE)
            programs = held_programs()
    except OSError as error:
        why = f"the kernel does not list its BPF programs: {error.strerror or error}"
        yield Finding("nobody knows whether BPF programs were left behind", why, "run as root")
        return
    yield from programs_found(programs)


def programs_found(programs: Sequence[HeldProgram]) -> Iterator[Finding]:
    """One finding for every set of processes and pins that hold programs; one when there are none."""
    if not programs:
        yield Finding("no BPF program of ours is in the kernel")
    groups: dict[tuple[tuple[Holder, ...], tuple[str, ...]], list[HeldProgram]] = {}
    for one in programs:
        if one.owners:
            groups.setdefault((one.owners, ()), []).append(one)
        else:
            groups.setdefault((one.holders, one.pins), []).append(one)
    for (holders, pins), held in groups.items():
        if held[0].owners:
            yield Finding(f"{_programs(held)} of a session that runs: {_named(holders)}")
        else:
            yield _left(held, holders, pins)


def _left(held: Sequence[HeldProgram], holders: Sequence[Holder], pins: Sequence[str]) -> Finding:
    what = f"{_programs(held)} left behind"
    whys, fixes = [], []
    if holders:
        whys.append(f"the session is over, but {_named(holders)} got the descriptors from it by a fork")
        fixes.append("kill " + " ".join(str(holder.pid) for holder in holders))
    if pins:
        whys.append(f"pinned at {', '.join(pins)}")
        fixes.append(shlex.join(("rm", *pins)))
    if not whys:
        whys.append("no process that is seen from here holds them: another pid namespace's does, or a file descriptor "
                    "that is on its way through a socket")  # fmt: skip
        fixes.append(f"look from the machine's own pid namespace: bpftool prog show id {held[0].id}")
    return Finding(what, "; ".join(whys), "; ".join(fixes))


def _programs(held: Sequence[HeldProgram]) -> str:
    ids = ", ".join(f"{one.id} {one.name}" for one in held[:4])
    more = f" and {len(held) - 4:,} more" if len(held) > 4 else ""
    return f"{len(held)} BPF program{'s' if len(held) > 1 else ''} of ours ({ids}{more})"


def _named(holders: Sequence[Holder]) -> str:
    return ", ".join(f"pid {holder.pid} ({_short(holder.command)})" for holder in holders)


def _short(command: str) -> str:
    return command if len(command) <= _LONGEST else command[: _LONGEST - 1] + "…"
