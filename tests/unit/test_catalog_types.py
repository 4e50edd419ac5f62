"""Search by C type: `arg:`, `returns:` and `field:`."""

from __future__ import annotations

import re

import pytest

from tracescope.catalog.listed import arguments, signature_of
from tracescope.catalog.store import Catalog

QUALIFIERS = re.compile(r"\b(const|volatile|struct|union|enum)\b|[\s*]")


def names(catalog: Catalog, query: str) -> set[str]:
    return {row.name for row in catalog.view(query)}


@pytest.mark.parametrize("type_name", ["sock", "linux_binprm", "gfp_t"])
def test_arg_finds_the_functions_that_take_the_type(catalog12, type_name: str) -> None:
    found = names(catalog12, f"kind:fentry module:vmlinux arg:{type_name}")
    takers = set()
    for row in catalog12.view("kind:fentry module:vmlinux"):
        signature = signature_of(catalog12, row)
        if signature and any(QUALIFIERS.sub("", p.type) == type_name for p in signature.parameters):
            takers.add(row.name)
    assert len(takers) > 10
    assert takers <= found
    for row in catalog12.view(f"kind:fentry module:vmlinux arg:{type_name}"):
        # The rest takes it under another name: a typedef or a pointer to a pointer.
        signature = signature_of(catalog12, row)
        assert signature is not None
        assert row.name in takers or not any(QUALIFIERS.sub("", p.type) == type_name for p in signature.parameters)


def test_returns_finds_the_functions_that_return_the_type(catalog12) -> None:
    rows = list(catalog12.view("kind:fentry returns:sk_buff"))
    assert len(rows) > 50
    assert all("sk_buff" in (arguments(catalog12, row)[1] or "") for row in rows)


def test_arg_finds_the_tracepoints_that_carry_the_type(catalog12) -> None:
    found = names(catalog12, "kind:tracepoint arg:pid_t")
    carriers = {
        event.name
        for event in catalog12.knowledge.formats.values()
        if event.group != "ftrace" and any(re.search(r"\bpid_t\b", field.type) for field in event.fields)
    }
    assert found == carriers
    assert "sched_process_exec" in found


def test_field_finds_the_events_with_a_field_of_the_name(catalog12) -> None:
    found = {row.probe for row in catalog12.view("field:filename")}
    assert "tracepoint:sched:sched_process_exec" in found
    assert all("filename" in [p.name for p in arguments(catalog12, catalog12.find(probe))[0]] for probe in found)


def test_the_case_of_a_type_counts(catalog12) -> None:
    assert names(catalog12, "kind:fentry arg:Qdisc")
    assert names(catalog12, "kind:fentry arg:qdisc") == set()


def test_excluding_a_type_leaves_the_others(catalog12) -> None:
    with_it, without = names(catalog12, "kind:fentry tcp_ arg:sock"), names(catalog12, "kind:fentry tcp_ -arg:sock")
    assert with_it
    assert without
    assert with_it | without == names(catalog12, "kind:fentry tcp_")


@pytest.mark.parametrize(
    "query", ["arg:none_such", "returns:none_such", "field:none_such", "arg:[", "returns:*", "field:\x1b"]
)
def test_a_type_that_nobody_has_finds_nothing(catalog12, query: str) -> None:
    assert len(catalog12.view(query)) == 0
