"""A session on this machine: the one way in for the command line and the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from itertools import count
from typing import TypeVar

from tracescope.attach.ask.asked import NOTHING, Asked, condition, shown
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.hang import many_kinds
from tracescope.attach.plan import HELPER_EVENTS, NO_FILTERS, Filters, Plan, plan
from tracescope.attach.ready import check_host, check_kernel, read_formats
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.record.captures import default_captures, stack_captures
from tracescope.attach.record.kept import kept_offsets
from tracescope.attach.record.layout import Capture, CaptureKind, Code
from tracescope.attach.record.offsets import ObjectOffsets, Offsets
from tracescope.attach.session import Session
from tracescope.attach.targets.btf import needs_types, with_types
from tracescope.attach.targets.target import Target, as_call, tracepoint
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources import btf
from tracescope.sources.btf import Btf

OffsetsT = TypeVar("OffsetsT", Offsets, ObjectOffsets)

_MANY = 32

__all__ = ("check_host", "check_kernel", "kernel_types", "open_plan", "open_session", "read_formats")


def open_session(
    host: Host, wanted: Sequence[EventFormat | Target], filters: Filters = NO_FILTERS, *,
    asked: Asked = NOTHING, bare: bool = False, stacks: Iterable[CaptureKind] = (), buffer: int = 100_000,
    governed: bool = False,
) -> Session:  # fmt: skip
    """A session that is ready to start; raises Refused when this host cannot run it.

    A governed one leaves events out when the reader cannot keep up, and says so.
    """
    check_host(host)
    return Session(
        open_plan(host, wanted, filters, asked=asked, bare=bare, stacks=stacks), buffer=buffer, governed=governed
    )


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
    targets = [tracepoint(one) if isinstance(one, EventFormat) else one for one in wanted]
    if types is None and (asked != NOTHING or any(map(needs_types, targets))):
        types = kernel_types(host)
    targets = [with_types(target, types) for target in targets]
    with_stacks = stack_captures(stacks)
    if with_stacks:
        # The record of an execve waits for its arguments: it has no place for a stack.
        targets = [as_call(target) for target in targets]
    objects = _known(ObjectOffsets, host, types)
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
        offsets=_known(Offsets, host, types),
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


def _known(kind: type[OffsetsT], host: Host, types: Btf | None) -> OffsetsT | None:
    """The offsets, unless this kernel's structures have other members, or it shows none."""
    names = [field.name for field in fields(kind)]

    def read() -> tuple[int, ...]:
        return astuple(kind.from_btf(types or btf.read(host)))

    try:
        return kind(*read()) if types else kind(**kept_offsets(host, kind.__name__, names, read))
    except TraceScopeError:
        return None
