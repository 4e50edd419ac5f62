"""The filter line of the Processes screen as a value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracescope.ui.process_filter import NO_FILTER, ProcessFilter, parse_filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NO_FILTER),
        ("Make CC", ProcessFilter(words=("make", "cc"))),
        ("pid:812", ProcessFilter(pid=812)),
        ("uid:0", ProcessFilter(uid=0)),
        ("cgroup:4711", ProcessFilter(cgroup_id=4711)),
        ("failed:yes", ProcessFilter(failed=True)),
        ("failed:no", ProcessFilter(failed=False)),
        ("life:<100ms", ProcessFilter(shorter_ns=100_000_000)),
        ("life:>1.5s", ProcessFilter(longer_ns=1_500_000_000)),
        ("life:>1ms life:<2min", ProcessFilter(longer_ns=1_000_000, shorter_ns=120_000_000_000)),
        ("sh uid:7 pid:1", ProcessFilter(words=("sh",), uid=7, pid=1)),
    ],
)
def test_a_line_is_understood(text, expected):
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "term",
    ["pid:x", "pid:", "uid:nobody", "cgroup:", "failed:perhaps", "life:1s", "life:<", "life:<1", "key:value", ":"],
)
def test_what_is_not_understood_is_a_word(term):
    assert parse_filter(term) == ProcessFilter(words=(term,))


def test_names_are_resolved():
    names = {("uid", "www"): 33, ("cgroup", "/a.slice"): 99}
    assert parse_filter("uid:www cgroup:/a.slice", lambda *key: names.get(key)) == ProcessFilter(uid=33, cgroup_id=99)


@settings(max_examples=100)
@given(st.text())
def test_any_text_is_a_filter(text):
    assert isinstance(parse_filter(text), ProcessFilter)
