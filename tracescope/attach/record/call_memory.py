"""The memory that arguments of system calls point to: what a program copies of it, and what it means. Pure.

At entry there is what the caller passes; where entry and return are one event, also what the kernel has filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tracescope.attach.meaning import Meaning, Phase, Wanted, chosen, copies_of, key, meaning_of, tell
from tracescope.attach.meaning.words import Told
from tracescope.attach.record.captures import Plain
from tracescope.attach.record.layout import Capture, CaptureKind
from tracescope.attach.targets.target import Shape, Target
from tracescope.attach.targets.words import field_value
from tracescope.model import Field

__all__ = ("CallMeaning", "call_captures", "call_of", "meanings_of")

_ENTER = "sys_enter_"
_MASK = (1 << 64) - 1
_ANSWERS = (Phase.EXIT, Phase.FAILED)
# Where the kernel writes back to what it was given, and nobody asks for it: the time that remains, the size it knows.
_WRITTEN = frozenset((
    "capget.header", "capset.header", "clock_adjtime.utx", "perf_event_open.attr_uptr", "ppoll.tsp", "pselect6.tsp",
    "recvmmsg.timeout", "sched_setattr.uattr", "select.tvp", "sendmmsg.mmsg",
))  # fmt: skip
_AT_RETURN: dict[Phase, tuple[str, ...]] = {
    Phase.ENTER: (),
    Phase.EXIT: ("ret >= 0",),
    Phase.FAILED: ("ret < 0",),
}


def call_of(target: Target) -> str:
    """The system call whose entry this is; empty for anything else."""
    is_entry = target.shape is Shape.SYSCALL and target.format.name.startswith(_ENTER)
    return target.format.name.removeprefix(_ENTER) if is_entry else ""


# A session asks three times: for the returns, for what is read, for the programs.
@lru_cache(maxsize=256)
def call_captures(target: Target) -> tuple[Capture, ...]:
    """What has to be copied of the memory that the arguments lead to; each is named after its argument.

    What the kernel does not write to says at the return what it said at entry: it may be read again there.
    """
    call = call_of(target)
    if not call:
        return ()
    fields = {field.name: field for field in target.format.fields}
    phases = (Phase.ENTER, *_ANSWERS) if target.end else (Phase.ENTER,)
    return tuple(
        _capture(target, field, wanted, phase, fields)
        for field in target.format.fields
        for phase in phases
        for wanted in copies_of(meaning_of(call, field.name, field.type, phase))
    )


def _capture(target: Target, field: Field, wanted: Wanted, phase: Phase, fields: Mapping[str, Field]) -> Capture:
    copy, kept = wanted.copy, target.end is not None
    address = field_value(target, field, kept=kept)
    tests = [*_conditions(target, wanted, fields), *_AT_RETURN[phase]]
    value = f"({' && '.join(tests)}) ? {address} : 0" if tests else address
    kind = CaptureKind.TEXT if copy.text else CaptureKind.BYTES
    length = _length(target, wanted, fields)
    again = not kept and not _is_written(call_of(target), field)
    return Capture(field.name, kind, Plain(value), copy.cap, length, user=True, phase=str(phase), again=again)


def _is_written(call: str, field: Field) -> bool:
    """True when the kernel may have written there by the time that the call returns."""
    answered = meaning_of(call, field.name, field.type, Phase.EXIT) is not None
    return answered or f"{call}.{field.name}" in _WRITTEN


def _conditions(target: Target, wanted: Wanted, fields: Mapping[str, Field]) -> Iterator[str]:
    for condition in wanted.conditions:
        value = f"({_number(target, condition.on, fields)} & {condition.mask}ULL)"
        either = " || ".join(f"{value} == {number & _MASK}ULL" for number in condition.values)
        yield f"!({either})" if condition.negated else f"({either})"


def _length(target: Target, wanted: Wanted, fields: Mapping[str, Field]) -> Plain | None:
    """How many bytes there are; None where the copy has one size."""
    copy = wanted.copy
    if copy.text or not copy.count or copy.count_behind:
        return None
    count = f"({_number(target, copy.count, fields)} & {(1 << copy.count_bits) - 1}ULL)"
    if copy.unit == 1:
        return Plain(f"(({count} + 63) / 64 * 8)")
    return Plain(f"({count} * {copy.unit} + 7) / 8" if copy.unit % 8 else f"{count} * {copy.unit // 8}")


def _number(target: Target, name: str, fields: Mapping[str, Field]) -> str:
    """Another argument, or `ret`, the result; 0 for what this kernel's call does not have."""
    if name in fields:
        return f"(u64){field_value(target, fields[name], kept=target.end is not None)}"
    return "(u64)ret" if name == "ret" and target.end else "0ULL"


@dataclass(frozen=True, slots=True)
class CallMeaning:
    """What one argument means when the call is made, and when it has returned."""

    name: str
    enter: Meaning | None
    answers: Mapping[Phase, Meaning]
    """Of the memory that the kernel fills in when the call succeeds, or fails."""

    def told(self, raw: Mapping[str, int], copied: Mapping[Phase, bytes]) -> tuple[str, Told]:
        """The name and the words of the value; `raw` has all arguments, and `ret` when it is known."""
        value = raw[self.name]
        answered = next((phase for phase in _ANSWERS if phase in copied and self.answers.get(phase)), None)
        meaning = self.answers[answered] if answered else self.enter
        told = tell(meaning, value, copied.get(answered or Phase.ENTER), raw)
        return key(self.name, chosen(meaning, raw), told.word), told


def meanings_of(target: Target) -> tuple[CallMeaning, ...]:
    """The meaning of each argument of a system call's entry."""
    call = call_of(target)
    return tuple(
        CallMeaning(
            field.name,
            meaning_of(call, field.name, field.type),
            _answers(call, field) if target.end else {},
        )
        for field in target.format.fields
        if call and field.name != "__syscall_nr"
    )


def _answers(call: str, field: Field) -> dict[Phase, Meaning]:
    found = ((phase, meaning_of(call, field.name, field.type, phase)) for phase in _ANSWERS)
    return {phase: meaning for phase, meaning in found if meaning is not None}
