"""A session on this machine: the one way in for the command line and the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from tracescope.attach.ask.asked import NOTHING, Asked, condition, shown
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.backend import Backend
from tracescope.attach.hang import many_kinds
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.plan import HELPER_EVENTS, NO_FILTERS, Filters, Plan, plan, return_of
from tracescope.attach.ready import check_host, check_kernel, read_formats
from tracescope.attach.record.call_memory import call_captures
from tracescope.attach.record.captures import default_captures, stack_captures
from tracescope.attach.record.layout import Capture, CaptureKind, Code
from tracescope.attach.session import Session
from tracescope.attach.targets.btf import has_enums, with_types
from tracescope.attach.targets.target import Target, as_call, tracepoint
from tracescope.attach.types import KernelTypes, kernel_types
from tracescope.host import Host
from tracescope.model import EventFormat
from tracescope.sources.btf import Btf

_MANY = 32
# A program at the return of every call costs other calls 60 ns, one at each call's own 60 ms when the session ends.
_RETURNS = 4

__all__ = ("check_host", "check_kernel", "kernel_types", "open_plan", "open_session", "read_formats")


def open_session(
    host: Host, wanted: Sequence[EventFormat | Target], filters: Filters = NO_FILTERS, *,
    asked: Asked = NOTHING, bare: bool = False, stacks: Iterable[CaptureKind] = (), buffer: int = 100_000,
    governed: bool = False, words: bool = False, transport: Transport | None = None, backend: Backend | None = None,
) -> Session:  # fmt: skip
    """A session that is ready to start; raises Refused when this host cannot run it.

    A governed one leaves events out when the reader cannot keep up, and says so. With `words` its events have words.
    Records come by `transport`, or by the best that this kernel has.
    """
    found = check_host(host)
    plan = open_plan(host, wanted, filters, asked=asked, bare=bare, stacks=stacks, transport=transport or found)
    session = Session(plan, buffer=buffer, governed=governed, backend=backend, in_words=words)
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
    transport: Transport = Transport.RING,
) -> Plan:
    """The plan with what the host says about its structures and helper events; needs no rights beyond reading.

    `types` are the host's, where they were read already; with `share` one program may serve many probes.
    """
    known = KernelTypes(host, types)
    targets = [_typed(tracepoint(one) if isinstance(one, EventFormat) else one, known) for one in wanted]
    with_stacks = stack_captures(stacks)
    if with_stacks:
        # The record of an execve waits for its arguments: it has no place for a stack.
        targets = [as_call(target) for target in targets]
    objects = known.objects
    numbers = count()
    # Many probes at once are looked at for who calls what: what is behind the arguments would cost too much.
    bare = bare or len(targets) > _MANY
    returns = [] if bare else [event for event in map(return_of, targets) if event]

    def read(target: Target) -> tuple[tuple[Capture, ...], Code | None]:
        captures = () if bare else (*default_captures(target, objects), *call_captures(target))
        if asked == NOTHING:
            return (*captures, *with_stacks), None
        scope, number = scope_of(target, known.btf), next(numbers)
        return (*captures, *shown(asked.show, scope, number), *with_stacks), condition(asked.where, scope, number)

    return plan(
        targets,
        filters=filters,
        offsets=known.offsets,
        helpers=read_formats(host, (*HELPER_EVENTS, *(returns if len(returns) <= _RETURNS else ()))),
        objects=objects,
        read=read,
        many=many_kinds(targets) if host.live and share else (),
        transport=transport,
    )


def _typed(target: Target, known: KernelTypes) -> Target:
    """With the names of its enums, where it has any: only then the types are read."""
    return with_types(target, known.btf) if has_enums(target) else target
