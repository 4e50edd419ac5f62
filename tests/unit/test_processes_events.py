"""Process events and their JSON: round trip, the contract's keys, bad input."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged
from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    ForkEvent,
    event_from_json,
    event_json_line,
    event_line,
    events_from_json,
    events_from_lines,
    rfc3339,
    time_of,
)

CONTRACT = [
    *("event", "time", "pid", "tid", "ppid", "uid", "comm", "filename", "argv", "argv_truncated", "ret", "errno"),
    *("duration_ns", "lifetime_ns", "exit_code", "signal", "cpu_ns"),
]
TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=8
)
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = st.integers(0, (1 << 63) - 1)
VALUES = {
    int | None: NUMBER,
    str | None: TEXT,
    bool | None: st.booleans(),
    tuple[str | None, ...] | None: st.lists(st.none() | TEXT, max_size=4).map(tuple),
}


def events(kind):
    optional = {name: VALUES[type_] for name, type_ in get_type_hints(kind).items() if type_ in VALUES}
    moments = st.integers(0, 4_000_000_000_000_000).map(lambda us: us * 1000)
    return st.fixed_dictionaries({"time_ns": moments, "pid": NUMBER}, optional=optional).map(
        lambda values: kind(**values)
    )


@given(st.one_of(*map(events, (ForkEvent, ExecEvent, ExecFailed, ExitEvent))))
def test_an_event_comes_back_from_its_json_as_it_was(event):
    data = json.loads(json.dumps(event.to_json()))
    assert event_from_json(data) == event
    assert event_from_json(data).to_json() == data
    assert (events_from_lines(event_json_line(event).encode()) or events_from_json([data])[0]) == [event]


@given(st.one_of(*map(events, (ForkEvent, ExecEvent, ExecFailed, ExitEvent))))
def test_the_text_of_an_event_is_that_of_its_object(event):
    assert event_json_line(event) == json.dumps(event.to_json(), separators=(",", ":"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5), st.data())
def test_a_value_of_the_wrong_kind_is_damage_and_no_accident(value, data):
    row = ExecEvent(time_ns=0, pid=1, tid=1, argv=("a",), comm="x", argv_truncated=False, filename="x").to_json()
    row[data.draw(st.sampled_from(sorted(row)))] = value
    with suppress(Damaged):
        assert event_from_json(row).to_json()["event"] == "exec"


def test_the_keys_are_those_of_the_contract_in_its_order():
    full = {
        "exec": ExecEvent(
            1, 2, 3, 4, 5, "sh", 6, filename="/x", argv=("x",), argv_truncated=False, ret=0, duration_ns=7
        ),
        "exec_failed": ExecFailed(
            1, 2, 3, 4, 5, "sh", filename="/x", argv=("x",), ret=-2, errno="ENOENT", duration_ns=7
        ),
        "exit": ExitEvent(1, 2, 3, 4, 5, "sh", lifetime_ns=1, exit_code=1, signal=0, cpu_ns=4),
    }
    for name, event in full.items():
        data = event.to_json()
        assert data["event"] == name
        keys = [key for key in data if key in CONTRACT]
        assert [*keys[:7]] == CONTRACT[:7]
        assert set(keys) == set(data) - {"start_ns"}
    assert set(CONTRACT) == {key for event in full.values() for key in event.to_json()} - {"start_ns"}


def test_what_is_not_known_is_absent():
    assert ForkEvent(0, 7).to_json() == {"event": "fork", "time": "1970-01-01T00:00:00.000000Z", "pid": 7}
    assert event_from_json(
        {"event": "fork", "time": "1970-01-01T00:00:00Z", "pid": 7, "comm": None, "later": {}}
    ) == ForkEvent(0, 7)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"event": "start"},
        {"event": ["exec"]},
        {"event": "exec", "pid": 1},
        {"event": "exec", "time": "2026-01-01T00:00:00Z"},
        {"event": "exec", "time": "2026-01-01T00:00:00", "pid": 1},
        {"event": "exec", "time": "yesterday", "pid": 1},
        {"event": "exec", "time": 5, "pid": 1},
        {"event": "exec", "time": "2026-01-01T00:00:00Z", "pid": True},
        {"event": "exec", "time": "2026-01-01T00:00:00Z", "pid": "1"},
        {"event": "exec", "time": "2026-01-01T00:00:00Z", "pid": 1, "argv": "x"},
        {"event": "exec", "time": "2026-01-01T00:00:00Z", "pid": 1, "argv": [1]},
        {"event": "exec", "time": "2026-01-01T00:00:00Z", "pid": 1, "argv_truncated": 1},
        {"event": "exit", "time": "2026-01-01T00:00:00Z", "pid": 1, "cpu_ns": 1.5},
        {"event": "exit", "time": "2026-01-01T00:00:00Z", "pid": 1, "cpu_ns": 10**400},
    ],
)
def test_what_is_no_event_is_refused(data):
    with pytest.raises(Damaged):
        event_from_json(data)
    assert events_from_json([data, data]) == ([], 2)


@given(st.one_of(*map(events, (ForkEvent, ExecEvent, ExecFailed, ExitEvent))), st.data())
def test_keys_may_come_in_any_order_and_beside_any_others(event, data):
    row = event.to_json() | {"); raise SystemExit(": 1, "data": 2, "None": 3}
    keys = data.draw(st.permutations(sorted(row)))
    rows = [{key: row[key] for key in keys}] * 2
    assert events_from_json(rows) == ([event, event], 0)
    assert events_from_json([rows[0] | {"pid": "1"}, rows[1]]) == ([event], 1)


GOOD = b'{"event":"fork","time":"2026-01-01T00:00:00Z","pid":1}'


def test_lines_are_read_at_once_or_not_at_all():
    fork = ForkEvent(time_of("2026-01-01T00:00:00Z"), 1)
    assert events_from_lines(GOOD) == [fork]
    assert events_from_lines(b"\n".join([GOOD, GOOD.replace(b"}", b',"later":[{}]}'), GOOD])) == [fork] * 3


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        GOOD[:-1],
        GOOD + b"," + GOOD,
        GOOD.replace(b"1}", b"1.5}"),
        GOOD.replace(b"2026-01-01", b"yesterday!"),
        GOOD.replace(b"2026", b"0000"),
        GOOD.replace(b"}", b',"comm":"\\udcff"}'),
        b'{"counts":{"events":1,"lost":0}}',
    ],
)
def test_lines_with_anything_else_are_left_to_those_who_look_at_each(line):
    assert events_from_lines(b"\n".join([GOOD, line, GOOD])) is None


def test_a_wrong_type_is_refused_also_after_a_right_one():
    good = {"event": "fork", "time": "2026-01-01T00:00:00Z", "pid": 1, "comm": "x"}
    event_from_json(good)
    with pytest.raises(Damaged, match="no fork event"):
        event_from_json(good | {"comm": 5})


@given(st.datetimes(timezones=st.just(UTC), min_value=FIRST.replace(tzinfo=None)))
def test_times_agree_with_the_standard_library(moment):
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment.year >= 1000 else moment.isoformat()
    since = moment - FIRST
    assert time_of(text) == ((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000
    assert rfc3339(time_of(text)) == text


def test_a_line_of_text_says_what_could_not_be_read_and_what_was_cut():
    argv = ("sh", None, "a b", "\x1b[2J")
    line = event_line(ExecEvent(0, 7, comm="sh", filename_error=True, argv=argv, argv_truncated=True))
    assert line.endswith(r"exec        (unreadable) [sh (unreadable) 'a b' '\x1b[2J' …]")
    assert event_line(ExecEvent(0, 7, filename="/x", argv_error=True)).endswith("/x [(unreadable)]")
    assert event_line(ExecFailed(0, 7, filename="/x", argv=(), errno="ENOENT")).endswith("ENOENT /x []")
    exit_line = event_line(ExitEvent(0, 7, comm="x", signal=11, core=True, lifetime_ns=11_000_000, cpu_ns=2_000_000))
    assert exit_line.endswith("SIGSEGV core, after 11 ms, cpu 2 ms")
