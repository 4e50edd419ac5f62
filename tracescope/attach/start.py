"""A session on whichever backend is there: what this host has, and the session that was chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from tracescope.attach import backend as own
from tracescope.attach.ask.asked import NOTHING, Asked
from tracescope.attach.backend_names import AUTO, BACKENDS, OWN_PROGRAMS
from tracescope.attach.bcc import find_bcc
from tracescope.attach.borrowed.open import open_borrowed
from tracescope.attach.borrowed.session import BorrowedSession
from tracescope.attach.choice import Backend, Needs, choose, needs_of
from tracescope.attach.event_session import EventSession
from tracescope.attach.libbpf import backend as libbpf
from tracescope.attach.open import check_host, check_kernel, open_session
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.attach.session import Session
from tracescope.attach.targets.target import Target
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host

_CALLS = "tracescope attach 'tracepoint:syscalls:sys_*_execve*'"

__all__ = ("all_backends", "check_any", "look", "own_backend", "start_session")


def start_session(
    host: Host, targets: Sequence[Target], filters: Filters = NO_FILTERS, *, asked: Asked = NOTHING,
    bare: bool = False, backend: str = AUTO, governed: bool = False, words: bool = False, buffer: int = 100_000,
) -> EventSession:  # fmt: skip
    """A session on the backend of that name, or on the first that can; raises Refused."""
    if not host.live:
        check_host(host)
    needs = needs_of(targets, filters, asked, features=("words",) if words else ())
    choice = choose(lambda name: look(host, name), needs, backend)
    if choice.backend in OWN_PROGRAMS:
        session: Session | BorrowedSession = open_session(
            host, targets, filters, asked=asked, bare=bare, governed=governed, words=words, buffer=buffer,
            backend=_own(choice.backend),
        )  # fmt: skip
    else:
        session = open_borrowed(choice.backend, host, targets, filters, asked=asked, bare=bare, buffer=buffer)
    session.chosen = choice.words
    return session


def own_backend(host: Host, feature: str, backend: str = AUTO) -> own.Backend | None:
    """What loads our own programs, for a session that needs one: `counting`, `monitor`. None: nothing was asked for.

    Raises Refused.
    """
    if feature == "monitor":
        return _monitor_backend(host, backend)
    if backend == AUTO:
        # The first that is there; without one the session itself says what is missing.
        found = next((one for one in OWN_PROGRAMS if not look(host, one).why), None)
        return None if found is None else _own(found)
    return _own(choose(lambda name: look(host, name), Needs(frozenset({feature})), backend).backend)


def _monitor_backend(host: Host, backend: str) -> own.Backend | None:
    """The process monitor is in the package, compiled: libbpf's library is enough. None: BCC where that fails."""

    def found(name: str) -> Backend:
        shipped = name == "libbpf" and libbpf.missing_library() is None
        return Backend(name, found="the library found") if shipped else look(host, name)

    if backend != AUTO:
        return _own(choose(found, Needs(frozenset({"monitor"})), backend).backend)
    if not host.live:
        return None
    check_kernel()
    there = [one for one in OWN_PROGRAMS if not found(one).why]
    if not there:
        why = "; ".join(found(one).words for one in OWN_PROGRAMS)
        raise Refused(
            "the process monitor cannot run here", why, f"{libbpf.INSTALL}; until then {_CALLS} shows the calls"
        )
    return None if "bcc" in there else _own("libbpf")


def _own(name: str) -> own.Backend:
    if name == "libbpf":
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
        raise Refused("tracefs cannot be used", error.why or error.what, error.fix or "mount tracefs") from None
    if not host.exists(folder):
        raise Refused("tracefs cannot be used", f"this kernel has no {folder}", "--backend bcc or bpftrace")
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
