"""A session on this machine: the one way in for the command line and the screen."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TypeVar

from tracescope.attach.ask.asked import NOTHING, Asked, condition, shown
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.hang import many_kinds
from tracescope.attach.kernel import bpf
from tracescope.attach.plan import HELPER_EVENTS, NO_FILTERS, Filters, Plan, plan
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.record.captures import default_captures, stack_captures
from tracescope.attach.record.layout import Capture, CaptureKind, Code
from tracescope.attach.record.offsets import ObjectOffsets, Offsets
from tracescope.attach.session import Session
from tracescope.attach.targets.btf import with_types
from tracescope.attach.targets.target import Target, as_call, tracepoint
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources import btf, tracefs
from tracescope.sources.btf import Btf

OffsetsT = TypeVar("OffsetsT")

_MANY = 32

__all__ = ("check_host", "check_kernel", "kernel_types", "open_plan", "open_session", "read_formats")


def open_session(
    host: Host, wanted: Sequence[EventFormat | Target], filters: Filters = NO_FILTERS, *,
    asked: Asked = NOTHING, bare: bool = False, stacks: Iterable[CaptureKind] = (), buffer: int = 100_000,
    governed: bool = False, words: bool = False,
) -> Session:  # fmt: skip
    """A session that is ready to start; raises Refused when this host cannot run it.

    A governed one leaves events out when the reader cannot keep up, and says so. With `words` its events have words.
    """
    check_host(host)
    session = Session(
        open_plan(host, wanted, filters, asked=asked, bare=bare, stacks=stacks),
        buffer=buffer, governed=governed, in_words=words,
    )  # fmt: skip
    if words:
        # Not while events wait for it.
        session.prepare_words()
    return session


def open_plan(
    host: Host,
    wanted: Sequence[EventFormat | Target],
    filters: Filters = NO_FILTERS,
    *,
    asked: Asked = NOTHING,
    bare: bool = False,
    stacks: Iterable[CaptureKind] = (),
    types: Btf | None = None,
    share: bool = True,
) -> Plan:
    """The plan with what the host says about its structures and helper events; needs no rights beyond reading.

    `types` are the host's, where they were read already; with `share` one program may serve many probes.
    """
    types = types or kernel_types(host)
    targets = [with_types(tracepoint(one) if isinstance(one, EventFormat) else one, types) for one in wanted]
    with_stacks = stack_captures(stacks)
    if with_stacks:
        # The record of an execve waits for its arguments: it has no place for a stack.
        targets = [as_call(target) for target in targets]
    objects = _known(ObjectOffsets.from_btf, types)
    numbers = count()

    def read(target: Target) -> tuple[tuple[Capture, ...], Code | None]:
        # Many probes at once are looked at for who calls what: what is behind the arguments would cost too much.
        captures = () if bare or len(targets) > _MANY else (*default_captures(target, objects), *call_captures(target))
        if asked == NOTHING:
            return (*captures, *with_stacks), None
        scope, number = scope_of(target, types), next(numbers)
        return (*captures, *shown(asked.show, scope, number), *with_stacks), condition(asked.where, scope, number)

    return plan(
        targets,
        filters=filters,
        offsets=_known(Offsets.from_btf, types),
        helpers=read_formats(host, HELPER_EVENTS),
        objects=objects,
        read=read,
        many=many_kinds(targets) if host.live and share else (),
    )


def kernel_types(host: Host) -> Btf | None:
    """The kernel's own types, where the host shows them."""
    try:
        return btf.read(host)
    except TraceScopeError:
        return None


def _known(read: Callable[[Btf], OffsetsT], types: Btf | None) -> OffsetsT | None:
    """The offsets, unless this kernel's structures have other members."""
    try:
        return read(types) if types is not None else None
    except TraceScopeError:
        return None


def read_formats(host: Host, events: Iterable[str]) -> dict[str, EventFormat]:
    """The formats of those events, given as `group:name`, that the host has."""
    found = {}
    for event in events:
        group, _, name = event.partition(":")
        try:
            found[event] = tracefs.parse_format(host.read(f"{host.tracefs}/events/{group}/{name}/format"), group)
        except TraceScopeError:
            continue
    return found


def check_host(host: Host) -> None:
    """Raises Refused for a recorded host, and where BPF is not to be had."""
    if not host.live:
        raise Refused(
            "a snapshot cannot be attached", "it is a recording of another machine's sources", "leave out --host"
        )
    check_kernel()


def check_kernel() -> None:
    """Raises Refused where BPF is not to be had. Try it: a ring buffer of one page shows rights and kernel at once."""
    try:
        os.close(bpf.map_create(bpf.RINGBUF, 0, 0, mmap.PAGESIZE, 0, "ts_try"))
    except PermissionError:
        why = "the kernel refuses BPF to this process: it takes root, or the capabilities CAP_BPF and CAP_PERFMON"
        raise Refused("nothing can be attached", why, "run as root") from None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise Refused("nothing can be attached", "this kernel is built without BPF (CONFIG_BPF_SYSCALL)") from None
        raise Refused("nothing can be attached", "this kernel has no BPF ring buffer (Linux 5.8 has)") from None
