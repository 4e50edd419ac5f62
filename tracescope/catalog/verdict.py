"""The verdict: can this probe be attached, and if not, why, and what then.

The order of the checks is the kernel's own (kernel/kprobes.c check_kprobe_address_safe, kernel/trace/trace_kprobe.c
within_notrace_func, kernel/trace/ftrace.c). EXPORT_SYMBOL plays no part in it: kprobes take addresses from kallsyms.
"""

from __future__ import annotations

from functools import lru_cache

from tracescope.catalog.facts import Fact, HostFacts
from tracescope.model import Answer, ProbeKind, Reason, SourceState, Verdict

__all__ = ("EXPLAIN", "explain", "taken_by_patterns", "verdict")

EXPLAIN: dict[Reason, tuple[str, str]] = {
    Reason.NOT_TEXT: (
        "The symbol is data: only code can be probed",
        "watch data with a hardware breakpoint: perf record -e mem:ADDR",
    ),
    Reason.NOT_FUNCTION: ("The symbol marks a boundary of the kernel's text and is no function", "take a function"),
    Reason.PADDING: (
        "The symbol is padding before a function (`__pfx_`, `__cfi_`), which the kernel refuses to probe",
        "take the function itself: the name without the prefix",
    ),
    Reason.GENERATED_TEXT: (
        "The kernel wrote this code at run time (BPF program, ftrace trampoline, kprobe slot) and refuses probes in it",
        "for a BPF program, attach fentry to the program itself",
    ),
    Reason.INIT: (
        "The function ran at boot and its memory is freed (`__init`)",
        "trace the boot with `trace_event=` on the kernel command line",
    ),
    Reason.INLINED: (
        "The compiler put the function into its callers: BTF knows it, kallsyms has no address for it",
        "probe a caller, or a tracepoint in it",
    ),
    Reason.NO_KPROBES: ("This kernel is built without kprobes (CONFIG_KPROBES is off)", "take a tracepoint"),
    Reason.LOCKDOWN: (
        "The kernel is locked down (confidentiality): it refuses kprobes and the reading of kernel memory",
        "boot with lockdown=integrity or none",
    ),
    Reason.BLACKLISTED: (
        "The kernel forbids a kprobe here (NOKPROBE_SYMBOL, noinstr or entry code): a probe could recurse into itself",
        "probe a caller or a callee, or a tracepoint",
    ),
    Reason.NOTRACE: (
        "A C function that ftrace did not record: marked notrace, or in a file built without tracing",
        "probe a caller or a callee, or a tracepoint",
    ),
    Reason.NOT_IN_FTRACE: (
        "ftrace has no place to hook in this function: assembly, or built without tracing",
        "probe a caller or a callee, or a tracepoint",
    ),
    Reason.ALIAS: (
        "One more name of a function that ftrace lists by another one: both are the same code",
        "take either name; a pattern takes one of them",
    ),
    Reason.AMBIGUOUS: (
        "Several symbols have this name: the kernel refuses it (before 6.7 and its stable copies it took the first)",
        "probe an address: perf probe, or bpftrace's kprobe:ADDRESS",
    ),
    Reason.SUFFIXED: (
        "A copy that the compiler made (.isra, .constprop, .part, .llvm): its arguments may differ from the source's",
        "check the arguments, or take a tracepoint",
    ),
    Reason.COLD: (
        "The unlikely half of a function (.cold), not its entry; where it begins with a WARN the kernel refuses it",
        "take the function itself: the name without .cold",
    ),
    Reason.NO_BTF: (
        "BTF has no prototype of this function, so there is nothing to type its arguments by",
        "take a kprobe",
    ),
    Reason.FTRACE_FORBIDDEN: (
        "The kernel does not let us read which functions can be traced (available_filter_functions): nobody can say",
        "run as root; where root is refused too, lift the lockdown",
    ),
    Reason.FTRACE_ABSENT: (
        "The list of traceable functions (available_filter_functions) is not there, so nobody can say",
        "try it",
    ),
    Reason.BLACKLIST_UNREAD: (
        "The kprobe blacklist could not be read: the kernel may still refuse",
        "mount -t debugfs none /sys/kernel/debug",
    ),
    Reason.DANGEROUS: (
        "Allowed, but known to hang machines when probed (idle loop, RCU, BPF dispatcher)",
        "take it only on a machine that you can reboot",
    ),
    Reason.FTRACE_GROUP: (
        "The format of a record that ftrace itself writes; there is no tracepoint behind it",
        "use the tracer through /sys/kernel/tracing/current_tracer",
    ),
    Reason.DISAGREE: ("The sources disagree: one lists this probe, another does not", "see the sources below"),
    Reason.VARIADIC: (
        "The function takes a variable number of arguments: the kernel refuses fentry on it",
        "take a kprobe",
    ),
    Reason.MANY_ARGUMENTS: (
        "More than six arguments: x86 kernels before 6.6 refuse fentry here, later ones take up to twelve",
        "try it, or take a kprobe",
    ),
    Reason.TOO_MANY_ARGUMENTS: ("More than twelve arguments: the kernel refuses fentry on it", "take a kprobe"),
    Reason.BY_VALUE: (
        "An argument is a structure or union passed by value: kernels before 6.1 refuse fentry here, later ones may",
        "take a kprobe",
    ),
    Reason.LARGE_BY_VALUE: (
        "A structure is returned, or one of more than 16 bytes is passed by value: the kernel refuses fentry here",
        "take a kprobe",
    ),
}
"""Each reason's sentence, and what to do."""

