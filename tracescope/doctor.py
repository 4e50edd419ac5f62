"""What works on this host, what does not, why, and the fix. Reads; changes nothing but a mount of tracefs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.doctor_programs import find_programs
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.model import SourceState

__all__ = ("Check", "Health", "examine")

# include/uapi/linux/capability.h
_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

_GIVES = {
    "tracefs": "tracepoints and their formats",
    "kallsyms": "the kernel's symbols",
    "ftrace": "which functions can be traced",
    "blacklist": "which functions refuse kprobes",
    "btf": "prototypes and struct layouts, and the offsets that programs need",
    "perf": "performance counters and software events",
    "bpftrace": "a second opinion on what can be attached",
}


class Health(StrEnum):
    """How a check came out."""

    OK = "ok"
    LIMITED = "limited"
    """Something is missing; the rest works."""
    BROKEN = "broken"
    """Nothing can be attached."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `what` is a sentence, `why` and `fix` are empty when it is well."""

    name: str
    health: Health
    what: str
    why: str = ""
    fix: str = ""


def examine(host: Host) -> Iterator[Check]:
    """Look at a host's sources and, on a live host, at what attaching needs."""
    catalog = read_sources(host, ALL_SOURCES)
    for note in host.notes:
        yield Check("host", Health.OK, note)
    yield from _sources(catalog)
    yield from _kernel(host, catalog)
    if not host.live:
        yield Check("attach", Health.LIMITED, "a snapshot can be read, not attached", "it is a recording")
        return
    yield _rights()
    yield _bpf()
    yield from _backends(host)
    yield from _programs()
    yield from _leftovers(host)


def _programs() -> Iterator[Check]:
    for what, why, fix in find_programs():
        yield Check("programs", Health.LIMITED if why else Health.OK, what, why, fix)


def _sources(catalog: Catalog) -> Iterator[Check]:
    for name, report in catalog.knowledge.reports.items():
        if report.state is SourceState.OK:
            said = f"{report.count:,} rows in {report.seconds:.2f} s: {_GIVES[name]}"
            yield Check(name, Health.OK, f"{said} ({report.why})" if report.why else said)
        else:
            lost = f"{report.state.value}: without it, nobody knows {_GIVES[name]}"
            yield Check(name, Health.LIMITED, lost, report.why, report.fix)


def _kernel(host: Host, catalog: Catalog) -> Iterator[Check]:
    facts = catalog.knowledge.host
    if facts.kprobes is False:
        yield Check(
            "kprobes", Health.LIMITED, "this kernel has no kprobes", "CONFIG_KPROBES is off", "take tracepoints"
        )
    elif facts.kprobes:
        yield Check("kprobes", Health.OK, "this kernel has kprobes")
    if facts.lockdown in ("integrity", "confidentiality"):
        closed = "kprobes, kernel memory and tracefs" if facts.lockdown == "confidentiality" else "debugfs"
        yield Check(
            "lockdown",
            Health.LIMITED,
            f"lockdown is {facts.lockdown}",
            f"it closes {closed}",
            "boot with lockdown=none",
        )
    elif facts.lockdown:
        yield Check("lockdown", Health.OK, f"lockdown is {facts.lockdown}")
    elif facts.ftrace is SourceState.FORBIDDEN and (not host.live or os.geteuid() == 0):
        why = "root is refused files that root may read, and /sys/kernel/security is not mounted to ask"
        yield Check(
            "lockdown",
            Health.LIMITED,
            "the kernel is locked down, it seems",
            why,
            "mount -t securityfs none /sys/kernel/security",
        )


def _rights() -> Check:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            line = next(text for text in status if text.startswith("CapEff:"))
        mask = int(line.split()[1], 16)
    except (OSError, StopIteration, ValueError, IndexError):
        mask = 0
    have = {name for name, bit in _CAPABILITIES.items() if mask >> bit & 1}
    if "CAP_SYS_ADMIN" in have or {"CAP_BPF", "CAP_PERFMON"} <= have:
        return Check("rights", Health.OK, f"this process may attach ({', '.join(sorted(have))})")
    why = "neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON"
    return Check("rights", Health.BROKEN, "this process may not attach", why, "run as root")


def _bpf() -> Check:
    from tracescope.attach.kernel.transport import Transport, find_transport

    try:
        transport = find_transport()
    except OSError as error:
        why = error.strerror or str(error)
        return Check("bpf", Health.BROKEN, "nothing can carry events from BPF programs", why, "run as root")
    if transport is Transport.PERF:
        why = "this kernel has no BPF ring buffer (Linux 5.8 has): every CPU has a buffer of its own"
        return Check("bpf", Health.OK, f"BPF programs work; events come through the {transport} ({why})")
    return Check("bpf", Health.OK, f"BPF programs work; events come through the {transport}")


def _backends(host: Host) -> Iterator[Check]:
    """Each backend, and which one a session of tracepoints would take."""
    from tracescope.attach.backend_names import OWN_PROGRAMS
    from tracescope.attach.choice import choose, needs_of
    from tracescope.attach.libbpf.library import missing_library
    from tracescope.attach.start import all_backends

    found = {backend.name: backend for backend in all_backends(host)}
    for name, backend in found.items():
        # bpftrace and tracefs are sources too.
        check = name if name in OWN_PROGRAMS else f"{name}-backend"
        if backend.why:
            # Tracepoints work on any of them: one that is missing is no harm by itself.
            why = backend.why
            if name == "libbpf" and missing_library() is None:
                why += "; the process monitor runs all the same: it is in the package, compiled"
            yield Check(check, Health.LIMITED, f"{name} cannot be used", why, backend.fix)
        else:
            yield Check(check, Health.OK, f"{name}: {backend.found}")
    try:
        choice = choose(found.__getitem__, needs_of(()))
    except TraceScopeError as error:
        yield Check("backend", Health.BROKEN, error.what, error.why, error.fix)
        return
    if choice.backend in OWN_PROGRAMS:
        yield Check("backend", Health.OK, choice.words)
    else:
        why = "everything but single events of tracepoints takes programs of our own"
        yield Check("backend", Health.LIMITED, choice.words, why, found[OWN_PROGRAMS[0]].fix)


def _leftovers(host: Host) -> Iterator[Check]:
    from tracescope.attach.borrowed.tracefs_functions import left_events
    from tracescope.attach.tracefs.instance import leftovers

    left = [*leftovers(host), *left_events(host)]
    if left:
        paths = ", ".join(leftover.path for leftover in left)
        why = "a session on tracefs was killed"
        yield Check(
            "instances", Health.LIMITED, f"left behind: {paths}", why, "the next session on tracefs removes them"
        )
