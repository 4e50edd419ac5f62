"""Why the kernel refused an attachment: the errno of each kind's system call in words, with the fix where there is one.

Source: kernel/events/core.c, kernel/trace/{trace_kprobe,trace_uprobe,bpf_trace}.c, kernel/events/uprobes.c, kernel/bpf/
{syscall,trampoline}.c. One errno means different things from one kind to the next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from tracescope.errors import AttachError

__all__ = (
    "KPROBE",
    "MULTI_KPROBE",
    "RAW_TRACEPOINT",
    "SAMPLE",
    "TRACEPOINT",
    "TRACING",
    "UPROBE",
    "Reasons",
    "refused",
)

Reasons = Mapping[int, tuple[str, str]]
"""By errno: why, and the fix."""

# The kernel's own, which no errno header has: an instruction that cannot be probed.
_ENOTSUPP = 524
_RESTART = "start TraceScope again"
_OTHERS = "stop the other tracers"

_COMMON: Reasons = {
    errno.EPERM: (
        "the kernel does not let this process open perf events",
        "run as root, or give it CAP_PERFMON and CAP_BPF",
    ),
    errno.EACCES: (
        "the kernel does not let this process trace that",
        "run as root, or give it CAP_PERFMON and CAP_BPF",
    ),
    errno.EMFILE: ("this process has too many open files", "ulimit -n 65536"),
    errno.ENFILE: ("the machine has too many open files", "sysctl fs.file-max=1000000"),
    errno.ENOMEM: ("the kernel has no memory for it", ""),
    errno.E2BIG: ("64 programs hang on this event already", _OTHERS),
    errno.EINVAL: ("the kernel takes no program on this event", ""),
}

TRACEPOINT: Reasons = {
    **_COMMON,
    errno.EACCES: ("the program reads past the end of this event's record", f"the format changed: {_RESTART}"),
    errno.ENOENT: ("no event has this id any more: its module may be unloaded", _RESTART),
    errno.EBUSY: ("another tool holds this event for itself", "stop the other tracer"),
    errno.ENODEV: ("the kernel was built without perf events for tracepoints", ""),
    errno.EOPNOTSUPP: ("the kernel was built without perf events for tracepoints", ""),
}

RAW_TRACEPOINT: Reasons = {
    **_COMMON,
    errno.EPERM: ("the kernel does not let this process use BPF", "run as root"),
    errno.ENOENT: ("no tracepoint has this name now: its module may be unloaded", _RESTART),
    errno.EINVAL: ("the program reads more arguments than this tracepoint has", _RESTART),
}

TRACING: Reasons = {
    **_COMMON,
    errno.EPERM: (
        "the kernel lets nobody change its functions' code: it is locked down, or this process is not root",
        "take a tracepoint or a kprobe",
    ),
    errno.EBUSY: ("another tracer or a live patch holds this function for itself", "take a kprobe"),
    errno.E2BIG: ("38 programs hang on this function already", _OTHERS),
    errno.ENOENT: ("the function is gone: its module was unloaded", _RESTART),
    _ENOTSUPP: (
        "the kernel cannot hook this function's entry on this architecture",
        "take a kprobe",
    ),
    errno.ERANGE: ("the function lies too far away for a direct call", "take a kprobe"),
    errno.EOPNOTSUPP: ("the kernel was built without BPF trampolines on this architecture", "take a kprobe"),
}

KPROBE: Reasons = {
    **_COMMON,
    errno.EPERM: (
        "the kernel refuses kprobes: it is locked down for confidentiality, or this process is not root",
        "run as root; boot with lockdown=integrity or none",
    ),
    errno.ENOENT: ("the kernel has no function of this name", "tracescope symbols 'NAME*' shows what it has"),
    errno.EINVAL: (
        "the kernel forbids probes there: the function is on its blacklist or marked notrace",
        "tracescope show says why, and what is better",
    ),
    errno.EADDRNOTAVAIL: (
        "several functions have this name, and the kernel does not choose",
        "take an address from tracescope symbols",
    ),
    errno.EILSEQ: ("no instruction starts there", "take an offset where an instruction starts"),
    errno.EBUSY: ("the kernel uses these bytes itself, for a jump label or a static call", "take another place"),
    errno.EOPNOTSUPP: ("the kernel cannot put a probe on this instruction", "take another place"),
    errno.ENODEV: ("this kernel has no kprobes (CONFIG_KPROBE_EVENTS is off)", "take tracepoints"),
}

MULTI_KPROBE: Reasons = {
    **KPROBE,
    errno.ESRCH: ("at least one of the functions cannot be traced by ftrace", "attach them one by one"),
    errno.ENOENT: ("at least one of the functions is not in the kernel", "attach them one by one"),
    errno.EINVAL: ("at least one of the functions cannot be probed", "attach them one by one"),
    errno.EOPNOTSUPP: ("the kernel was built without kprobe.multi (CONFIG_FPROBE)", "attach them one by one"),
    errno.E2BIG: ("these are more functions than one link takes", "choose fewer"),
}

UPROBE: Reasons = {
    **_COMMON,
    errno.ENOENT: ("the file is not there any more", ""),
    errno.EINVAL: (
        "the place is not in the file's code, or the file is none that programs run from",
        "choose a function of the program or library",
    ),
    errno.ESRCH: ("there is no such process any more", ""),
    errno.EIO: ("the file's code cannot be read", ""),
    errno.ENOEXEC: ("no instruction that can be probed starts there", "take the function's entry"),
    errno.ENOSYS: ("this kernel has no uprobes (CONFIG_UPROBE_EVENTS is off)", ""),
    errno.ENODEV: ("this kernel has no uprobes (CONFIG_UPROBE_EVENTS is off)", ""),
    _ENOTSUPP: ("the kernel cannot put a probe on this instruction", "take another place"),
    errno.EOPNOTSUPP: ("the kernel was built without uprobe.multi", "attach them one by one"),
    errno.E2BIG: ("these are more places than one link takes", "choose fewer"),
}

SAMPLE: Reasons = {
    **_COMMON,
    errno.ENOENT: ("this machine does not count this event: a virtual machine often has no counters", "take cpu-clock"),
    errno.EOPNOTSUPP: ("this machine's counter cannot interrupt, so it cannot be sampled", "take cpu-clock"),
    errno.EINVAL: (
        "the kernel does not take this event with this period or frequency",
        "sysctl kernel.perf_event_max_sample_rate shows its limit",
    ),
    errno.EBUSY: ("another tool holds the machine's counters for itself", "stop the other profiler"),
    errno.ENODEV: ("the CPU is not online, or has no such counter", ""),
    errno.ESRCH: ("there is no such process any more", ""),
    errno.ENOSPC: ("all counters of this CPU are taken", _OTHERS),
}


def refused(probe: str, error: OSError, reasons: Reasons) -> AttachError:
    """What to raise when the kernel refused to attach the probe."""
    code = error.errno or errno.EINVAL
    why, fix = reasons.get(code, (os.strerror(code), ""))
    return AttachError(f"{probe} cannot be attached", why, fix)
