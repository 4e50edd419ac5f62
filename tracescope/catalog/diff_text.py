"""A diff as lines of text: what survived in numbers, then every group of changes with its count and some examples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice

from tracescope.catalog.diff import Change, Diff, Part, Survival
from tracescope.model import Field, ProbeKind, Verdict

__all__ = ("diff_lines", "field_changes")

_MARKS = {Part.REMOVED: "-", Part.ADDED: "+", Part.CHANGED: "~", Part.VERDICT: "!"}
_FATES = ("unchanged", "changed", "refused", "gone")
_RETURN = {ProbeKind.KPROBE: "kprobe, kretprobe", ProbeKind.FENTRY: "fentry, fexit"}


def diff_lines(found: Diff, examples: int | None = None) -> Iterator[str]:
    """The whole diff; at most `examples` changes of each group, or every one."""
    yield from _survival_lines(found.survival)
    for kind, why in found.not_compared:
        yield f"not compared: {kind} ({why})"
    for title, changes in _groups(found):
        yield ""
        yield f"{title}: {len(changes)}"
        for change in islice(changes, examples):
            yield from _change_lines(change)
        if examples is not None and len(changes) > examples:
            yield f"  … and {len(changes) - examples} more"


def _survival_lines(survival: tuple[Survival, ...]) -> Iterator[str]:
    if not survival:
        return
    yield f"{'what could be attached before':40}{'count':>8}" + "".join(f"{fate:>16}" for fate in _FATES)
    for row in survival:
        counts = "".join(f"{_share(getattr(row, fate), row.total):>16}" for fate in _FATES)
        yield f"{f'{_RETURN.get(ProbeKind(row.kind), row.kind)} ({row.stability})':40}{row.total:>8}{counts}"


def _share(count: int, total: int) -> str:
    return f"{count} {count / total:6.1%}"


def _groups(found: Diff) -> Iterator[tuple[str, list[Change]]]:
    """Changes of one part and kind; flipped verdicts also by what they were and are, the largest group first."""
    for (part, kind), changes in groupby(found.changes, key=lambda change: (change.part, change.kind)):
        if part is not Part.VERDICT:
            yield f"{part} {kind}", list(changes)
            continue
        flips: dict[str, list[Change]] = {}
        for change in changes:
            flips.setdefault(f"{_shown(change.before)} → {_shown(change.after)}", []).append(change)
        for flip, group in sorted(flips.items(), key=lambda item: -len(item[1])):
            yield f"{part} {kind} {flip}", group


def _shown(value: object) -> str:
    if not isinstance(value, Verdict):
        return ""
    return value.answer.value + (f" ({', '.join(value.reasons)})" if value.reasons else "")


def _change_lines(change: Change) -> Iterator[str]:
    yield f"  {_MARKS[change.part]} {change.probe}" + (f" [{change.module}]" if change.module else "")
    if isinstance(change.before, tuple) and isinstance(change.after, tuple):
        yield from (f"      {text}" for text in field_changes(change.before, change.after))
    elif isinstance(change.before, str):
        yield f"      before: {change.before}"
        yield f"      after:  {change.after}"


def field_changes(before: tuple[Field, ...], after: tuple[Field, ...]) -> Iterator[str]:
    """What happened to each field: removed, added, retyped, resized, moved."""
    old, new = {field.name: field for field in before}, {field.name: field for field in after}
    yield from (f"removed {field.declaration}" for field in before if field.name not in new)
    for name, b in new.items():
        a = old.get(name)
        if a is None:
            yield f"added {b.declaration}"
            continue
        what = [
            f"retyped {a.full_type} → {b.full_type}" if a.full_type != b.full_type else "",
            f"resized {a.size} → {b.size}" if a.size != b.size else "",
            f"moved {a.offset} → {b.offset}" if a.offset != b.offset else "",
            "now signed" if b.signed > a.signed else "now unsigned" if a.signed > b.signed else "",
        ]
        yield f"{name}: {', '.join(filter(None, what))}"
