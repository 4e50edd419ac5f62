"""Hang a loaded program on a tracepoint through a perf event: by the tracepoint's id, without debugfs.

An event lives as long as its file descriptor, so nothing has to be undone after a crash.
"""

from __future__ import annotations

import errno
import os

from tracescope.attach import kernel
from tracescope.errors import AttachError
from tracescope.model import EventFormat

__all__ = ("attach_tracepoint",)

_WHY = {
    errno.EPERM: (
        "the kernel does not let this process open perf events",
        "run as root, or give it CAP_PERFMON and CAP_BPF",
    ),
    errno.EACCES: (
        "the program reads past the end of this event's record",
        "the format changed: start TraceScope again",
    ),
    errno.ENOENT: ("no event has this id any more: its module may be unloaded", "start TraceScope again"),
    errno.EBUSY: ("another tool holds this event for itself", "stop the other tracer"),
    errno.EINVAL: ("the kernel takes no program on this event", ""),
    errno.E2BIG: ("64 programs hang on this event already", "stop the other tracers"),
    errno.EMFILE: ("this process has too many open files", "ulimit -n 65536"),
    errno.ENODEV: ("the kernel was built without perf events for tracepoints", ""),
    errno.EOPNOTSUPP: ("the kernel was built without perf events for tracepoints", ""),
}


def attach_tracepoint(format_: EventFormat, program: int) -> int:
    """The perf event's file descriptor: the program runs until it is closed. Raises AttachError."""
    try:
        event = kernel.open_tracepoint(format_.id)
    except OSError as error:
        # An id that no event has: the kernel's answer is EINVAL or ENOENT, by its version.
        raise _error(format_, errno.ENOENT if error.errno == errno.EINVAL else error.errno) from error
    try:
        kernel.enable_tracepoint(event, program)
    except OSError as error:
        os.close(event)
        raise _error(format_, error.errno) from error
    return event


def _error(format_: EventFormat, code: int | None) -> AttachError:
    why, fix = _WHY.get(code or 0, (os.strerror(code or 0), ""))
    return AttachError(f"{format_.probe} cannot be attached", why, fix)
