"""A control group of the unified hierarchy by its path; a cgroup's id is the inode number of its folder."""

from __future__ import annotations

import os

from tracescope.attach.plan import Cgroup
from tracescope.errors import Missing, Refused, TraceScopeError, from_oserror
from tracescope.host import Host

__all__ = ("find_cgroup",)


def find_cgroup(host: Host, path: str) -> Cgroup:
    """The cgroup at `path`, as seen in the file system or below its mount; raises TraceScopeError."""
    mount = _mount(host)
    inside = os.path.normpath(path if path.startswith(f"{mount}/") else f"{mount}/{path}")
    if inside != mount and not inside.startswith(f"{mount}/"):
        raise Refused(
            f"{path} is no control group", f"it is not below {mount}", f"a folder below {mount}: system.slice"
        )
    try:
        id_ = os.stat(inside).st_ino
    except OSError as error:
        raise from_oserror(error, inside) from None
    return Cgroup(id_, inside.removeprefix(mount).count("/"))


def _mount(host: Host) -> str:
    """Where the unified hierarchy is mounted; it may be beside the older ones."""
    try:
        lines = host.read("/proc/self/mounts").decode("utf-8", "surrogateescape").splitlines()
    except TraceScopeError:
        lines = []
    for line in lines:
        words = line.split(" ")
        if len(words) > 2 and words[2] == "cgroup2":
            return words[1]
    raise Missing(
        "processes cannot be filtered by cgroup", "no cgroup2 file system is mounted", "mount -t cgroup2 none DIR"
    )
