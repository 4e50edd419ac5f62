"""The catalog of this kernel, against the kernel's own files and the tools of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tracescope.catalog.detail import describe
from tracescope.catalog.patterns import matching
from tracescope.catalog.read import ALL_SOURCES, read_all, read_sources
from tracescope.catalog.store import Catalog
from tracescope.errors import TraceScopeError
from tracescope.host import LiveHost
from tracescope.model import Answer, Reason, SourceState

TRACING = Path("/sys/kernel/tracing")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    """Read anew, not from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return read_sources(LiveHost(), ALL_SOURCES)


def symbols() -> list[list[str]]:
    return [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]


def probes(catalog: Catalog, kind: str) -> set[str]:
    return {row.probe for row in matching(catalog, [f"{kind}:*"])}


def test_tracepoints_are_the_available_events(catalog: Catalog) -> None:
    events = (TRACING / "available_events").read_text().split()
    assert probes(catalog, "tracepoint") == {f"tracepoint:{event}" for event in events}


def test_the_ftrace_group_is_formats_that_nothing_attaches_to(catalog: Catalog) -> None:
    names = {path.parent.name for path in TRACING.glob("events/ftrace/*/format")}
    assert probes(catalog, "format") == {f"format:ftrace:{name}" for name in names}
    for row in catalog.view("kind:format"):
        verdict = catalog.verdict(row.kind, row.entry)
        assert (verdict.answer, verdict.reasons) == (Answer.NO, (Reason.FTRACE_GROUP,))


def test_every_symbol_is_a_row(catalog: Catalog) -> None:
    assert sorted(row.name for row in catalog.view("kind:symbol")) == sorted(words[2] for words in symbols())


def test_every_event_that_perf_lists_is_a_row_or_no_probe(catalog: Catalog, require) -> None:
    require(shutil.which("perf") is not None, "perf is not installed")
    text = subprocess.run(
        ["perf", "list"], capture_output=True, text=True, check=True, env={**os.environ, "PAGER": "cat"}
    ).stdout
    kinds = {
        "Tracepoint event": "tracepoint", "Software event": "software", "Hardware event": "hardware",
        "Hardware cache event": "cache", "Kernel PMU event": "pmu",
    }  # fmt: skip
    no_probes = {
        "Tool event",
        "Raw hardware event descriptor",
        "Raw event descriptor",
        "Hardware breakpoint",
        "SDT event",
    }
    rows = re.findall(r"^  (\S+)(?: OR \S+)* +\[([\w ]+)\]$", text, re.MULTILINE)
    missing = [name for name, what in rows if what in kinds and not catalog.find(f"{kinds[what]}:{name}")]
    assert set(missing) <= {"ftrace:function", "ftrace:print"}
    assert {what for _, what in rows} <= kinds.keys() | no_probes
    assert len(rows) > 100


def test_without_kprobes_every_kprobe_says_so(catalog: Catalog, require) -> None:
    require(not (TRACING / "kprobe_events").exists(), "this kernel has kprobes")
    assert not any(words[2] == "register_kprobe" for words in symbols())
    rows = list(catalog.view("kind:kprobe,kretprobe"))
    assert len(rows) > 10_000
    for row in rows:
        verdict = catalog.verdict(row.kind, row.entry)
        assert verdict.answer is Answer.NO
        assert Reason.NO_KPROBES in verdict.reasons


def test_with_kprobes_no_kprobe_says_that_there_are_none(catalog: Catalog, require) -> None:
    require((TRACING / "kprobe_events").exists(), "this kernel has no kprobes")
    for row in catalog.view("kind:kprobe"):
        assert Reason.NO_KPROBES not in catalog.verdict(row.kind, row.entry).reasons


def test_a_function_list_that_is_refused_leaves_fentry_open(catalog: Catalog, require) -> None:
    try:
        LiveHost().read(str(TRACING / "available_filter_functions"))
        refused = False
    except TraceScopeError:
        refused = True
    require(refused, "the function list can be read")
    report = catalog.knowledge.reports["ftrace"]
    assert report.state in (SourceState.FORBIDDEN, SourceState.ABSENT)
    assert report.why
    assert report.fix
    answers = {catalog.verdict(row.kind, row.entry).answer for row in catalog.view("kind:fentry")}
    assert answers == {Answer.UNKNOWN, Answer.NO}


def test_where_the_function_list_can_be_read_ftraces_functions_with_btf_have_fentry(catalog: Catalog, require) -> None:
    require(catalog.knowledge.reports["ftrace"].state is SourceState.OK, "the function list is refused")
    assert catalog.knowledge.reports["btf"].state is SourceState.OK
    answers = [catalog.verdict(row.kind, row.entry).answer for row in catalog.view("kind:fentry")]
    assert answers.count(Answer.YES) > 10_000


def test_the_stages_end_with_the_same_catalog_as_reading_at_once(catalog: Catalog, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seen: list[Catalog] = []
    staged = read_all(LiveHost(), lambda _: None, seen.append)
    assert len(seen) >= 2
    assert [len(one) for one in seen] == sorted(len(one) for one in seen)
    for query in ("kind:tracepoint", "kind:fentry vfs_", "kind:symbol tcp_", "verdict:unknown kind:fexit sock"):
        assert [row.key for row in staged.view(query)] == [row.key for row in catalog.view(query)]


def test_the_cached_catalog_says_the_same_as_the_one_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, again = (read_sources(LiveHost(), ALL_SOURCES) for _ in range(2))
    assert any(tmp_path.rglob("*"))
    for query in ("execve", "kind:kprobe vfs_", "kind:fentry tcp_", "verdict:no kind:symbol sched_"):
        rows = list(first.view(query))
        assert rows
        assert rows == list(again.view(query))
        for row in rows[:40]:
            assert describe(first, row) == describe(again, row)


def test_rows_of_this_kernel_are_found_again_by_key_and_by_name(catalog: Catalog) -> None:
    view = catalog.view("")
    for place in range(0, len(view), 4999):
        row = view.row(place)
        assert view.index(row.key) == place
        found = catalog.find(row.probe)
        assert found is not None
        assert found.probe == row.probe
        assert describe(catalog, row).probe == row.probe
