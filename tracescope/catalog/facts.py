"""What is known of one entry, as bits of one integer, and of the host as a whole.

The bits of an entry and its probe's kind decide the verdict, so a few hundred distinct verdicts serve 300,000 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from tracescope.model import SourceState

__all__ = ("Fact", "HostFacts")


class Fact(IntFlag):
    """A property of a catalog entry."""

    TEXT = 1 << 0
    PADDING = 1 << 1
    BOUNDARY = 1 << 2
    """A linker's mark in the text (`_stext`), no function."""
    INIT = 1 << 3
    GENERATED = 1 << 4
    """Code that the kernel wrote at run time: BPF programs, ftrace trampolines, kprobe slots."""
    BLACKLISTED = 1 << 5
    IN_FTRACE = 1 << 6
    AMBIGUOUS = 1 << 7
    SUFFIXED = 1 << 8
    COLD = 1 << 9
    BTF = 1 << 10
    DANGEROUS = 1 << 11
    NO_SYMBOL = 1 << 12
    """Known from BTF or ftrace alone: kallsyms has no such name."""
    EXPORTED = 1 << 13
    IN_KALLSYMS = 1 << 14
    IN_TRACEFS = 1 << 15
    IN_PERF = 1 << 16
    IN_BPFTRACE = 1 << 17
    """bpftrace lists the tracepoint, or the function as a kprobe."""
    IN_BPFTRACE_FENTRY = 1 << 18
    VARIADIC = 1 << 19
    """The prototype ends with `...`."""
    MANY_ARGUMENTS = 1 << 20
    """More parameters than x86 passes in registers (6); a structure fills as many as it is long."""
    TOO_MANY_ARGUMENTS = 1 << 21
    """More than 12: MAX_BPF_FUNC_ARGS of include/linux/bpf.h."""
    BASE_IN_FTRACE = 1 << 22
    """A copy or part of a function (`NAME.cold`) that ftrace lists as NAME."""
    BY_VALUE = 1 << 23
    """A parameter is a structure of up to 16 bytes."""
    UNION_BY_VALUE = 1 << 24
    """A parameter is a union of up to 16 bytes."""
    LARGE_BY_VALUE = 1 << 25
    """A parameter is a larger one, or a floating-point number; or one of these, of any size, is returned."""
    ALIAS_IN_FTRACE = 1 << 26
    """One more name of a function (`__x64_sys_getpid`) that ftrace lists by another one: the kernel asks by address."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What holds for every probe of one kind on this host."""

    kprobes: bool | None = None
    """None: nothing read so far tells."""
    unique_names: bool = True
    """The kernel refuses a kprobe by a name that several symbols have (trace_kprobe.c since 6.7, and stable)."""
    by_value: bool | None = None
    """Trampolines of fentry pass structures of up to 16 bytes on; None: the processor decides, or it is not known."""
    ftrace: SourceState = SourceState.WAITING
    blacklist: SourceState = SourceState.WAITING
    btf: SourceState = SourceState.WAITING
    bpftrace: SourceState = SourceState.WAITING
    lockdown: str = ""
    """The mode in force: `none`, `integrity`, `confidentiality`, or empty when the host does not say."""
