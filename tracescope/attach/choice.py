"""Which backend runs a session: the first that is there and can do what is asked. Pure.

The order is that of what they can do: BCC and libbpf run our own programs, bpftrace a script, tracefs needs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.backend_names import AUTO, BACKENDS, OWN_PROGRAMS
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.targets.target import Target
from tracescope.errors import Refused

__all__ = ("Backend", "Choice", "Needs", "choose", "needs_of")

_KERNEL_FUNCTIONS = ("kprobe", "kretprobe", "fentry", "fexit")
_USER_FUNCTIONS = ("uprobe", "uretprobe")
_KINDS = {
    "bpftrace": ("tracepoint", "rawtracepoint", *_KERNEL_FUNCTIONS, *_USER_FUNCTIONS, "usdt"),
    "tracefs": ("tracepoint", "kprobe", "kretprobe", *_USER_FUNCTIONS),
}
"""The kinds of probe that a backend attaches to; our own programs attach to every kind."""
_CANNOT = {
    "bpftrace": {
        "counting": "counting runs a program of our own",
        "stacks": "stacks are read by a program of our own",
        "words": "the kernel's words are read from a program of our own",
        "show": "--show is read by a program of our own",
        "cgroup": "it does not know the control groups below one",
        "container": "it has no way from a task to its pid namespace",
        "monitor": "the process monitor is a program of our own",
    },
    "tracefs": {
        "counting": "the trace buffers hold single events",
        "stacks": "the trace buffers have no stacks by event",
        "words": "the kernel's words are read from a program of our own",
        "show": "its records hold the probe's own values only",
        "uid": "its records do not name the user",
        "cgroup": "its records do not name the control group",
        "container": "its records do not name the pid namespace",
        "monitor": "the process monitor is a program of our own",
    },
}


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend on this host: `found` says what there is, or `why` it cannot run, with the `fix`."""

    name: str
    found: str = ""
    why: str = ""
    fix: str = ""

    @property
    def words(self) -> str:
        """`bcc: found at …`, or `bcc: Python module missing`."""
        return f"{self.name}: {self.why or self.found}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a session needs: words of `_CANNOT`, and by name one probe of each kind that is no tracepoint."""

    features: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend, and what was said of each that was looked at."""

    backend: str
    reasons: tuple[str, ...]

    @property
    def words(self) -> str:
        """`bcc: Python module missing; bpftrace: 0.23 found; chosen: bpftrace`."""
        return "; ".join([*self.reasons, f"chosen: {self.backend}"])


def needs_of(
    targets: Iterable[Target], filters: Filters = NO_FILTERS, asked: Asked = NOTHING, *, features: Iterable[str] = ()
) -> Needs:
    """What these probes, filters and values need, and `features` beside them."""
    found = {
        "show": asked.show,
        "uid": filters.uid,
        "cgroup": filters.cgroup,
        "container": filters.namespace,
    }
    named = {name for name, value in found.items() if value}
    others = {one.kind: one.probe for one in targets if one.kind != "tracepoint"}
    return Needs(frozenset({*named, *features}), tuple(others.values()))


def choose(look: Callable[[str], Backend], needs: Needs, asked: str = AUTO) -> Choice:
    """The backend that is asked for, or the first that can; `look` says of one what this host has.

    Raises Refused: the one asked for is missing or cannot do this, or none can.
    """
    if asked != AUTO:
        backend = look(asked)
        if cannot := _cannot(asked, needs):
            raise Refused(
                f"{asked} cannot do this", cannot, f"backend {' or '.join(OWN_PROGRAMS)} (--backend, or the setting)"
            )
        if backend.why:
            raise Refused(f"{asked} cannot be used here", backend.why, backend.fix)
        return Choice(asked, (backend.words,))
    looked: list[Backend] = []
    for name in BACKENDS:
        cannot = _cannot(name, needs)
        backend = Backend(name, why=cannot) if cannot else look(name)
        looked.append(backend)
        if not backend.why:
            return Choice(name, tuple(one.words for one in looked))
    raise Refused("nothing here can attach this", _whys(looked), next((one.fix for one in looked if one.fix), ""))


def _whys(backends: Iterable[Backend]) -> str:
    """Why none of them can; those with the same reason together."""
    names: dict[str, list[str]] = {}
    for one in backends:
        names.setdefault(one.why, []).append(one.name)
    return "; ".join(f"{', '.join(same)}: {why}" for why, same in names.items())


def _cannot(name: str, needs: Needs) -> str:
    """Why a backend cannot do this; empty when it can."""
    if name in OWN_PROGRAMS:
        return ""
    for probe in needs.others:
        kind = probe.partition(":")[0]
        if kind not in _KINDS[name]:
            return f"it is not used for {kind}: {probe}"
    return next((why for feature, why in _CANNOT[name].items() if feature in needs.features), "")
