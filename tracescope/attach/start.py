"""A session on whichever backend is there: what this host has, and the session that was chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tracescope.attach import backend as own
from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.bcc import find_bcc
from tracescope.attach.borrowed.open import open_borrowed
from tracescope.attach.choice import AUTO, BACKENDS, Backend, Choice, choose, needs_of
from tracescope.attach.event_session import EventSession
from tracescope.attach.libbpf import backend as libbpf
from tracescope.attach.open import check_host, check_kernel, open_session
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.targets.target import Target
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host

__all__ = ("Started", "all_backends", "backend_of", "check_any", "look", "start_session")


@dataclass(frozen=True, slots=True)
class Started:
    """A session that is ready to start, and why it is on this backend."""

    session: EventSession
    choice: Choice


def start_session(
    host: Host, targets: Sequence[Target], filters: Filters = NO_FILTERS, *, asked: Asked = NOTHING,
    bare: bool = False, backend: str = AUTO, governed: bool = False, buffer: int = 100_000,
) -> Started:  # fmt: skip
    """A session on the backend of that name, or on the first that can; raises Refused."""
    if not host.live:
        check_host(host)
    choice = choose(lambda name: look(host, name), needs_of(targets, filters, asked), backend)
    if choice.backend in ("bcc", "libbpf"):
        session: EventSession = open_session(
            host, targets, filters, asked=asked, bare=bare, governed=governed, buffer=buffer,
            backend=backend_of(choice),
        )  # fmt: skip
    else:
        session = open_borrowed(choice.backend, host, targets, filters, asked=asked, bare=bare, buffer=buffer)
    return Started(session, choice)


def backend_of(choice: Choice) -> own.Backend:
    """What compiles and loads our own programs."""
    if choice.backend == "libbpf":
        return libbpf.LibbpfBackend()
    return own.BccBackend()


def look(host: Host, name: str) -> Backend:
    """What this host has of a backend. Compiles and loads nothing."""
    try:
        return Backend(name, found=_LOOKS[name](host))
    except TraceScopeError as error:
        return Backend(name, why=error.why or error.what, fix=error.fix)


def check_any(host: Host) -> None:
    """Raises Refused where not one backend could run a session of tracepoints."""
    choose(lambda name: look(host, name), needs_of(()))


def _bcc(_host: Host) -> str:
    check_kernel()
    try:
        found = find_bcc()
    except OSError as error:
        raise Refused("BCC cannot be loaded", str(error), own.INSTALL) from None
    if found is None:
        raise Refused("BCC is not installed", "Python module missing", own.INSTALL)
    return f"found at {found.origin}"


def _libbpf(_host: Host) -> str:
    check_kernel()
    missing = libbpf.missing()
    if missing is not None:
        raise missing
    return "libbpf and clang found"


def _bpftrace(host: Host) -> str:
    if os.geteuid() != 0:
        raise Refused("bpftrace cannot be used", "it refuses to run for anyone but root", "run as root")
    try:
        words = host.run("bpftrace", "--version").decode("ascii", "replace").split()
    except TraceScopeError:
        raise Refused("bpftrace cannot be used", "not installed", "apt-get install bpftrace") from None
    if not words:
        raise Refused("bpftrace cannot be used", "it prints no version", "apt-get install bpftrace")
    return f"{words[-1].removeprefix('v')} found"


def _tracefs(host: Host) -> str:
    try:
        folder = f"{host.tracefs}/instances"
    except TraceScopeError as error:
        raise Refused("tracefs cannot be used", error.why or error.what, error.fix) from None
    if not host.exists(folder):
        raise Refused("tracefs cannot be used", f"this kernel has no {folder}")
    if not os.access(folder, os.W_OK):
        raise Refused("tracefs cannot be used", f"{folder} cannot be written", "run as root")
    return f"instances in {folder}"


_LOOKS: dict[str, Callable[[Host], str]] = {
    "bcc": _bcc,
    "libbpf": _libbpf,
    "bpftrace": _bpftrace,
    "tracefs": _tracefs,
}


def all_backends(host: Host) -> Iterable[Backend]:
    """Every backend, in the order of preference."""
    return [look(host, name) for name in BACKENDS]