_FUNCTION_KINDS = frozenset((ProbeKind.FENTRY, ProbeKind.FEXIT, ProbeKind.KPROBE, ProbeKind.KRETPROBE))
_FENTRY_KINDS = frozenset((ProbeKind.FENTRY, ProbeKind.FEXIT))

# Reasons that warn and do not decide.
_WARNINGS = frozenset((Reason.ALIAS, Reason.SUFFIXED, Reason.DANGEROUS, Reason.DISAGREE, Reason.BLACKLIST_UNREAD))
_UNKNOWNS = frozenset(
    (Reason.COLD, Reason.FTRACE_FORBIDDEN, Reason.FTRACE_ABSENT, Reason.MANY_ARGUMENTS, Reason.BY_VALUE)
)

# What a symbol is, in the order in which the kernel would refuse it.
_BY_FACT: tuple[tuple[Fact, Reason], ...] = (
    (Fact.PADDING, Reason.PADDING),
    (Fact.BOUNDARY, Reason.NOT_FUNCTION),
    (Fact.GENERATED, Reason.GENERATED_TEXT),
    (Fact.INIT, Reason.INIT),
    (Fact.NO_SYMBOL, Reason.INLINED),
)

# What the kernel finds in a prototype when fentry attaches.
_BY_PROTOTYPE: tuple[tuple[Fact, Reason], ...] = (
    (Fact.VARIADIC, Reason.VARIADIC),
    (Fact.MANY_ARGUMENTS, Reason.MANY_ARGUMENTS),
    (Fact.TOO_MANY_ARGUMENTS, Reason.TOO_MANY_ARGUMENTS),
    (Fact.LARGE_BY_VALUE, Reason.LARGE_BY_VALUE),
)


def explain(reason: Reason) -> tuple[str, str]:
    """A reason's sentence and fix."""
    return EXPLAIN[reason]


def taken_by_patterns(found: Verdict) -> bool:
    """True for what a pattern means: it may be attached, and is no function's unlikely half, of which nobody thinks."""
    return found.answer is not Answer.NO and Reason.COLD not in found.reasons


@lru_cache(maxsize=4096)
def verdict(kind: str, facts: int, host: HostFacts) -> Verdict:
    """The verdict of a probe of this kind with these facts, on such a host. A symbol is judged as a kprobe."""
    if kind == "format":
        return Verdict(Answer.NO, (Reason.FTRACE_GROUP,))
    if kind not in _FUNCTION_KINDS and kind != "symbol":
        return Verdict(Answer.YES)
    reasons = _function_reasons(kind in _FENTRY_KINDS, Fact(facts), host)
    if not _open_ends(host).issuperset(reasons):
        return Verdict(Answer.NO, reasons)
    return Verdict(Answer.UNKNOWN if _UNKNOWNS.intersection(reasons) else Answer.YES, reasons)


