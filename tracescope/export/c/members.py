"""The members of the kernel's structs that a tracer's expressions read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracescope.attach.ask.keys import parse_keys, parse_linear
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.expression.chain import Offset
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.parse import parse, parse_list
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import Typed, reads
from tracescope.export.tracer import Tracer

__all__ = ("asked", "members")


def members(tracer: Tracer) -> set[tuple[str, str]]:
    """They, as (`struct task_struct`, `mm`); raises UsageError."""
    found = set()
    for target in tracer.targets:
        for typed in asked(tracer, scope_of(target, tracer.btf)):
            for located in reads(typed):
                for step in located.steps:
                    if isinstance(step, Offset):
                        found |= {(struct, member) for struct, member, _ in step.members}
    return found


def asked(tracer: Tracer, scope: Scope) -> Iterator[Typed]:
    """Every expression of the user's, checked; raises UsageError."""
    if tracer.where.strip():
        yield check_condition(parse(tracer.where), scope)
    yield from (check_value(one, scope) for text in tracer.show for one in parse_list(text))
    yield from (check_condition(parse(text), scope) for text in (tracer.hist, tracer.sum) if text)
    if tracer.lhist:
        yield check_condition(parse_linear(tracer.lhist)[0], scope)
    keys = parse_keys(tracer.count_by)
    yield from (check_value(key, scope) for key in keys if not isinstance(key, KeyKind))
