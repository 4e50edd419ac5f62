"""Whether this host can be attached to, and what its events look like: asked before anything is planned."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from tracescope.attach.kernel.transport import Transport, find_transport
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources import tracefs

__all__ = ("check_host", "check_kernel", "read_formats")

_WITHOUT_BPF = "--backend tracefs, which needs no BPF"


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


def check_host(host: Host) -> Transport:
    """How records come from the kernel; raises Refused for a recorded host, and where BPF is not to be had."""
    if not host.live:
        raise Refused(
            "a snapshot cannot be attached", "it is a recording of another machine's sources", "leave out --host"
        )
    return check_kernel()


def check_kernel() -> Transport:
    """How records come from this kernel; raises Refused where BPF is not to be had."""
    try:
        return find_transport()
    except PermissionError:
        why = "the kernel refuses BPF to this process: it takes root, or the capabilities CAP_BPF and CAP_PERFMON"
        raise Refused("nothing can be attached", why, "run as root") from None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            why = "this kernel is built without BPF (CONFIG_BPF_SYSCALL)"
            raise Refused("nothing can be attached", why, _WITHOUT_BPF) from None
        why = f"this kernel has neither a BPF ring buffer nor a perf buffer: {error.strerror}"
        raise Refused("nothing can be attached", why, _WITHOUT_BPF) from None
