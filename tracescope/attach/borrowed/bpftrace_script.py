"""The script that bpftrace runs for a session: lines of numbers with at most one text at the end of each. Pure.

A line is `R PROBE TID CPU PID PPID NS NUMBER… COMM`, then `T PROBE TID TEXT-NUMBER TEXT` for each text, `A PROBE TID
NUMBER TEXT` for each argument of an execve, `M PROBE TID` when there are more, and `E PROBE TID` where there were such
lines; `P PROBE TID CPU NS RET` is the end of a pair, `Z` that of all. So a text can never pass for anything else.
bpftrace's strings are short, and its stack is too small for two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tracescope.attach.borrowed.bpftrace_refused import Refusals
from tracescope.attach.borrowed.bpftrace_words import event, of_process, result, value
from tracescope.attach.plan import Filters, Plan
from tracescope.attach.record.layout import PlannedProbe
from tracescope.attach.targets.target import Shape
from tracescope.model import Field

__all__ = ("ARGUMENTS", "UNTIL_SIGNALS", "Reads", "reads_of", "script")

ARGUMENTS = 16
"""So many arguments of an execve are read."""
UNTIL_SIGNALS = 2
"""How many `U` lines say that everything is attached."""
_MOST_ELEMENTS = 16
_NONE: Refusals = {}
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_COMM = re.compile(r"[ !#-\[\]-~]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reads:
    """What is read of one probe: numbers as (offset in the record's words, size), texts by the field's name."""

    numbers: tuple[tuple[Field, int], ...]
    """Fields, each with the element's number or -1 for the whole."""
    texts: tuple[Field, ...]
    absent: frozenset[str]
    """The fields that bpftrace cannot give."""


def reads_of(probe: PlannedProbe, refused: Collection[str] = ()) -> Reads:
    """What a script reads of a probe; `refused` are fields that bpftrace does not take."""
    numbers: list[tuple[Field, int]] = []
    texts, absent = [], set()
    captured = {capture.name for capture in probe.captures}
    for layout in probe.fields:
        field = layout.field
        if not _NAME.fullmatch(field.name) or field.name in refused:
            absent.add(field.name)
        elif re.sub(r"\bconst\b", "", field.type).strip() == "char" and (field.location or field.array is not None):
            texts.append(field)
        elif field.array is not None and not field.location and _elements(field):
            numbers += [(field, index) for index in range(_elements(field))]
        elif field.location or field.array is not None or field.size not in (1, 2, 4, 8):
            absent.add(field.name)
        else:
            numbers.append((field, -1))
            if field.name in captured or (probe.shape is Shape.EXEC and field.name == "filename"):
                texts.append(field)
    return Reads(tuple(numbers), tuple(texts), frozenset(absent))


def _elements(field: Field) -> int:
    """How many numbers an array has; 0 for one that is not read."""
    many = int(field.array) if field.array is not None and field.array.isdecimal() else 0
    fits = 0 < many <= _MOST_ELEMENTS and field.size % many == 0 and field.size // many in (1, 2, 4, 8)
    return many if fits else 0


def script(
    plan: Plan, version: tuple[int, int], seeds: Iterable[int] = (), *, parent: bool = True, refused: Refusals = _NONE
) -> str:
    """The whole script; `seeds` are the threads below the processes that are followed. Raises Refused.

    Its one argument is the process that runs it. What is `refused` is left out.
    """
    return "\n".join(_Script(plan, version, parent, refused).lines(sorted(seeds)))


class _Script:
    def __init__(self, plan: Plan, version: tuple[int, int], parent: bool, refused: Refusals) -> None:
        self._plan = plan
        self._refused = refused
        self._version = version
        self._dot = "args." if version >= (0, 19) else "args->"
        self._delete = "delete(@tree, tid);" if version >= (0, 22) else "delete(@tree[tid]);"
        self._now = "nsecs(monotonic)" if version >= (0, 20) else "nsecs"
        self._ppid = "((struct task_struct *)curtask)->real_parent->tgid" if parent else "-1"

    def lines(self, seeds: Iterable[int]) -> Iterator[str]:
        # Attached first or last, as the version has it: when both have come, everything is attached.
        yield 'interval:ms:10 /!@first/ { @first = 1; printf("U\\n"); }'
        tree = bool(self._plan.filters.tree)
        if tree:
            yield "BEGIN { " + " ".join(f"@tree[(uint64){int(tid)}] = 1;" for tid in seeds) + " }"
            yield (
                f"tracepoint:sched:sched_process_fork /@tree[tid]/ {{ @tree[(uint64){self._dot}child_pid] = 1; }}\n"
                f"tracepoint:sched:sched_process_exec /@tree[(uint64){self._dot}old_pid]/ "
                f"{{ @tree[(uint64){self._dot}pid] = 1; }}"
            )
        for probe in self._plan.probes:
            if "" not in self._refused.get(probe.index, ()):
                yield from self._probe(probe)
        if tree:
            yield f"tracepoint:sched:sched_process_exit /@tree[tid]/ {{ {self._delete} }}"
        # Without a reader the next line ends it: nothing stays attached behind a session that was killed.
        yield 'interval:s:1 { printf("K\\n"); }'
        yield 'interval:ms:10 /!@last/ { @last = 1; printf("U\\n"); }'
        yield "END { clear(@first); clear(@last); " + ("clear(@tree); " if tree else "") + 'printf("Z\\n"); }'

    def _probe(self, probe: PlannedProbe) -> Iterator[str]:
        test = _wanted(self._plan.filters, of_process(probe.target))
        yield f"{event(probe.target, self._version)}{test} {{ {' '.join(self._body(probe))} }}"
        if probe.end is not None:
            values = f"{probe.index}, tid, cpu, {self._now}, {result(probe.end, self._dot)}"
            yield f'{event(probe.end, self._version)}{test} {{ printf("P %d %d %d %llu %lld\\n", {values}); }}'

    def _body(self, probe: PlannedProbe) -> Iterator[str]:
        reads = reads_of(probe, self._refused.get(probe.index, ()))
        values = [self._number(probe, field, index) for field, index in reads.numbers]
        head = f"{probe.index}, tid, cpu, pid, {self._ppid}, {self._now}"
        form = " ".join(["R %d %d %d %d %d %llu", *("%llu" for _ in values), "%s"])
        yield f'printf("{form}\\n", {", ".join([head, *values, "comm"])});'
        for number, field in enumerate(reads.texts):
            yield f'printf("T %d %d %d %s\\n", {probe.index}, tid, {number}, {self._text(field)});'
        if probe.shape is Shape.EXEC:
            yield self._argument(probe.index, 0)
        if reads.texts or probe.shape is Shape.EXEC:
            yield f'printf("E %d %d\\n", {probe.index}, tid);'

    def _argument(self, probe: int, number: int) -> str:
        """One argument, if there is one, and those after it: nothing is read behind the end of the list."""
        said = f"{self._dot}argv[{number}]"
        if number == ARGUMENTS:
            return f'if ({said} != 0) {{ printf("M %d %d\\n", {probe}, tid); }}'
        line = f'printf("A %d %d {number} %s\\n", {probe}, tid, str({said}));'
        return f"if ({said} != 0) {{ {line} {self._argument(probe, number + 1)} }}"

    def _number(self, probe: PlannedProbe, field: Field, index: int) -> str:
        said = value(probe.target, field, self._dot)
        return f"(uint64){said}" if index < 0 else f"(uint64){said}[{index}]"

    def _text(self, field: Field) -> str:
        said = f"{self._dot}{field.name}"
        return said if field.array is not None and not field.location else f"str({said})"


def _wanted(filters: Filters, own: str) -> str:
    tests = [[f"{name} == {int(value)}" for value in getattr(filters, name)] for name in ("pid", "tid", "uid")]
    if all(_COMM.fullmatch(name) for name in filters.comm):
        # One that bpftrace's quotes cannot hold is looked at in the records.
        tests.append([f'comm == "{name}"' for name in filters.comm])
    if filters.tree:
        tests.append(["@tree[tid]"])
    joined = [f"({' || '.join(test)})" for test in tests if test]
    joined += [own] if own else []
    joined += [f"pid != {int(pid)}" for pid in filters.but_not]
    # What bpftrace itself does to hand an event over would be one more event, without end.
    joined.append("pid != $1")
    return f" /{' && '.join(joined)}/"
