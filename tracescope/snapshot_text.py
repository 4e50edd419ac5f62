"""A written snapshot in words: what is in it, and what the host did not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tracescope.snapshot import SnapshotReport

__all__ = ("snapshot_lines",)

_SHOWN = 30


def snapshot_lines(report: SnapshotReport) -> Iterator[str]:
    """File, size and parts, then the first of what was left out."""
    parts = Counter(map(_part, report.names))
    yield f"{report.file}: {report.size / 1e6:.1f} MB, {len(report.names)} files"
    yield "  " + ", ".join(f"{parts[part]} {part}" for part in sorted(parts))
    if not report.left_out:
        return
    yield f"not in it: {len(report.left_out)}"
    for error in list(report.left_out.values())[:_SHOWN]:
        yield f"  {error}"
    if len(report.left_out) > _SHOWN:
        yield f"  … and {len(report.left_out) - _SHOWN} more: tools/refused.json in the zip has all of them"


def _part(name: str) -> str:
    for start, part in (("tools/", "of tools"), ("sys/kernel/btf/", "of types (BTF)"), ("proc/", "of /proc")):
        if name.startswith(start):
            return part
    return "of events" if "/tracing/events/" in name else "others of /sys"