def _open_ends(host: HostFacts) -> frozenset[Reason]:
    """The reasons that do not make a no on this host."""
    ends = _WARNINGS | _UNKNOWNS if host.unique_names else _WARNINGS | _UNKNOWNS | {Reason.AMBIGUOUS}
    return ends - {Reason.BY_VALUE} if host.by_value is False else ends


def _function_reasons(fentry: bool, facts: Fact, host: HostFacts) -> tuple[Reason, ...]:
    reasons = [reason for fact, reason in _BY_FACT if facts & fact]
    if not facts & Fact.TEXT and not facts & Fact.NO_SYMBOL:
        reasons.insert(0, Reason.NOT_TEXT)
    if reasons:
        # No function: what follows is about functions.
        return (*reasons, Reason.NO_KPROBES) if host.kprobes is False and not fentry else tuple(reasons)
    if host.lockdown == "confidentiality":
        reasons.append(Reason.LOCKDOWN)
    reasons += _fentry_reasons(facts, host) if fentry else _kprobe_reasons(facts, host)
    if facts & Fact.SUFFIXED:
        reasons.append(Reason.SUFFIXED)
    if facts & Fact.DANGEROUS:
        reasons.append(Reason.DANGEROUS)
    if host.bpftrace is SourceState.OK and host.ftrace is SourceState.OK:
        listed = facts & (Fact.IN_BPFTRACE_FENTRY if fentry else Fact.IN_BPFTRACE)
        if bool(listed) and not facts & (Fact.IN_FTRACE | Fact.ALIAS_IN_FTRACE):
            reasons.append(Reason.DISAGREE)
    return tuple(reasons)


def _kprobe_reasons(facts: Fact, host: HostFacts) -> list[Reason]:
    reasons = [Reason.NO_KPROBES] if host.kprobes is False else []
    if facts & Fact.BLACKLISTED:
        reasons.append(Reason.BLACKLISTED)
    # The kernel looks up the name without its suffix before it refuses a function that ftrace does not know.
    if not facts & Fact.BASE_IN_FTRACE:
        reasons += _ftrace_reasons(facts, host)
    if facts & Fact.COLD:
        reasons.append(Reason.COLD)
    if facts & Fact.AMBIGUOUS:
        reasons.append(Reason.AMBIGUOUS)
    if host.blacklist not in (SourceState.OK, SourceState.WAITING, SourceState.READING) and not reasons:
        reasons.append(Reason.BLACKLIST_UNREAD)
    return reasons


def _fentry_reasons(facts: Fact, host: HostFacts) -> list[Reason]:
    reasons = _ftrace_reasons(facts, host)
    if not facts & Fact.BTF:
        reasons.append(Reason.NO_BTF)
    # kernel/bpf/btf.c btf_distill_func_proto, and arch_prepare_bpf_trampoline of each architecture.
    reasons += [reason for fact, reason in _BY_PROTOTYPE if facts & fact]
    if facts & Fact.UNION_BY_VALUE or (facts & Fact.BY_VALUE and not host.by_value):
        reasons.append(Reason.BY_VALUE)
    return reasons


def _ftrace_reasons(facts: Fact, host: HostFacts) -> list[Reason]:
    if facts & Fact.IN_FTRACE:
        return []
    if facts & Fact.ALIAS_IN_FTRACE:
        return [Reason.ALIAS]
    if host.ftrace is SourceState.OK:
        return [Reason.NOTRACE if facts & Fact.BTF else Reason.NOT_IN_FTRACE]
    return [Reason.FTRACE_FORBIDDEN if host.ftrace is SourceState.FORBIDDEN else Reason.FTRACE_ABSENT]
