"""PATTERN arguments: globs over full names, against fnmatch on every row."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_host import FUNCTIONS, event_format, event_path, kallsyms, made_catalog

from tracescope.catalog.patterns import full_name, kinds_of, matching
from tracescope.catalog.read import sources_for
from tracescope.catalog.store import SYMBOL, Catalog

PIECES = [
    "kprobe",
    "k*",
    "fentry",
    "*",
    "?",
    ":",
    "vfs",
    "_read",
    "read",
    "sched",
    "vmlinux",
    "[rf]",
    "[!a]",
    "[",
    "a:b",
]
PATTERNS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Catalog:
    files = {
        "proc/kallsyms": kallsyms("T vfs_read", "T VFS_read", "t fuse_read fuse", "d data", "T read", "t a:b"),
        FUNCTIONS: "vfs_read\n",
        event_path("sched", "sched_switch"): event_format("sched_switch", "int a"),
        event_path("ftrace", "function"): event_format("function", "int a"),
    }
    return made_catalog(tmp_path_factory.mktemp("host"), files)


@given(st.lists(PATTERNS, max_size=3))
def test_the_rows_are_those_whose_full_name_matches(small, patterns: list[str]) -> None:
    rows = [row.probe for row in small.view("-kind:symbol")]
    expected = [name for name in rows if any(fnmatchcase(name, pattern) for pattern in patterns or ["*"])]
    assert [row.probe for row in matching(small, patterns)] == expected


@given(st.lists(PATTERNS, min_size=1, max_size=3))
def test_the_kinds_of_every_match_are_read(small, patterns: list[str]) -> None:
    kinds = {row.kind for row in matching(small, patterns)}
    assert kinds <= set(kinds_of(patterns))


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("tracepoint:*", ["tracepoint"]),
        ("*probe:vfs_*", ["kprobe", "kretprobe", "uprobe", "uretprobe"]),
        ("f*:vmlinux:*", ["fentry", "fexit", "format"]),
        ("nothing:*", []),
    ],
)
def test_a_pattern_names_these_kinds(pattern: str, kinds: list[str]) -> None:
    assert sorted(kinds_of([pattern])) == kinds


def test_without_a_pattern_or_without_a_colon_every_probe_can_match() -> None:
    every = kinds_of([])
    assert every == kinds_of(["*"]) == kinds_of(["execve"])
    assert SYMBOL not in every


@pytest.mark.parametrize(
    ("pattern", "sources"),
    [
        ("tracepoint:*", ("tracefs",)),
        ("rawtracepoint:*", ("tracefs", "kallsyms")),
        ("kprobe:*", ("kallsyms", "ftrace", "blacklist", "btf")),
        ("software:*", ("perf",)),
    ],
)
def test_only_the_sources_of_these_kinds_are_read(pattern: str, sources: tuple[str, ...]) -> None:
    assert sources_for(kinds_of([pattern])) == sources


@pytest.mark.parametrize(
    ("pattern", "full"),
    [
        ("t:sched:*", "tracepoint:sched:*"),
        ("k:vfs_read", "kprobe:vfs_read"),
        ("kr:vfs_read", "kretprobe:vfs_read"),
        ("kfunc:vmlinux:vfs_read", "fentry:vmlinux:vfs_read"),
        ("kretfunc:vfs_read", "fexit:vfs_read"),
        ("U:/bin/sh:p:n", "usdt:/bin/sh:p:n"),
        ("u:/bin/sh:main", "uprobe:/bin/sh:main"),
        ("*execve*", "*execve*"),
        ("k*:vfs_read", "k*:vfs_read"),
        ("t", "t"),
    ],
)
def test_bpftraces_short_and_old_kinds_are_spelled_out(pattern: str, full: str) -> None:
    assert full_name(pattern) == full
