"""Kprobes and uprobes as perf events, one each: the kernel's `kprobe` and `uprobe` PMUs.

Source: kernel/events/core.c, perf_kprobe_event_init() and perf_uprobe_event_init(). The PMU's number and the bits of
its options are in /sys/bus/event_source/devices/{kprobe,uprobe}/{type,format/*} (`config:0`, `config:32-63`).
"""

from __future__ import annotations

import ctypes
import errno
import re
from dataclasses import dataclass
from functools import cache

from tracescope.attach.kernel import bpf, reasons
from tracescope.attach.kernel.bpf import EVERY_PROCESS, PerfAttr
from tracescope.attach.kernel.perf_event import hang
from tracescope.errors import AttachError, Damaged, Missing
from tracescope.host import Host, LiveHost

__all__ = ("ProbePmu", "attach_kprobe", "attach_uprobe", "read_pmu")

_DEVICES = "/sys/bus/event_source/devices"
_BITS = re.compile(r"config:(\d{1,2})(?:-(\d{1,2}))?\s*")


@dataclass(frozen=True, slots=True)
class ProbePmu:
    """A PMU's number, and the first and last bit of `config` for each of its options."""

    type: int
    bits: dict[str, tuple[int, int]]

    def config(self, **options: int) -> int:
        """The `config` with these options; zeros need no bits. Raises OSError (EINVAL) for what does not fit in."""
        config = 0
        for name, value in options.items():
            first, last = self.bits.get(name, (0, -1))
            if value >> (last - first + 1):
                raise OSError(errno.EINVAL, f"the kernel's PMU has no room for {name}={value}")
            config |= value << first
        return config


def read_pmu(host: Host, name: str) -> ProbePmu:
    """The `kprobe` or `uprobe` PMU of a host; raises Missing where the kernel has none."""
    folder = f"{_DEVICES}/{name}"
    number = host.read(f"{folder}/type").strip()
    if not number.isdigit():
        raise Damaged(f"{folder}/type cannot be read", "it is no number")
    bits = {}
    for option in host.names(f"{folder}/format"):
        match = _BITS.fullmatch(host.read(f"{folder}/format/{option}").decode("ascii", "replace"))
        if match:
            bits[option] = (int(match[1]), int(match[2] or match[1]))
    return ProbePmu(int(number), bits)


@cache
def _pmu(name: str) -> ProbePmu:
    return read_pmu(LiveHost(), name)


def attach_kprobe(
    program: int, function: str | int, *, offset: int = 0, returns: bool = False, cookie: int | None = None
) -> int:
    """Run the program at a kernel function, given by name or address, `offset` bytes into it, or when it returns.

    Returns the file descriptor that undoes it; raises AttachError. A program of type KPROBE.
    """
    name = function if isinstance(function, str) else f"{function:#x}"
    probe = f"{'kretprobe' if returns else 'kprobe'}:{name}{f'+{offset}' if offset else ''}"
    text = ctypes.create_string_buffer(function.encode("ascii", "replace")) if isinstance(function, str) else None
    place = (ctypes.addressof(text), offset) if text is not None else (0, int(function) + offset)
    try:
        pmu = _pmu("kprobe")
        return _attach(pmu, program, pmu.config(retprobe=int(returns)), place, EVERY_PROCESS, cookie)
    except Missing:
        raise reasons.refused(probe, OSError(errno.ENODEV, ""), reasons.KPROBE) from None
    except OSError as error:
        raise reasons.refused(probe, error, reasons.KPROBE) from error


def attach_uprobe(
    program: int, path: str, offset: int, *, returns: bool = False, ref_ctr_offset: int = 0,
    pid: int = EVERY_PROCESS, cookie: int | None = None, probe: str = "",
) -> int:  # fmt: skip
    """Run the program wherever code at `offset` bytes of the file runs, or when the function there returns.

    The kernel counts `ref_ctr_offset`, a USDT probe's semaphore in the file, up meanwhile. With `pid` only in that
    process. Returns the file descriptor that undoes it; raises AttachError, which names `probe`.
    """
    probe = probe or f"{'uretprobe' if returns else 'uprobe'}:{path}:{offset:#x}"
    name = ctypes.create_string_buffer(path.encode("utf-8", "surrogateescape"))
    try:
        pmu = _pmu("uprobe")
        if ref_ctr_offset and "ref_ctr_offset" not in pmu.bits:
            why = "it fires only while its semaphore is counted up, and this kernel cannot do that (Linux 4.20 can)"
            raise AttachError(f"{probe} cannot be attached", why)
        config = pmu.config(retprobe=int(returns), ref_ctr_offset=ref_ctr_offset)
        return _attach(pmu, program, config, (ctypes.addressof(name), offset), pid, cookie)
    except Missing:
        raise reasons.refused(probe, OSError(errno.ENODEV, ""), reasons.UPROBE) from None
    except OSError as error:
        raise reasons.refused(probe, error, reasons.UPROBE) from error


def _attach(pmu: ProbePmu, program: int, config: int, place: tuple[int, int], pid: int, cookie: int | None) -> int:
    """Raises OSError. The program runs on every CPU, whatever the event's own CPU is."""
    event = bpf.open_event(PerfAttr(pmu.type, config, 1, config1=place[0], config2=place[1]), pid=pid, cpu=_cpu(pid))
    return hang(event, program, cookie)


def _cpu(pid: int) -> int:
    return 0 if pid == EVERY_PROCESS else -1
