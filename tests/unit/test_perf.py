from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged, Missing
from tracescope.host import SnapshotHost
from tracescope.sources.perf import parse_perf_json, parse_perf_list, read
from tracescope.sources.perf_events import PerfEvent, config_of

FIXTURES = Path(__file__).parent.parent / "fixtures" / "perf"
PARTS = ("hw", "sw", "cache", "tracepoint", "pmu", "sdt", "metric", "metricgroup")
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,30}", fullmatch=True)


def _by_name(listing):
    return {event.name: event for event in listing.events}


def _lines(data):
    return [line for line in data.decode().splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_every_line_of_a_recorded_list_is_an_event_or_a_header(name, request):
    host = request.getfixturevalue(name)
    for command in [("perf", "list"), *(("perf", "list", part) for part in PARTS)]:
        try:
            data = host.run(*command)
        except Missing:
            continue
        counts = parse_perf_list(data).counts
        assert counts.total() == len(_lines(data))
        assert counts["other"] == 0
        assert counts["event"] == sum("[" in line for line in _lines(data))


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_recorded_tracepoints_are_all_there(name, request):
    host = request.getfixturevalue(name)
    listing = read(host)
    assert listing.form == "text"
    lines = host.run("perf", "list").decode().splitlines()
    expected = [line.split()[0] for line in lines if line.endswith("[Tracepoint event]")]
    assert [event.name for event in listing.events if event.kind == "tracepoint"] == expected


def test_odd_names_are_read_whole(debian12):
    events = _by_name(read(debian12))
    assert events["cpu/t1=v1[,t2=v2,t3 ...]/modifier"].kind == "raw"
    assert events["mem:<addr>[/len][:access]"].kind == "breakpoint"
    assert events["msr/tsc/"] == PerfEvent("msr/tsc/", "pmu", unit="msr")
    assert events["context-switches"] == PerfEvent("context-switches", "software", ("cs",))


@pytest.mark.parametrize("name", ["list-6.8.txt", "list-6.18.txt"])
def test_every_line_of_a_newer_layout_is_accounted_for(name):
    data = (FIXTURES / name).read_bytes()
    counts = parse_perf_list(data).counts
    assert counts.total() == len(_lines(data))
    assert counts["other"] == 0


def test_perf_6_8_topics_descriptions_and_metrics():
    listing = parse_perf_list((FIXTURES / "list-6.8.txt").read_bytes())
    events = _by_name(listing)
    assert events["L1-dcache-load-misses"] == PerfEvent(
        "L1-dcache-load-misses", "cache", ("cpu/L1-dcache-load-misses/",)
    )
    assert events["amd_iommu_0/a_name_that_is_longer_than_the_column_of_types/"].unit == "amd_iommu_0"
    request = events["l2_request_g1.all_no_prefetch"]
    assert (request.kind, request.unit) == ("pmu", "cpu")
    assert request.description.endswith("software prefetch) of the core")
    assert events["longest_lat_cache.miss"].description == "Core-originated cacheable requests that missed L3. See [1]"
    assert events["sdt_libc:setjmp@/usr/lib/libc.so.6(135afc8c6d1b)"].kind == "sdt"
    assert events["TopdownL1"] == PerfEvent(
        "TopdownL1", "metricgroup", description="Metrics for top-down breakdown at level 1"
    )
    assert events["tma_backend_bound"].description.endswith("no uops are being delivered")
    # The sysfs alias of an event is a row of its own; a metric of two groups is one row.
    assert [e.kind for e in listing.events if e.name == "branch-instructions"] == ["hardware", "pmu"]
    assert [e.kind for e in listing.events if e.name == "tma_retiring"] == ["metric"]
    assert listing.counts["repeated"] == 1


def test_perf_6_18_names_no_types_and_the_kinds_are_still_known():
    events = _by_name(parse_perf_list((FIXTURES / "list-6.18.txt").read_bytes()))
    kinds = {name: event.kind for name, event in events.items()}
    assert kinds["cpu-cycles"] == "hardware"
    assert kinds["LLC-loads"] == "cache"
    assert kinds["l1-dcache-load-misses"] == "cache"
    assert kinds["context-switches"] == "software"
    assert kinds["duration_time"] == "tool"
    assert kinds["alarmtimer:alarmtimer_cancel"] == "tracepoint"
    assert kinds["cpu/event=0..0xffff,umask=0..0xff/modifier"] == "raw"
    assert events["branch-instructions"].description == (
        "Retired branch instructions [This event is an alias of branches]"
    )


def test_json_of_perf_6_2():
    listing = parse_perf_json((FIXTURES / "list-6.2.json").read_bytes())
    events = _by_name(listing)
    assert listing.form == "json"
    assert events["cpu-cycles"] == PerfEvent("cpu-cycles", "hardware", ("cycles",))
    assert events["uops_issued.any"] == PerfEvent("uops_issued.any", "pmu", (), "Uops that RAT issues to RS", "cpu")
    assert events["sched:sched_switch"].kind == "tracepoint"
    assert events["tma_retiring"] == PerfEvent("tma_retiring", "metric", (), "Useful work")
    assert [e.name for e in listing.events if e.kind == "metricgroup"] == ["TopdownL1", "No_group"]


def test_json_of_perf_7_2_does_not_carry_the_format_text_along():
    events = _by_name(parse_perf_json((FIXTURES / "list-7.2.json").read_bytes()))
    assert events["branch-misses"].kind == "hardware"
    assert (events["cpu-clock"].kind, config_of(events["cpu-clock"])) == ("software", (1, 0))
    assert events["sched:sched_process_exit"].kind == "tracepoint"
    assert "print fmt" not in events["sched:sched_process_exit"].description


def test_cut_json_keeps_its_whole_objects():
    data = (FIXTURES / "list-6.2.json").read_bytes()
    names = [event["EventName"] for event in json.loads(data) if "EventName" in event]
    for cut in range(data.index(b"}") + 1, len(data) - 2):
        found = parse_perf_json(data[:cut])
        whole = sum(1 for _ in re.finditer(rb"^\}", data[:cut], re.MULTILINE))
        assert found.counts["event"] + found.counts["repeated"] == whole
        assert [e.name for e in found.events if e.kind not in ("metric", "metricgroup")] == names[:whole]


def test_json_with_one_broken_object_keeps_the_others():
    data = (FIXTURES / "list-6.2.json").read_bytes().replace(b'"pipeline"', b'"pipe"line"').replace(b"RS", b"R\x01S")
    listing = parse_perf_json(data)
    assert "uops_issued.any" not in _by_name(listing)
    assert "sched:sched_switch" in _by_name(listing)
    assert listing.counts["other"] == 1


def test_a_host_is_read_from_json_when_it_has_any(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/perf-list.json").write_bytes((FIXTURES / "list-6.2.json").read_bytes())
    (tmp_path / "tools/perf-list.txt").write_bytes((FIXTURES / "list-6.8.txt").read_bytes())
    host = SnapshotHost(tmp_path)
    assert read(host).form == "json"
    (tmp_path / "tools/perf-list.json").write_bytes(b"Segmentation fault")
    assert read(host).form == "text"


def test_numbers_are_those_of_the_kernel_header():
    def config(name, kind):
        return config_of(PerfEvent(name, kind))

    assert config("cycles", "hardware") == (0, 0)
    assert config("ref-cycles", "hardware") == (0, 9)
    assert config("stalled-cycles-backend", "hardware") == (0, 8)
    assert config("cgroup-switches", "software") == (1, 11)
    assert config("major-faults", "software") == (1, 6)
    assert config("L1-dcache-load-misses", "cache") == (3, 0x10000)
    assert config("LLC-stores", "cache") == (3, 0x102)
    assert config("node-prefetch-misses", "cache") == (3, 0x10206)
    assert config("l1-dcache-loads", "cache") == (3, 0)
    assert config("sched:sched_switch", "tracepoint") is None
    assert config("no-such-event", "software") is None
    assert config_of(PerfEvent("x", "software", ("cs",))) == (1, 3)


def test_every_software_event_of_the_recorded_hosts_has_a_number(debian11, debian12):
    for host in (debian11, debian12):
        for event in read(host).events:
            if event.kind == "software":
                assert config_of(event) is not None


def test_text_that_is_no_list_is_damaged():
    with pytest.raises(Damaged):
        parse_perf_list(b"\tUsage\n")
    for broken in (b"", b"[]", b"null", b"[1, 2]", b"{\n{\n{"):
        with pytest.raises(Damaged):
            parse_perf_json(broken)
    assert parse_perf_list(b"\n\n").events == []


@given(st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["Hardware event", "Tracepoint event"])), max_size=20))
def test_a_written_list_reads_back(rows):
    text = "".join(f"  {f'{name} OR {alias}':<50} [{kind}]\n" for name, alias, kind in rows)
    listing = parse_perf_list(text.encode())
    kinds = {"Hardware event": "hardware", "Tracepoint event": "tracepoint"}
    first = {(name, kinds[kind]): alias for name, alias, kind in reversed(rows)}
    assert {(e.name, e.kind): e.aliases[0] for e in listing.events} == first
    assert listing.counts.total() == len(rows)


@given(st.one_of(st.binary(max_size=300), st.text(' \n[]{}:"abMetrics,Unit:', max_size=300).map(str.encode)))
def test_garbage_raises_nothing_but_damaged_and_every_line_is_counted(data):
    with contextlib.suppress(Damaged):
        parse_perf_json(data)
    try:
        counts = parse_perf_list(data).counts
    except Damaged:
        return
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    assert counts.total() == sum(bool(line.strip()) for line in lines)


def test_deep_json_is_damaged_not_a_crash():
    with pytest.raises(Damaged):
        parse_perf_json(b'{"a":' * 200_000)
