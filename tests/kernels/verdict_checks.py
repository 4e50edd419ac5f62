"""Inside the guest: verdicts against what the kernel says when it is asked, and our programs against its verifier."""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import ExitStack

from checks import check
from traced import GETPPIDS, GUEST, HOST, trace

from tracescope.attach.backend import BccBackend
from tracescope.attach.hang import hang, program_types
from tracescope.attach.kernel import programs
from tracescope.attach.open import open_plan
from tracescope.attach.program import program_text
from tracescope.attach.targets.btf import function_target
from tracescope.attach.targets.target import Target
from tracescope.errors import AttachError
from tracescope.model import Answer, ProbeKind, Reason

_BY_VALUE = frozenset((Reason.BY_VALUE, Reason.LARGE_BY_VALUE))
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")


def _tried(target: Target, kind: programs.ProgramType) -> str:
    """Why it cannot be attached; empty when it can."""
    program, log = programs.load_program(kind, _NOTHING, "ts_try")
    if program < 0:
        return f"load: {os.strerror(-program)} {log[-200:]}"
    try:
        with ExitStack() as attached:
            hang(target, program, attached)
        return ""
    except AttachError as error:
        return str(error)
    finally:
        os.close(program)


def _sample(kind: str, wanted: Answer, size: int, reason: Reason | None = None) -> list[str]:
    """Names of rows with this verdict, by chance; of those with a reason, where one is asked for."""
    names = sorted(GUEST.catalog.names)
    random.Random(5).shuffle(names)
    found: list[str] = []
    for name in names:
        row = GUEST.catalog.find(f"kprobe:{name}" if kind == "kprobe" else f"{kind}:vmlinux:{name}")
        verdict = GUEST.catalog.verdict(row.kind, row.entry) if row is not None and row.kind == kind else None
        if verdict and verdict.answer is wanted and (reason is None or reason in verdict.reasons):
            found.append(name)
            if len(found) == size:
                break
    return found


def _kprobe(name: str) -> Target:
    return function_target(ProbeKind.KPROBE, name, "", GUEST.types)


@check
def kprobe_rows_with_verdict_yes_attach():
    names = _sample("kprobe", Answer.YES, 150)
    refused = {name: why for name in names if (why := _tried(_kprobe(name), programs.KPROBE))}
    assert len(names) == 150
    assert not refused, refused
    return {"tried": len(names)}


@check
def kprobe_rows_with_verdict_no_are_refused():
    names = _sample("kprobe", Answer.NO, 80)
    taken = []
    for name in names:
        if not _tried(_kprobe(name), programs.KPROBE):
            row = GUEST.catalog.find(f"kprobe:{name}")
            taken.append((name, [reason.value for reason in GUEST.catalog.verdict(row.kind, row.entry).reasons]))
    assert names
    assert not taken, taken
    return {"tried": len(names)}


@check
def every_name_of_a_function_attaches_and_gets_its_own_events():
    """ftrace lists each function by one name: the others are tried too, and all of one function in one session."""
    refused, tried = {}, Counter()
    for kind in ("kprobe", "fentry"):
        for name in _sample(kind, Answer.YES, 40, Reason.ALIAS):
            if kind == "kprobe":
                why = _tried(_kprobe(name), programs.KPROBE)
            else:
                target = function_target(ProbeKind.FENTRY, name, "", GUEST.types)
                why = _tried(target, programs.fentry(GUEST.types, name))
            tried[kind] += 1
            if why:
                refused[kind, name] = why
    assert tried["kprobe"] > 10
    assert not refused, refused
    names = [f"kprobe:__{which}_sys_getppid" for which in ("x64", "do", "ia32")]
    known = [name for name in names if GUEST.catalog.find(name)]
    assert len(known) > 1, known
    events, _ = trace(known)
    seen = Counter(event.probe for event in events)
    assert seen == dict.fromkeys(known, GETPPIDS), seen
    (once,) = GUEST.finder.targets(["kprobe:__*_sys_getppid"])
    return {**tried, "names": len(known), "pattern": once.probe}


@check
def fentry_rows_with_verdict_yes_attach():
    names = _sample("fentry", Answer.YES, 60)
    refused = {}
    for name in names:
        target = function_target(ProbeKind.FENTRY, name, "", GUEST.types)
        why = _tried(target, programs.fentry(GUEST.types, name))
        if why:
            refused[name] = why
    assert len(names) == 60
    assert not refused, refused
    return {"tried": len(names)}


@check
def fentry_verdicts_on_structures_by_value_are_the_kernels():
    """Large ones and returned ones are refused; small ones too where the verdict says so; unions are tried."""
    unusual, told = GUEST.types.prototypes(6).functions(), Counter()
    named = {name: found for name, found in unusual if found.structure or found.union or found.untraceable}
    wrong = {}
    for name in random.Random(7).sample(sorted(named), 120):
        row = GUEST.catalog.find(f"fentry:vmlinux:{name}")
        verdict = GUEST.catalog.verdict(row.kind, row.entry) if row is not None and row.kind == "fentry" else None
        if verdict is None or (verdict.answer is not Answer.YES and not _BY_VALUE.issuperset(verdict.reasons)):
            continue
        target = function_target(ProbeKind.FENTRY, name, "", GUEST.types)
        why = _tried(target, programs.fentry(GUEST.types, name))
        told[verdict.answer.value, "refused" if why else "taken"] += 1
        if verdict.answer is (Answer.YES if why else Answer.NO):
            wrong[name] = (verdict, why)
    assert not wrong, wrong
    assert sum(told.values()) > 30
    return {" ".join(key): times for key, times in told.items()}


@check
def our_programs_load_on_functions_of_every_prototype():
    """Pointers to pointers, to functions, to integers: the verifier of this kernel has no type for some of them."""
    names = _sample("fentry", Answer.YES, 3000)
    chosen: dict[str, str] = {}
    for name in names:
        for field in function_target(ProbeKind.FEXIT, name, "", GUEST.types).format.fields:
            if field.size == 8:
                chosen.setdefault(field.type, name)
    some = sorted(set(chosen.values()))[:80]
    targets = [
        function_target(kind, name, "", GUEST.types) for name in some for kind in (ProbeKind.FENTRY, ProbeKind.FEXIT)
    ]
    plan = open_plan(HOST, targets, bare=True, types=GUEST.types)
    with BccBackend().load(program_text(plan), program_types(plan)) as loaded:
        why = {plan.probes[int(name[6:])].name: str(error)[:300] for name, error in loaded.refused.items()}
        assert len(loaded.programs) + len(why) == len(targets)
    assert not why, why
    return {"types": len(chosen), "programs": len(targets)}
