"""The verdict: each reason, what decides and what only warns, and the order of the kernel's checks."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.catalog.facts import Fact, HostFacts
from tracescope.catalog.store import KIND_ORDER
from tracescope.catalog.verdict import EXPLAIN, explain, verdict
from tracescope.model import Answer, ProbeKind, Reason, SourceState, Verdict

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
OK, ABSENT, FORBIDDEN = SourceState.OK, SourceState.ABSENT, SourceState.FORBIDDEN
GOOD = HostFacts(kprobes=True, ftrace=OK, blacklist=OK, btf=OK, bpftrace=ABSENT)
WITH_BPFTRACE = dataclasses.replace(GOOD, bpftrace=OK)
LOCKED = HostFacts(kprobes=False, ftrace=FORBIDDEN, blacklist=ABSENT, btf=OK)
PLAIN = Fact.TEXT | Fact.IN_KALLSYMS | Fact.IN_FTRACE | Fact.BTF
UNTRACED = PLAIN & ~Fact.IN_FTRACE
FUNCTION_KINDS = ("kprobe", "kretprobe", "fentry", "fexit", "symbol")
EVENT_KINDS = tuple(kind for kind in KIND_ORDER if kind not in (*FUNCTION_KINDS, "format"))


def host(**facts: object) -> HostFacts:
    return dataclasses.replace(GOOD, **facts)


CASES = [
    ("kprobe", PLAIN, GOOD, YES, ()),
    ("fentry", PLAIN, GOOD, YES, ()),
    ("symbol", PLAIN, GOOD, YES, ()),
    # The symbol itself
    ("kprobe", PLAIN & ~Fact.TEXT, GOOD, NO, (Reason.NOT_TEXT,)),
    ("kprobe", PLAIN | Fact.BOUNDARY, GOOD, NO, (Reason.NOT_FUNCTION,)),
    ("kprobe", PLAIN | Fact.PADDING, GOOD, NO, (Reason.PADDING,)),
    ("kprobe", PLAIN | Fact.GENERATED, GOOD, NO, (Reason.GENERATED_TEXT,)),
    ("kprobe", PLAIN | Fact.INIT, GOOD, NO, (Reason.INIT,)),
    ("fentry", PLAIN | Fact.INIT, GOOD, NO, (Reason.INIT,)),
    ("kprobe", Fact.BTF | Fact.NO_SYMBOL, GOOD, NO, (Reason.INLINED,)),
    # The kernel's refusals
    ("kprobe", PLAIN | Fact.BLACKLISTED, GOOD, NO, (Reason.BLACKLISTED,)),
    ("fentry", PLAIN | Fact.BLACKLISTED, GOOD, YES, ()),
    ("kprobe", UNTRACED, GOOD, NO, (Reason.NOTRACE,)),
    ("kprobe", UNTRACED & ~Fact.BTF, GOOD, NO, (Reason.NOT_IN_FTRACE,)),
    ("kprobe", UNTRACED | Fact.ALIAS_IN_FTRACE, GOOD, YES, (Reason.ALIAS,)),
    ("fentry", UNTRACED | Fact.ALIAS_IN_FTRACE, GOOD, YES, (Reason.ALIAS,)),
    ("fentry", (UNTRACED | Fact.ALIAS_IN_FTRACE) & ~Fact.BTF, GOOD, NO, (Reason.ALIAS, Reason.NO_BTF)),
    ("fentry", PLAIN & ~Fact.BTF, GOOD, NO, (Reason.NO_BTF,)),
    ("kprobe", PLAIN & ~Fact.BTF, GOOD, YES, ()),
    ("kprobe", PLAIN | Fact.AMBIGUOUS, GOOD, NO, (Reason.AMBIGUOUS,)),
    ("kprobe", PLAIN | Fact.AMBIGUOUS, host(unique_names=False), YES, (Reason.AMBIGUOUS,)),
    ("fentry", PLAIN | Fact.AMBIGUOUS, GOOD, YES, ()),
    ("kprobe", UNTRACED | Fact.SUFFIXED, GOOD, NO, (Reason.NOTRACE, Reason.SUFFIXED)),
    ("fentry", UNTRACED | Fact.SUFFIXED | Fact.BASE_IN_FTRACE, GOOD, NO, (Reason.NOTRACE, Reason.SUFFIXED)),
    ("fentry", PLAIN | Fact.VARIADIC, GOOD, NO, (Reason.VARIADIC,)),
    ("kprobe", PLAIN | Fact.VARIADIC, GOOD, YES, ()),
    ("fexit", PLAIN | Fact.TOO_MANY_ARGUMENTS, GOOD, NO, (Reason.TOO_MANY_ARGUMENTS,)),
    ("fentry", PLAIN | Fact.LARGE_BY_VALUE, host(by_value=True), NO, (Reason.LARGE_BY_VALUE,)),
    ("kprobe", PLAIN | Fact.LARGE_BY_VALUE | Fact.BY_VALUE, host(by_value=False), YES, ()),
    ("fexit", PLAIN | Fact.BY_VALUE, host(by_value=False), NO, (Reason.BY_VALUE,)),
    ("fexit", PLAIN | Fact.UNION_BY_VALUE, host(by_value=False), NO, (Reason.BY_VALUE,)),
    ("fentry", PLAIN | Fact.BY_VALUE, host(by_value=True), YES, ()),
    # The host
    ("kprobe", PLAIN, host(kprobes=False), NO, (Reason.NO_KPROBES,)),
    ("fentry", PLAIN, host(kprobes=False), YES, ()),
    ("kprobe", PLAIN | Fact.PADDING, host(kprobes=False), NO, (Reason.PADDING, Reason.NO_KPROBES)),
    ("kprobe", PLAIN, host(lockdown="confidentiality"), NO, (Reason.LOCKDOWN,)),
    ("fentry", PLAIN, host(lockdown="confidentiality"), NO, (Reason.LOCKDOWN,)),
    ("kprobe", PLAIN, host(lockdown="integrity"), YES, ()),
    # Nobody can say
    ("kprobe", UNTRACED, host(ftrace=FORBIDDEN), UNKNOWN, (Reason.FTRACE_FORBIDDEN,)),
    ("fentry", UNTRACED, host(ftrace=ABSENT), UNKNOWN, (Reason.FTRACE_ABSENT,)),
    ("fentry", PLAIN | Fact.MANY_ARGUMENTS, GOOD, UNKNOWN, (Reason.MANY_ARGUMENTS,)),
    ("fentry", PLAIN | Fact.BY_VALUE, GOOD, UNKNOWN, (Reason.BY_VALUE,)),
    ("fentry", PLAIN | Fact.UNION_BY_VALUE, host(by_value=True), UNKNOWN, (Reason.BY_VALUE,)),
    ("kprobe", PLAIN | Fact.SUFFIXED | Fact.COLD, GOOD, UNKNOWN, (Reason.COLD, Reason.SUFFIXED)),
    ("kprobe", UNTRACED, LOCKED, NO, (Reason.NO_KPROBES, Reason.FTRACE_FORBIDDEN)),
    # Warnings
    ("kprobe", PLAIN | Fact.SUFFIXED, GOOD, YES, (Reason.SUFFIXED,)),
    ("kprobe", UNTRACED | Fact.SUFFIXED | Fact.BASE_IN_FTRACE, GOOD, YES, (Reason.SUFFIXED,)),
    ("kprobe", PLAIN | Fact.DANGEROUS, GOOD, YES, (Reason.DANGEROUS,)),
    ("kprobe", PLAIN, host(blacklist=FORBIDDEN), YES, (Reason.BLACKLIST_UNREAD,)),
    ("kprobe", PLAIN, host(blacklist=SourceState.WAITING), YES, ()),
    ("fentry", PLAIN, host(blacklist=FORBIDDEN), YES, ()),
    ("kprobe", UNTRACED | Fact.IN_BPFTRACE, WITH_BPFTRACE, NO, (Reason.NOTRACE, Reason.DISAGREE)),
    ("fentry", UNTRACED | Fact.IN_BPFTRACE_FENTRY, WITH_BPFTRACE, NO, (Reason.NOTRACE, Reason.DISAGREE)),
    ("fentry", UNTRACED | Fact.IN_BPFTRACE, WITH_BPFTRACE, NO, (Reason.NOTRACE,)),
    ("kprobe", PLAIN | Fact.IN_BPFTRACE, WITH_BPFTRACE, YES, ()),
    ("kprobe", UNTRACED | Fact.ALIAS_IN_FTRACE | Fact.IN_BPFTRACE, WITH_BPFTRACE, YES, (Reason.ALIAS,)),
    # In the kernel's order
    (
        "kprobe",
        UNTRACED | Fact.BLACKLISTED | Fact.COLD | Fact.AMBIGUOUS | Fact.SUFFIXED,
        host(kprobes=False, lockdown="confidentiality"),
        NO,
        (
            Reason.LOCKDOWN,
            Reason.NO_KPROBES,
            Reason.BLACKLISTED,
            Reason.NOTRACE,
            Reason.COLD,
            Reason.AMBIGUOUS,
            Reason.SUFFIXED,
        ),
    ),
    ("format", Fact.IN_TRACEFS, GOOD, NO, (Reason.FTRACE_GROUP,)),
]


@pytest.mark.parametrize(("kind", "facts", "on", "answer", "reasons"), CASES)
def test_these_facts_give_this_verdict(kind: str, facts: Fact, on: HostFacts, answer: Answer, reasons) -> None:
    assert verdict(kind, int(facts), on) == Verdict(answer, reasons)


@pytest.mark.parametrize("kind", EVENT_KINDS)
@pytest.mark.parametrize("on", [GOOD, LOCKED], ids=["good", "locked"])
def test_an_event_that_is_there_can_be_attached(kind: str, on: HostFacts) -> None:
    assert verdict(kind, int(Fact.IN_TRACEFS), on) == Verdict(YES)


def test_every_reason_is_explained_and_nothing_else_is() -> None:
    assert set(EXPLAIN) == set(Reason)
    for reason in Reason:
        sentence, fix = explain(reason)
        assert sentence
        assert fix
        assert not sentence.endswith(".")
        assert not fix.endswith(".")


def test_every_reason_is_given_by_a_case() -> None:
    assert {reason for *_, reasons in CASES for reason in reasons} == set(Reason)


HOSTS = st.builds(
    HostFacts,
    kprobes=st.sampled_from([None, True, False]),
    unique_names=st.booleans(),
    by_value=st.sampled_from([None, True, False]),
    ftrace=st.sampled_from(SourceState),
    blacklist=st.sampled_from(SourceState),
    bpftrace=st.sampled_from(SourceState),
    lockdown=st.sampled_from(["", "none", "integrity", "confidentiality"]),
)
FACTS = st.sets(st.sampled_from(list(Fact))).map(lambda facts: int(sum(facts)))


@given(st.sampled_from(KIND_ORDER), FACTS, HOSTS)
def test_what_is_not_yes_has_a_reason_and_none_is_given_twice(kind: str, facts: int, on: HostFacts) -> None:
    found = verdict(kind, facts, on)
    assert found.reasons or found.answer is YES
    assert len(set(found.reasons)) == len(found.reasons)


@given(FACTS, HOSTS)
def test_being_exported_does_not_decide(facts: int, on: HostFacts) -> None:
    exported = int(Fact.EXPORTED)
    assert verdict("kprobe", facts | exported, on) == verdict("kprobe", facts & ~exported, on)


@given(FACTS, HOSTS)
def test_entry_and_return_have_the_same_verdict(facts: int, on: HostFacts) -> None:
    assert verdict(ProbeKind.KPROBE, facts, on) == verdict(ProbeKind.KRETPROBE, facts, on)
    assert verdict(ProbeKind.FENTRY, facts, on) == verdict(ProbeKind.FEXIT, facts, on)
