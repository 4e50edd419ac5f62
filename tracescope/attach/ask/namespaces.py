"""A container by one of its processes: the pid namespace that it starts its children in (include/linux/nsproxy.h)."""

from __future__ import annotations

import os
import re

from tracescope.attach.plan import Namespace
from tracescope.attach.types import read_types
from tracescope.errors import Refused, TraceScopeError, from_oserror
from tracescope.host import Host

__all__ = ("find_namespace",)

_LINK = re.compile(r"pid:\[(\d+)\]")


def find_namespace(host: Host, pid: int) -> Namespace:
    """The pid namespace of a running process; raises TraceScopeError."""
    path = f"/proc/{pid}/ns/pid_for_children"
    try:
        found = _LINK.fullmatch(os.readlink(path))
    except OSError as error:
        raise from_oserror(error, path) from None
    if found is None:
        raise Refused(f"process {pid} has no pid namespace", f"{path} leads nowhere: the process is ending")
    return Namespace(int(found[1]), _offsets(host))


def _offsets(host: Host) -> tuple[int, int, int]:
    try:
        types = read_types(host)
        return (
            types.member_offset("task_struct", "nsproxy"),
            types.member_offset("nsproxy", "pid_ns_for_children"),
            types.member_offset("pid_namespace", "ns", "inum"),
        )
    except TraceScopeError as error:
        why = f"the kernel's own types are needed: {error}"
        raise Refused("containers cannot be told apart", why, "--cgroup or --tree") from None
