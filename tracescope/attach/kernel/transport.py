"""How records come from programs to this process: which way this kernel has, found by trying."""

from __future__ import annotations

import errno
import mmap
import os
from enum import StrEnum

from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.perf_ring import PerfRing
from tracescope.host import LiveHost

__all__ = ("BPF_OUTPUT", "Transport", "find_transport")

BPF_OUTPUT = bpf.PerfAttr(1, 10, 1, sample_type=1 << 10)
"""PERF_COUNT_SW_BPF_OUTPUT with PERF_SAMPLE_RAW: the event that programs write records to."""


class Transport(StrEnum):
    """What carries records."""

    RING = "BPF ring buffer"
    """One for all CPUs, in order (since Linux 5.8)."""
    PERF = "perf buffer"
    """One a CPU."""


def find_transport() -> Transport:
    """The better one of those that work; raises OSError: ENOSYS without BPF, EPERM without rights.

    A ring buffer of one page shows rights and kernel at once.
    """
    try:
        os.close(bpf.map_create(bpf.RINGBUF, 0, 0, mmap.PAGESIZE, 0, "ts_try"))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
    else:
        return Transport.RING
    os.close(bpf.map_create(bpf.PERF_EVENT_ARRAY, 4, 4, 1, 0, "ts_try"))
    PerfRing(BPF_OUTPUT, bpf.online_cpus(LiveHost())[0], 1).close()
    return Transport.PERF
