"""What a probe, its values and its result are called in bpftrace's language, by version. Pure.

Source: bpftrace's CHANGELOG.md for what came when: modules of kfunc 0.17, raw tracepoints' arguments and `args.x` 0.19,
fentry 0.20.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracescope.attach.targets.target import Shape, Target, UserPlace
from tracescope.errors import Refused
from tracescope.model import Field, ProbeKind

__all__ = ("event", "names_of", "of_process", "result", "value")

_NAME = re.compile(r"[\w:.@+/-]+", re.ASCII)
_OLD_KINDS = {"fentry": "kfunc", "fexit": "kretfunc"}


def event(target: Target, version: tuple[int, int]) -> str:
    """The probe as a script names it; raises Refused for what this version cannot attach to."""
    name = target.probe
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} cannot be written for bpftrace", "its name holds other characters than names do")
    kind, _, rest = name.partition(":")
    if kind == ProbeKind.RAWTRACEPOINT and version < (0, 19):
        raise Refused(
            f"{name} cannot be attached by this bpftrace", "it has raw tracepoints from 0.19 on", "--backend bcc"
        )
    if kind == ProbeKind.USDT and isinstance(target.place, UserPlace) and any(s.semaphore for s in target.place.sites):
        raise Refused(
            f"{name} cannot be attached by bpftrace", "it raises a semaphore in one process only", "--backend bcc"
        )
    if kind in _OLD_KINDS and version < (0, 20):
        module, _, function = rest.partition(":")
        if version >= (0, 17):
            return f"{_OLD_KINDS[kind]}:{rest}"
        if module != "vmlinux":
            raise Refused(
                f"{name} cannot be attached by this bpftrace", "it knows modules from 0.17 on", "--backend bcc"
            )
        return f"{_OLD_KINDS[kind]}:{function}"
    return name


def names_of(target: Target) -> Iterator[str]:
    """Every name that a script, or an error of bpftrace, may give a probe."""
    yield target.probe
    kind, _, rest = target.probe.partition(":")
    if kind in _OLD_KINDS:
        yield f"{_OLD_KINDS[kind]}:{rest}"
        yield f"{_OLD_KINDS[kind]}:{rest.partition(':')[2]}"


def of_process(target: Target) -> str:
    """The test that a probe in one process needs; empty for all others."""
    pid = target.place.pid if isinstance(target.place, UserPlace) else -1
    return f"pid == {pid}" if pid > 0 else ""


def value(target: Target, field: Field, dot: str) -> str:
    """A field's value; `dot` stands between `args` and a name."""
    if target.shape is Shape.RESULT or (target.kind is ProbeKind.FEXIT and field.name == "ret"):
        return "retval"
    if target.shape in (Shape.REGISTERS, Shape.OPERANDS) or target.kind is ProbeKind.RAWTRACEPOINT:
        return f"arg{field.offset // 8 - 1}"
    return f"{dot}{field.name}"


def result(end: Target, dot: str) -> str:
    """What came back at the end of a pair, as a number with its sign."""
    if end.shape is Shape.SYSCALL:
        return f"{dot}ret"
    found = next((field for field in end.format.fields if field.name == "ret"), None)
    if end.shape is Shape.RESULT and found is not None and found.size < 8 and not found.type.endswith("*"):
        return f"({'' if found.signed else 'u'}int{8 * found.size})retval"
    return "retval"
