"""Hang a loaded program on a perf event: tracepoints here, by their id and without debugfs.

An event lives as long as its file descriptor, so nothing has to be undone after a crash. With a cookie, a number that
the program reads with `bpf_get_attach_cookie(ctx)`, one program can serve many probes; the kernel has them since links
came between programs and events.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from functools import cache

from tracescope.attach.kernel import bpf, programs, reasons
from tracescope.model import EventFormat

__all__ = ("attach_tracepoint", "hang", "has_cookies")

_LINK_CREATE = 28
_PERF_EVENT_LINK = 41
_SOFTWARE_DUMMY = (1, 9)
# bpf_get_attach_cookie(ctx); return 0
_READ_COOKIE = bytes.fromhex("85000000ae000000b7000000000000009500000000000000")


def attach_tracepoint(format_: EventFormat, program: int, cookie: int | None = None) -> int:
    """The file descriptor of the attachment: the program runs until it is closed. Raises AttachError."""
    try:
        event = bpf.open_event(bpf.PerfAttr(bpf.PERF_TRACEPOINT, format_.id, 1))
    except OSError as error:
        # An id that no event has: the kernel's answer is EINVAL or ENOENT, by its version.
        gone = OSError(errno.ENOENT, "") if error.errno == errno.EINVAL else error
        raise reasons.refused(format_.probe, gone, reasons.TRACEPOINT) from error
    try:
        return hang(event, program, cookie)
    except OSError as error:
        raise reasons.refused(format_.probe, error, reasons.TRACEPOINT) from error


def hang(event: int, program: int, cookie: int | None = None) -> int:
    """Run the program on every one of the event from now on, until what this returns is closed; it owns the event.

    Raises OSError: EINVAL also for a cookie where `has_cookies()` is false. The event is closed then.
    """
    try:
        if cookie is None:
            bpf.set_program(event, program)
            bpf.enable_event(event)
            return event
        link = _link(event, program, cookie)
    except OSError:
        os.close(event)
        raise
    try:
        bpf.enable_event(event)
    except OSError:
        os.close(link)
        raise
    finally:
        # The link holds it.
        os.close(event)
    return link


def _link(event: int, program: int, cookie: int) -> int:
    return bpf.bpf(_LINK_CREATE, struct.pack("=IIIIQ", program, event, _PERF_EVENT_LINK, 0, cookie))


@cache
def has_cookies() -> bool:
    """True when this kernel gives a program a cookie by the perf event it hangs on."""
    program, _ = programs.load_program(programs.PERF_EVENT, _READ_COOKIE, "ts_try")
    if program < 0:
        return False
    try:
        kind, config = _SOFTWARE_DUMMY
        with suppress(OSError):
            os.close(hang(bpf.open_event(bpf.PerfAttr(kind, config, 1)), program, 1))
            return True
        return False
    finally:
        os.close(program)
