"""The C text of a plan, for BCC. Pure.

Every name in the text is made here, every number is an integer of the plan: no text of the user's or the kernel's
reaches the compiler, except event names of letters, digits and `_` in comments.
"""

from __future__ import annotations

from tracescope.attach.ask.summary import SummaryPlan
from tracescope.attach.expression.c_helpers import HELPERS
from tracescope.attach.plan import Helper, Plan
from tracescope.attach.program import exec_calls
from tracescope.attach.program.cold import cold_text, returned_text
from tracescope.attach.program.ends import comment, condition_text, definitions_text
from tracescope.attach.program.filters import FOLLOW, filter_text, follow_text
from tracescope.attach.program.head import RING_BYTES, counts_text, fill_text, head_text, parent_text
from tracescope.attach.program.stream import probe_text, scratch_text
from tracescope.attach.program.summary import summary_probe_text, table_text
from tracescope.attach.record.layout import CaptureKind, PlannedProbe
from tracescope.attach.record.path import path_text
from tracescope.attach.record.stack import stack_text
from tracescope.attach.shared import groups
from tracescope.attach.targets.target import Shape
from tracescope.attach.targets.words import copy_text, load

__all__ = ("RING_BYTES", "filter_text", "load", "program_text", "summary_text")


def program_text(plan: Plan) -> str:
    """The whole program as C."""
    parts = [head_text(plan), filter_text(plan.filters), fill_text(plan.offsets)]
    if any(map(_asks, plan.probes)):
        parts.append(HELPERS)
    parts += [scratch_text(plan, exec_calls.RECORD_BYTES), cold_text(plan)]
    if any(probe.shape is Shape.EXEC for probe in plan.probes):
        parts.append(exec_calls.common_text(plan))
    if plan.objects and any(c.kind is CaptureKind.PATH for probe in plan.probes for c in probe.captures):
        parts.append(path_text(plan.objects))
    parts.extend(_probe(plan, same[0]) for same in groups(plan.probes).values())
    parts.append(returned_text(plan))
    parts.extend(_helpers(plan))
    return "".join(parts)


def summary_text(summary: SummaryPlan) -> str:
    """The whole program of a summary as C."""
    plan = summary.plan
    parts = [table_text(summary), counts_text(len(plan.probes)), filter_text(plan.filters)]
    parts += [parent_text(plan.offsets), HELPERS]
    if summary.stacked:
        parts.append(stack_text(summary.stacks, len(plan.probes)))
    parts.extend(summary_probe_text(summary, probe) for probe in plan.probes)
    parts.extend(_helpers(plan))
    return "".join(parts)


def _helpers(plan: Plan) -> list[str]:
    helpers = {helper.function: helper for helper in (*plan.before, *plan.after)}
    return [_helper(plan, helper) for helper in helpers.values()]


def _asks(probe: PlannedProbe) -> bool:
    """True when the user's expressions are in its program."""
    codes = (probe.condition, *(capture.code for capture in probe.captures))
    return any("ts_" in code.statements + code.value + code.definitions for code in codes if code is not None)


def _probe(plan: Plan, probe: PlannedProbe) -> str:
    if probe.shape is not Shape.EXEC:
        return probe_text(plan, probe)
    copy = copy_text(probe.target, probe.raw)
    text = exec_calls.probe_text(plan, probe, comment(probe.format), copy, condition_text(probe))
    return definitions_text(probe) + text


def _helper(plan: Plan, helper: Helper) -> str:
    values = {field.name: load(field) for field in helper.format.fields if field.size == 4}
    if helper.function in FOLLOW:
        return follow_text(helper.function, values)
    return exec_calls.helper_text(plan, helper.function, values)
