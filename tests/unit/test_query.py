"""The query language: what a filter line means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.catalog.query import FILTERS, Query, Term, matcher, parse_query, toggle

WORDS = st.text(st.sampled_from("abz_.:*?[]!-^\\ \t\nTé\x1b\udcff"), max_size=12)
KEYS = st.sampled_from(FILTERS)
VALUES = st.text(st.sampled_from("abZ_,*"), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("tcp SEND", (Term("tcp"), Term("send"))),
        ("-migrate", (Term("migrate", exclude=True),)),
        ("-", (Term("-"),)),
        ("--x", (Term("-x", exclude=True),)),
        ("kind:Tracepoint", (Term("tracepoint", "kind"),)),
        ("KIND:tracepoint", (Term("tracepoint", "kind"),)),
        ("type:T", (Term("T", "type"),)),
        ("arg:Qdisc", (Term("Qdisc", "arg"),)),
        ("-module:fuse", (Term("fuse", "module", exclude=True),)),
        ("kind:", ()),
        ("tracepoint:sched:*", (Term("tracepoint:sched:*", "probe"),)),
        ("symbol:vfs_read", (Term("symbol:vfs_read", "probe"),)),
        ("sched:sched_switch", (Term("sched:sched_switch"),)),
        ("unknown:x", (Term("unknown:x"),)),
    ],
)
def test_a_filter_line_has_these_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert parse_query(text) == Query(terms)


@given(st.text())
def test_any_text_is_a_query_and_its_terms_match_any_text(text: str) -> None:
    for term in parse_query(text).terms:
        assert matcher(term)(text) in (True, False)


@given(st.lists(WORDS))
def test_the_order_of_words_does_not_change_the_terms(words: list[str]) -> None:
    assert set(parse_query(" ".join(words)).terms) == set(parse_query(" ".join(reversed(words))).terms)


@given(WORDS, WORDS)
def test_a_query_that_says_more_narrows_the_one_that_says_less(one: str, other: str) -> None:
    assert parse_query(f"{one} {other}").narrows(parse_query(one))
    assert parse_query(f"{one} {other}").narrows(parse_query(other))


@pytest.mark.parametrize(
    ("mine", "theirs", "narrows"),
    [
        ("tcp_send", "tcp", True),
        ("tcp", "tcp_send", False),
        ("-tcp_send", "-tcp", False),  # excludes less
        ("tcp*", "tcp", False),  # anchored, but judged by its text
        ("kind:kprobe", "kind:kprobe", True),
        ("kind:kprobe", "kind:fentry", False),
        ("x", "", True),
    ],
)
def test_narrowing_is_claimed_only_when_it_is_sure(mine: str, theirs: str, narrows: bool) -> None:
    assert parse_query(mine).narrows(parse_query(theirs)) is narrows


@pytest.mark.parametrize(
    ("term", "text", "matches"),
    [
        ("send", "net:net_dev_send", True),
        ("sys_enter_*at", "syscalls:sys_enter_openat", True),
        ("sys_enter_*at", "syscalls:sys_enter_openat2", False),
        ("*read*", "fuse:fuse_readdir", True),
        ("vfs_?ead", "vfs_read", True),
        ("vfs_[rw]*", "vfs_write", True),
        ("vfs_[!r]*", "vfs_read", False),
        ("[", "a[b", False),  # a glob without its end stands for itself, as a whole
        ("[", "[", True),
    ],
)
def test_a_word_is_found_anywhere_and_a_glob_is_the_whole_name(term: str, text: str, matches: bool) -> None:
    assert matcher(Term(term))(text) is matches


@given(st.lists(VALUES), KEYS, VALUES)
def test_toggling_twice_gives_back_the_words(words: list[str], key: str, value: str) -> None:
    once = toggle(" ".join(words), key, value)
    assert f"{key}:{value}" in once.split()
    assert toggle(once, key, value).split() == " ".join(words).split()


@given(st.lists(VALUES), KEYS, VALUES, VALUES)
def test_of_one_key_only_the_last_value_stays(words: list[str], key: str, one: str, other: str) -> None:
    text = toggle(toggle(" ".join(words), key, one), key, other)
    assert [word for word in text.split() if word.startswith(f"{key}:")] == ([f"{key}:{other}"] if one != other else [])
