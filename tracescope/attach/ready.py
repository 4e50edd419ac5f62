"""Whether this host can be attached to, and what its events look like: asked before anything is planned."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable

from tracescope.attach.kernel import bpf
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources import tracefs

__all__ = ("check_host", "check_kernel", "read_formats")


def read_formats(host: Host, events: Iterable[str]) -> dict[str, EventFormat]:
    """The formats of those events, given as `group:name`, that the host has."""
    found = {}
    for event in events:
        group, _, name = event.partition(":")
        try:
            found[event] = tracefs.parse_format(host.read(f"{host.tracefs}/events/{group}/{name}/format"), group)
        except TraceScopeError:
            continue
    return found


def check_host(host: Host) -> None:
    """Raises Refused for a recorded host, and where BPF is not to be had."""
    if not host.live:
        raise Refused(
            "a snapshot cannot be attached", "it is a recording of another machine's sources", "leave out --host"
        )
    check_kernel()


def check_kernel() -> None:
    """Raises Refused where BPF is not to be had. Try it: a ring buffer of one page shows rights and kernel at once."""
    try:
        os.close(bpf.map_create(bpf.RINGBUF, 0, 0, mmap.PAGESIZE, 0, "ts_try"))
    except PermissionError:
        why = "the kernel refuses BPF to this process: it takes root, or the capabilities CAP_BPF and CAP_PERFMON"
        raise Refused("nothing can be attached", why, "run as root") from None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise Refused("nothing can be attached", "this kernel is built without BPF (CONFIG_BPF_SYSCALL)") from None
        raise Refused("nothing can be attached", "this kernel has no BPF ring buffer (Linux 5.8 has)") from None
