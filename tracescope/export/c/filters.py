"""The part of `wanted()` that is fixed when a tracer is written: control groups and containers. Pure."""

from __future__ import annotations

from tracescope.attach.plan import Filters

__all__ = ("cgroup_test",)


def cgroup_test(filters: Filters) -> str:
    """Statements that leave when the current thread is in none of the control groups."""
    if not filters.cgroup:
        return ""
    tests = " &&\n\t    ".join(
        f"bpf_get_current_ancestor_cgroup_id({one.level}) != {one.id}ULL" for one in filters.cgroup
    )
    return f"\tif ({tests})\n\t\treturn 0;\n"
