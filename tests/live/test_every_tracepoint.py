"""Every tracepoint of this kernel gets a program that the verifier passes: loaded, not only compiled."""

from __future__ import annotations

from attached import HOST

from tracescope.attach.backend import BccBackend
from tracescope.attach.open import open_plan
from tracescope.attach.program import program_text
from tracescope.attach.targets.find import find_targets
from tracescope.sources.tracefs import read_available_events

AT_ONCE = 32


def test_every_tracepoint_gets_a_program_that_loads(capsys):
    targets = find_targets(HOST, ["tracepoint:*"])
    assert {target.probe.partition(":")[2] for target in targets} == set(read_available_events(HOST))
    refused, loaded_programs, loaded_returns = {}, 0, 0
    for start in range(0, len(targets), AT_ONCE):
        plan = open_plan(HOST, targets[start : start + AT_ONCE])
        with BccBackend().load(program_text(plan)) as loaded:
            names = {probe.function: probe.name for probe in plan.probes}
            returns = {plan.again(probe): probe.name for probe in plan.probes if probe.waits}
            known = names | returns
            refused |= {known.get(function, function): str(error) for function, error in loaded.refused.items()}
            loaded_returns += sum(function in returns for function in loaded.programs)
            loaded_programs += sum(function in names for function in loaded.programs)
    with capsys.disabled():
        print(
            f"\n{loaded_programs} of {len(targets)} tracepoints: a program that loads; {loaded_returns} are read again"
        )
    assert refused == {}
    assert loaded_programs == len(targets)
    assert loaded_returns > 100
